/** The author's numbers, on every backend: logits, loss, gradients, weights after three steps (test/fixtures/golden). */
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { backendSupport, createRuntime } from "../../src/engine/backends/index.ts";
import { checkGoldenCase, goldenCases } from "../../src/train/golden.ts";

const folder = fileURLToPath(new URL("../fixtures/golden", import.meta.url));
const support = await backendSupport();

for (const [backend, reason] of support) {
	describe.skipIf(reason !== undefined)(`${backend}${reason ? ` (skipped: ${reason})` : ""}`, () => {
		test.each(goldenCases(folder))("%s", async (name) => {
			const results = await checkGoldenCase(
				folder,
				name,
				await createRuntime(backend, { threads: 2, precision: "fp32" }),
			);
			const off = results.filter(({ error }) => !(error <= 1e-4));
			expect(off).toEqual([]);
			expect(results.length).toBeGreaterThan(10);
		});
	});
}
