import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { philox, RandomSequence } from "../../src/base/random.ts";

/** Known-answer vectors published with Random123 (kat_vectors, philox4x32 10): counter, key, expected. */
const published: [number[], number[], number[]][] = [
	[
		[0, 0, 0, 0],
		[0, 0],
		[0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
	],
	[
		[0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
		[0xffffffff, 0xffffffff],
		[0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
	],
	[
		[0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
		[0xa4093822, 0x299f31d0],
		[0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
	],
];

/** The same function in 64-bit integer arithmetic, as the paper writes it. */
function philoxInBigInts(key: number[], counter: number[]): number[] {
	let [x0, x1, x2, x3] = counter.map(BigInt);
	let [k0, k1] = key.map(BigInt);
	for (let round = 0; round < 10; round++) {
		const product0 = 0xd2511f53n * x0;
		const product1 = 0xcd9e8d57n * x2;
		[x0, x1, x2, x3] = [
			(product1 >> 32n) ^ x1 ^ k0,
			product1 & 0xffffffffn,
			(product0 >> 32n) ^ x3 ^ k1,
			product0 & 0xffffffffn,
		];
		k0 = (k0 + 0x9e3779b9n) & 0xffffffffn;
		k1 = (k1 + 0xbb67ae85n) & 0xffffffffn;
	}
	return [x0, x1, x2, x3].map(Number);
}

function block(key: number[], counter: number[]): number[] {
	const out = new Uint32Array(4);
	philox(key[0], key[1], counter[0], counter[1], counter[2], counter[3], out);
	return [...out];
}

describe("philox", () => {
	test.each(published)("published vector for counter %j key %j", (counter, key, expected) => {
		expect(block(key, counter)).toEqual(expected);
	});

	test("equals the definition in 64-bit integers for any key and counter", () => {
		const word = fc.nat({ max: 0xffffffff });
		fc.assert(
			fc.property(fc.tuple(word, word), fc.tuple(word, word, word, word), (key, counter) => {
				expect(block(key, counter)).toEqual(philoxInBigInts(key, counter));
			}),
		);
	});
});

describe("RandomSequence", () => {
	test("depends on seed, stream and index, and on nothing else", () => {
		const first = (seed: number | bigint, stream: number, index: number) =>
			Array.from(
				{ length: 9 },
				(
					(sequence) => () =>
						sequence.word()
				)(new RandomSequence(seed, stream, index)),
			);
		expect(first(7, 1, 3)).toEqual(first(7n, 1, 3));
		const heads = [first(7, 1, 3), first(8, 1, 3), first(7, 2, 3), first(7, 1, 4), first(7, 1, 3 + 2 ** 32)];
		const high = first(7n + (1n << 32n), 1, 3);
		expect(new Set([...heads, high].map(String)).size).toBe(6);
	});

	test("uniform numbers and integers have the right mean and range", () => {
		const sequence = new RandomSequence(1, 1, 0);
		let sum = 0;
		const counts = new Array(6).fill(0);
		for (let i = 0; i < 12000; i++) {
			const u = sequence.uniform();
			expect(u).toBeGreaterThanOrEqual(0);
			expect(u).toBeLessThan(1);
			sum += u;
			counts[sequence.below(6)]++;
		}
		// Standard error of the mean is 0.0026; of a count of 2000 it is 41.
		expect(Math.abs(sum / 12000 - 0.5)).toBeLessThan(0.012);
		for (const count of counts) expect(Math.abs(count - 2000)).toBeLessThan(200);
	});
});
