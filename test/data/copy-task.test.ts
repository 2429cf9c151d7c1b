import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CopyTask } from "../../src/data/copy-task.ts";

/** Checks one sequence against the definition and returns the places of its symbols. */
function checkSequence(sequence: Int32Array, targets: Int32Array, noise: number): number[] {
	expect(sequence.length).toBe(16 + noise + 16);
	expect([...sequence.subarray(16 + noise)]).toEqual(new Array(16).fill(15));
	const places = [...sequence.subarray(0, 16 + noise).keys()].filter((i) => sequence[i] !== 0);
	expect(places.length).toBe(16);
	expect(places.map((place) => sequence[place])).toEqual([...targets]);
	for (const target of targets) expect(target >= 1 && target <= 14).toBe(true);
	return places;
}

describe.each([false, true])("copy, selective %s", (selective) => {
	test("sequences are as the paper defines them, for any noise and batch", () => {
		fc.assert(
			fc.property(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 1, max: 5 }), fc.nat(), (noise, batch, step) => {
				const task = new CopyTask({ noise, selective });
				const { ids, targets } = task.trainBatch(1, step, batch);
				expect([ids.length, targets.length]).toEqual([batch * task.length, batch * 16]);
				for (let b = 0; b < batch; b++) {
					const sequence = ids.subarray(b * task.length, (b + 1) * task.length);
					const places = checkSequence(sequence, targets.subarray(b * 16, b * 16 + 16), noise);
					if (!selective) expect(places).toEqual([...Array(16).keys()]);
				}
			}),
			{ numRuns: 50 },
		);
	});

	test("batches are pure functions of seed and step", () => {
		const task = new CopyTask({ noise: 20, selective });
		const first = task.trainBatch(1, 7, 3);
		expect(new CopyTask({ noise: 20, selective }).trainBatch(1, 7, 3)).toEqual(first);
		expect(task.trainBatch(1, 7, 5).targets.subarray(0, 48)).toEqual(first.targets);
		expect(task.trainBatch(2, 7, 3)).not.toEqual(first);
		expect(task.trainBatch(1, 8, 3)).not.toEqual(first);
	});

	test("symbols are uniform, and so are places", () => {
		const task = new CopyTask({ noise: 24, selective });
		const symbols = new Array(15).fill(0);
		const places = new Array(40).fill(0);
		const { ids, targets } = task.trainBatch(5, 0, 1000);
		for (const target of targets) symbols[target]++;
		for (let b = 0; b < 1000; b++) {
			for (let i = 0; i < 40; i++) if (ids[b * task.length + i] !== 0) places[i]++;
		}
		expect(symbols[0]).toBe(0);
		// 16,000 draws of 14: 1143 each, standard deviation 33. Places: 400 each of 1000, standard deviation 16.
		for (const count of symbols.slice(1)) expect(Math.abs(count - 1143)).toBeLessThan(165);
		if (selective) for (const count of places) expect(Math.abs(count - 400)).toBeLessThan(80);
	});

	test("the validation split is the same for every batch size, and no training batch", () => {
		const task = new CopyTask({ noise: 8, selective, validationSequences: 10 });
		const rows = (batch: number) => {
			const all: string[] = [];
			for (const { ids, targets, sequences } of task.evaluationBatches(batch)) {
				expect([ids.length, targets.length]).toEqual([batch * task.length, batch * 16]);
				for (let b = 0; b < batch; b++) {
					const row = targets.subarray(b * 16, b * 16 + 16);
					if (b < sequences) all.push(String(row));
					else expect([...row]).toEqual(new Array(16).fill(-1));
				}
			}
			return all;
		};
		expect(rows(4).length).toBe(10);
		expect(new Set(rows(4)).size).toBe(10);
		expect(rows(3)).toEqual(rows(10));
		const trained = task.trainBatch(0, 0, 10).targets;
		for (let b = 0; b < 10; b++) expect(rows(10)).not.toContain(String(trained.subarray(b * 16, b * 16 + 16)));
	});
});

test("refuses noise that is no count", () => {
	for (const noise of [-1, 0.5, Number.NaN]) expect(() => new CopyTask({ noise })).toThrow("whole number");
	const task = new CopyTask({ noise: 4096 });
	expect([task.length, task.outputs, task.outputLength, task.vocabularySize]).toEqual([4128, "last", 16, 16]);
	expect(task.describe()).toBe("copy: 16 symbols, 4096 noise tokens, sequences of 4128");
});
