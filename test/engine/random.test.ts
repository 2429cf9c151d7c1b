/** Dropout masks as docs/engine.md defines them. */
import { describe, expect, test } from "vitest";
import { philox } from "../../src/base/random.ts";
import { dropoutRow, placeOfRow, stepKey } from "../../src/engine/random.ts";

const where = { seed: 0x89abcdef01234567n, step: 41, dropoutId: 6, sequence: 9, row: 12 };

describe("dropoutRow", () => {
	test("takes for column c word floor(c / q) of the block of lane c mod q", () => {
		for (const columns of [1, 2, 3, 4, 5, 31, 64, 101]) {
			const mask = dropoutRow(where, columns, 0.25);
			const q = Math.ceil(columns / 4);
			for (let c = 0; c < columns; c++) {
				const words = new Uint32Array(4);
				philox(0x01234567, 0x89abcdef ^ 41, c % q, 12, 9, 6, words);
				expect(mask[c]).toBe(words[Math.floor(c / q)] >= 0.25 * 2 ** 32 ? 4 / 3 : 0);
			}
		}
	});

	test("keeps a share of 1 - p", () => {
		for (const p of [0.1, 0.5, 0.9]) {
			let kept = 0;
			for (let row = 0; row < 200; row++)
				kept += dropoutRow({ ...where, row }, 100, p).filter((value) => value > 0).length;
			const deviation = Math.sqrt(20_000 * p * (1 - p));
			expect(Math.abs(kept - 20_000 * (1 - p))).toBeLessThan(4 * deviation);
		}
	});

	test("drops nothing at p = 0 and everything at p = 1", () => {
		expect(new Set(dropoutRow(where, 50, 0))).toEqual(new Set([1]));
		expect(new Set(dropoutRow(where, 50, 1))).toEqual(new Set([0]));
	});

	test("depends on each part of its place", () => {
		const base = dropoutRow(where, 64, 0.5);
		const changes = [
			{ seed: where.seed + 1n },
			{ seed: where.seed + (1n << 40n) },
			{ step: 42 },
			{ dropoutId: 7 },
			{ sequence: 10 },
			{ row: 13 },
		];
		for (const change of changes) expect(dropoutRow({ ...where, ...change }, 64, 0.5)).not.toEqual(base);
		expect(dropoutRow({ ...where }, 64, 0.5)).toEqual(base);
	});
});

test("stepKey is the seed's low word and its high word xor the step", () => {
	expect(stepKey(0xfedcba9876543210n, 3)).toEqual([0x76543210, 0xfedcba9b]);
	expect(stepKey(5n, 7)).toEqual([5, 7]);
});

test("placeOfRow: rows of a group-major matrix, the same place however the sequences are divided into micro-batches", () => {
	// Two groups of three rows of each of four sequences.
	const whole = Array.from({ length: 24 }, (_, r) => placeOfRow(r, 3, 4, 0));
	expect(whole[0]).toEqual({ sequence: 0, row: 0 });
	expect(whole[5]).toEqual({ sequence: 1, row: 2 });
	expect(whole[12]).toEqual({ sequence: 0, row: 3 });
	expect(whole[23]).toEqual({ sequence: 3, row: 5 });
	const halves = [0, 2].flatMap((first) => Array.from({ length: 12 }, (_, r) => placeOfRow(r, 3, 2, first)));
	const sorted = (places: typeof whole) => places.map(({ sequence, row }) => `${sequence}.${row}`).sort();
	expect(sorted(halves)).toEqual(sorted(whole));
	expect(new Set(sorted(whole)).size).toBe(24);
});
