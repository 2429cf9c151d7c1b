/** The look inside shows what the model really computes: checked against the equations' own graph. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { lookInside } from "../../src/studies/look-inside.ts";
import type { ConfigInput } from "../../src/train/config.ts";
import { defineConfig } from "../../src/train/config-resolve.ts";
import { train } from "../../src/train/trainer.ts";

let folder = "";
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "rivulet-inside-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A run of a few steps on the copy task, four blocks long. */
async function trained(name: string, model: ConfigInput["model"]): Promise<string> {
	const run = join(folder, name);
	await train(
		defineConfig({
			run,
			threads: 1,
			data: { task: "copy", noise: 0 },
			model: { width: 8, heads: 2, window: 8, ...model },
			train: { batch: 2, steps: 2, learningRate: 1e-2 },
		}),
	);
	return run;
}

describe.each([
	["forget", { variant: "forget" }],
	["accumulate", { variant: "accumulate", alpha: 0.5, positions: "window" }],
] as const)("%s", (name, model) => {
	test("every row of attention sums to one, and none looks ahead", async () => {
		const inside = await lookInside(await trained(name, model));
		expect(inside?.window).toBe(8);
		expect(inside?.block).toBe(3);
		expect(inside?.attention.length).toBe(8);
		inside?.attention.forEach((row, i) => {
			expect(row.length).toBe(16);
			expect(row.map((weight) => weight !== null)).toEqual(Array.from({ length: 16 }, (_, j) => j <= 8 + i));
			expect(row.reduce<number>((sum, weight) => sum + (weight ?? 0), 0)).toBeCloseTo(1, 5);
		});
		expect(inside?.stateNorm.length).toBe(4);
		for (const norm of inside?.stateNorm ?? []) expect(norm).toBeGreaterThan(0);
	});
});

test("alpha 0 of accumulate is forget: the same states and the same attention", async () => {
	const [forget, zero] = await Promise.all([
		trained("forget-zero", { variant: "forget" }),
		trained("accumulate-zero", { variant: "accumulate", alpha: 0 }),
	]);
	const [a, b] = [await lookInside(forget), await lookInside(zero)];
	expect(a?.stateNorm).not.toEqual([]);
	b?.stateNorm.forEach((norm, k) => expect(norm).toBeCloseTo(a?.stateNorm[k] ?? Number.NaN, 4));
	b?.attention.forEach((row, i) =>
		row.forEach((weight, j) => expect(weight ?? -1).toBeCloseTo(a?.attention[i][j] ?? -1, 4)),
	);
});

test("a transformer and a minGRU have no such inside", async () => {
	expect(await lookInside(await trained("transformer", { kind: "transformer" }))).toBeUndefined();
	expect(await lookInside(await trained("mingru", { kind: "mingru" }))).toBeUndefined();
});
