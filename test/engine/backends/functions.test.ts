/** The functions of native/functions.h and native/random.h, as far as a kernel shows them: errors, NaN, and words of Philox. */
import { afterAll, describe, expect, test } from "vitest";
import type { Runtime } from "../../../src/engine/backend.ts";
import type { Attributes } from "../../../src/engine/graph.ts";
import { geluOf, geluSlope } from "../../../src/engine/ops/activation.ts";
import { compiledForms, fill, instruction, open, operand, program, readAll, slicedJob } from "./fixtures.ts";

/** y = op(x, ...) of vectors that lie one after the other. */
async function apply(runtime: Runtime, op: string, inputs: Float32Array[], attributes: Attributes = {}, columns = 1) {
	const n = inputs[0].length;
	const shape = [n / columns, columns] as const;
	fill(runtime, "outputs", Float32Array.from([...inputs, new Float32Array(n)].flatMap((values) => [...values])));
	const operands = inputs.map((_, index) => operand("outputs", index * n, shape));
	const handle = runtime.load(
		program("body", [instruction(op, operands, [operand("outputs", inputs.length * n, shape)], attributes)]),
	);
	await runtime.run(slicedJob(handle, 1, 0, { seed: 0n, step: 0 }));
	runtime.forget(handle);
	return readAll(runtime, "outputs", (inputs.length + 1) * n).subarray(inputs.length * n);
}

const grid = Float32Array.from({ length: 24_001 }, (_, i) => (i - 12_000) / 1000);
const neighbours = new Float32Array(1);
const neighbourBits = new Int32Array(neighbours.buffer);

/** The largest float not above x (x > 0), and the next one. */
function around(x: number): [number, number] {
	neighbours[0] = x;
	if (neighbours[0] > x) neighbourBits[0]--;
	const below = neighbours[0];
	neighbourBits[0]++;
	return [below, neighbours[0]];
}

for (const { name, isa, title } of compiledForms) {
	const opened = await open(name, { threads: 1, isa });
	if (typeof opened === "string") {
		test.skip(`${title} cannot run here: ${opened}`, () => {});
		continue;
	}
	afterAll(() => opened.close());

	describe(`functions, ${title}`, () => {
		test("gelu is within 3e-7 of itself or of x", async () => {
			const y = await apply(opened, "gelu", [grid]);
			y.forEach((value, i) => {
				expect(Math.abs(value - geluOf(grid[i]))).toBeLessThanOrEqual(3e-7 * Math.abs(grid[i]));
			});
		});

		test("the slope of gelu is within 4e-7", async () => {
			const y = await apply(opened, "geluGrad", [grid, new Float32Array(grid.length).fill(1)]);
			y.forEach((value, i) => {
				expect(Math.abs(value - geluSlope(grid[i]))).toBeLessThanOrEqual(4e-7);
			});
		});

		test("softmax of a row is e^x over the sum within 4e-7", async () => {
			const pairs = Float32Array.from({ length: 2 * 1701 }, (_, i) => (i % 2 ? 0 : -i / 40));
			const y = await apply(opened, "softmax", [pairs], {}, 2);
			for (let i = 0; i < pairs.length; i += 2) {
				const e = Math.exp(pairs[i]);
				expect(Math.abs(y[i] / (e / (1 + e)) - 1)).toBeLessThan(4e-7 + 2e-38 / e);
			}
		});

		test("NaN comes through", async () => {
			const x = Float32Array.from([1, Number.NaN, -1, 30]);
			for (const op of ["gelu", "relu"]) {
				const y = await apply(opened, op, [x]);
				expect([...y].map(Number.isNaN)).toEqual([false, true, false, false]);
			}
			expect((await apply(opened, "softmax", [x], {}, 4)).every(Number.isNaN)).toBe(true);
		});

		test("dropout draws the published words of Philox-4x32-10 for key and counter zero", async () => {
			const words = [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8];
			for (const [column, word] of words.entries()) {
				const [below, above] = around(word / 2 ** 32);
				for (const [p, kept] of [
					[below, true],
					[above, false],
				] as const) {
					const attributes = { p, dropoutId: 0, rowsPerSequence: 1, sequences: 1 };
					const y = await apply(opened, "dropout", [new Float32Array(4).fill(1)], attributes, 4);
					expect(y[column] > 0).toBe(kept);
				}
			}
		});
	});
}
