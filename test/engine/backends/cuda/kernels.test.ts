/** The CUDA kernels themselves, compiled for a processor (emulator/), held to the ops' references and, in training, to the golden cases. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { ReferenceRuntime } from "../../../../src/engine/backends/reference.ts";
import { Graph } from "../../../../src/engine/graph.ts";
import { copy, opNamed, ops } from "../../../../src/engine/ops/index.ts";
import { plan } from "../../../../src/engine/plan.ts";
import { checkGoldenCase, goldenCases } from "../../../../src/train/golden.ts";
import { compare } from "../../conform.ts";
import { compilerHere, emulatedRuntime } from "./emulator/device.ts";
import { runProgram } from "./run-program.ts";

const golden = fileURLToPath(new URL("../../../fixtures/golden", import.meta.url));

test("every kernel waits for the launches before it first of all", () => {
	const folder = new URL("../../../../src/engine/backends/cuda/kernels/", import.meta.url);
	for (const file of readdirSync(folder).filter((name) => name.endsWith(".cu"))) {
		const text = readFileSync(new URL(file, folder), "utf8");
		for (const [, rest] of text.matchAll(/extern "C" __global__ ([\s\S]*?;)/g)) {
			expect(rest, file).toMatch(/\)\s*\{\s*waitForLaunchesBefore\(\);$/);
		}
	}
});

describe.skipIf(!compilerHere)("emulated kernels (skipped where there is no g++)", { timeout: 120_000 }, () => {
	const runtime = emulatedRuntime();
	const exact = new ReferenceRuntime({ precision: "double" });
	afterAll(() => runtime.close());

	test.each(ops.filter(({ view }) => !view).map((op) => [op.name, op] as const))("%s", async (_, op) => {
		for (const one of op.cases) {
			await compare(runtime, exact, op, one);
			await compare(runtime, exact, op, one, { aligned: true });
		}
	});

	test.each(["gelu", "relu"])("%s lets a NaN through, alone and behind a product", async (name) => {
		const activation = name === "gelu" ? 1 : 2;
		for (const precision of ["fp32", "fp16"] as const) {
			const g = new Graph();
			const [a, w] = [copy(g, g.input("a", [16, 16], "f32")), copy(g, g.input("w", [16, 16], "f32"))];
			const attributes = { transposeA: 0, transposeB: 1, batch: 1, accumulate: 0, activation, p: 0 };
			const place = { dropoutId: 0, rowsPerSequence: 1, sequences: 1 };
			const behind = g.apply(opNamed("matmul"), [a, w, null, null, null], { ...attributes, ...place })[0];
			const alone = g.apply(opNamed(name), [a], {})[0];
			const outputs = new Map(Object.entries({ behind, alone }).map(([of, y]) => [of, copy(g, y)]));
			const program = plan(g, { kind: "body", layout: { parameter: () => 0, shared: () => 0 }, outputs });
			const emulated = emulatedRuntime({ precision });
			const found = await runProgram(emulated, program, { mean: Number.NaN, deviation: 1 });
			for (const [of, values] of found) expect(values.every(Number.isNaN), `${of}, ${precision}`).toBe(true);
			await emulated.close();
		}
	});

	test.each(["tf32", "bf16", "fp16"] as const)("products and attention in %s", async (precision) => {
		const rough = emulatedRuntime({ precision });
		for (const name of ["matmul", "attention", "attentionGrad"]) {
			const op = opNamed(name);
			for (const one of op.cases) {
				await compare(rough, exact, op, one, { tolerance: precision === "bf16" ? 2e-2 : 2e-3, aligned: true });
			}
		}
		await rough.close();
	});

	// The gradient of alpha is one sum of terms that cancel: fewer of its digits are left.
	const tolerances = { fp32: [1e-4, 1e-4], bf16: [1e-1, 5e-1], fp16: [2e-2, 2e-2] };

	describe.each(["fp32", "bf16", "fp16"] as const)("golden cases in %s", (precision) => {
		test.each(goldenCases(golden))("%s", async (name) => {
			const results = await checkGoldenCase(golden, name, emulatedRuntime({ precision }));
			const [most, mostOfAlpha] = tolerances[precision];
			for (const { quantity, error } of results) {
				expect(error, quantity).toBeLessThan(quantity.endsWith("alpha") ? mostOfAlpha : most);
			}
		});
	});
});
