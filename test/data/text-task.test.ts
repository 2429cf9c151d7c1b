import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RivuletError } from "../../src/base/errors.ts";
import { evaluationWindows, TextTask } from "../../src/data/text-task.ts";
import type { TokenFile } from "../../src/data/token-file.ts";

/** Tokens 0, 1, 2, ... so that a value tells its place. */
function counting(length: number): TokenFile {
	return {
		length,
		bytes: 2 * length,
		vocabularySize: 100_000,
		read(start, count, into) {
			if (start < 0 || start + count > length) throw new Error("out of range");
			for (let i = 0; i < count; i++) into[i] = start + i;
		},
	};
}

describe("TextTask training batches", () => {
	const task = new TextTask(counting(1000), counting(50), 16);

	test("are windows of consecutive tokens with targets one further", () => {
		const { ids, targets } = task.trainBatch(1, 0, 8);
		expect([ids.length, targets.length]).toEqual([128, 128]);
		for (let i = 0; i < 128; i++) {
			expect(targets[i]).toBe(ids[i] + 1);
			if (i % 16 > 0) expect(ids[i]).toBe(ids[i - 1] + 1);
		}
	});

	test("depend on seed and step only, whatever was drawn before; the first sequences not on the batch size", () => {
		const first = task.trainBatch(3, 5, 4);
		task.trainBatch(3, 6, 4);
		expect(task.trainBatch(3, 5, 4)).toEqual(first);
		expect(task.trainBatch(3n, 5, 9).ids.subarray(0, 64)).toEqual(first.ids);
		expect(task.trainBatch(4, 5, 4)).not.toEqual(first);
		expect(task.trainBatch(3, 6, 4)).not.toEqual(first);
	});

	test("start anywhere with equal chance, the first and last window included", () => {
		const small = new TextTask(counting(20), counting(2), 16); // starts 0, 1, 2, 3
		const counts = [0, 0, 0, 0];
		for (let step = 0; step < 100; step++) {
			const { ids } = small.trainBatch(0, step, 20);
			for (let b = 0; b < 20; b++) counts[ids[b * 16]]++;
		}
		for (const count of counts) expect(Math.abs(count - 500)).toBeLessThan(100); // five standard deviations
	});

	test("one window exactly is enough", () => {
		expect([...new TextTask(counting(17), counting(2), 16).trainBatch(0, 0, 1).ids]).toEqual([...Array(16).keys()]);
	});
});

describe("evaluation windows", () => {
	test("score every token but the first exactly once, in order, after the token before it", () => {
		const sizes = fc.tuple(
			fc.integer({ min: 2, max: 200 }),
			fc.integer({ min: 1, max: 20 }),
			fc.integer({ min: 1, max: 5 }),
		);
		fc.assert(
			fc.property(sizes, ([count, length, batch]) => {
				const scored: number[] = [];
				for (const { ids, targets, sequences } of evaluationWindows(counting(count), length, batch)) {
					expect([ids.length, targets.length]).toEqual([batch * length, batch * length]);
					expect(sequences).toBeGreaterThan(0);
					for (let i = 0; i < targets.length; i++) {
						if (targets[i] < 0) {
							expect([targets[i], ids[i]]).toEqual([-1, 0]);
							continue;
						}
						expect(Math.floor(i / length)).toBeLessThan(sequences);
						expect(ids[i]).toBe(targets[i] - 1);
						scored.push(targets[i]);
					}
				}
				expect(scored).toEqual(Array.from({ length: count - 1 }, (_, i) => i + 1));
			}),
		);
	});

	test("padding stands only at the end", () => {
		const batches = [...evaluationWindows(counting(12), 4, 2)]; // 11 scored: 4 + 4, 3
		expect(batches.map(({ sequences }) => sequences)).toEqual([2, 1]);
		expect([...batches[1].targets]).toEqual([9, 10, 11, -1, -1, -1, -1, -1]);
	});
});

describe("TextTask refuses", () => {
	function failure(train: number, validation: number, length: number): RivuletError {
		try {
			new TextTask(counting(train), counting(validation), length);
		} catch (error) {
			expect(error).toBeInstanceOf(RivuletError);
			return error as RivuletError;
		}
		throw new Error("nothing was thrown");
	}

	test("a training part shorter than a window, saying what would fit", () => {
		const error = failure(38, 10, 128);
		expect(error.message).toBe("the training part has 38 tokens, but one window of data.length 128 takes 129");
		expect(error.hint).toContain("Set data.length to 37 or less");
	});

	test("parts with nothing to predict, and lengths that are none", () => {
		expect(failure(100, 1, 10).code).toBe("data-too-short");
		expect(failure(0, 0, 10).code).toBe("data-too-short");
		for (const length of [0, -1, 1.5, Number.NaN]) expect(failure(100, 10, length).exitStatus).toBe(2);
	});
});

test("bytes per token are those of the validation split", () => {
	const task = new TextTask(counting(100), { ...counting(10), bytes: 35 }, 4);
	expect(task.bytesPerToken).toBe(3.5);
	expect(task.describe()).toContain("100 training and 10 validation tokens");
	expect([task.length, task.outputLength, task.outputs]).toEqual([4, 4, "language"]);
});
