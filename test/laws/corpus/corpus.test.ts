import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RandomSequence } from "../../../src/base/random.ts";
import {
	conditionalEntropies,
	corpusSections,
	corpusStatistics,
	fitHeaps,
	HyperLogLog,
	heapsTypes,
	interpolatedLosses,
	LineCounts,
	NgramCounts,
	operatorNorm,
	PairCounts,
	prefixLengths,
	sketchError,
} from "../../../src/laws/corpus/index.ts";
import { characters, tokensOf } from "./tokens.ts";

function randomIds(length: number, vocabulary: number, seed = 1): Int32Array {
	const random = new RandomSequence(seed, 0, 0);
	return Int32Array.from({ length }, () => random.below(vocabulary));
}

describe("n-grams", () => {
	test("are counted as a dictionary of texts counts them, however the stream is cut", () => {
		fc.assert(
			fc.property(
				fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 200 }),
				fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 10 }),
				(values, cuts) => {
					const ids = Int32Array.from(values);
					const counts = new NgramCounts(4);
					for (let at = 0, i = 0; at < ids.length; i++) {
						const end = at + cuts[i % cuts.length];
						counts.add(ids.subarray(at, end));
						at = end;
					}
					for (let order = 1; order <= 4; order++) {
						const seen = new Map<string, number>();
						for (let i = 0; i + order <= ids.length; i++) {
							const gram = ids.subarray(i, i + order).join();
							seen.set(gram, (seen.get(gram) ?? 0) + 1);
						}
						expect(counts.distinct(order)).toBe(seen.size);
						const found: number[] = [];
						counts.table(order)?.forEach((_a, _b, count) => found.push(count));
						expect(found.sort()).toEqual([...seen.values()].sort());
					}
				},
			),
		);
	});

	test("that do not fit in memory become a sketch within its error, the longest first", () => {
		const ids = randomIds(300_000, 300);
		const exact = new NgramCounts(3);
		exact.add(ids);
		const small = new NgramCounts(3, 2 ** 23);
		small.add(ids);
		expect([1, 2, 3].map((order) => small.table(order) !== null)).toEqual([true, true, false]);
		expect(small.distinct(2)).toBe(exact.distinct(2));
		expect(Math.abs(small.distinct(3) / exact.distinct(3) - 1)).toBeLessThan(4 * sketchError);
		const [, , third] = conditionalEntropies(small, interpolatedLosses(small, 300, [ids.subarray(0, 1000)]));
		expect(third).toEqual({ order: 3, plugIn: null, corrected: null, heldOut: null });
	});

	test("prefixes are halvings", () => {
		expect(prefixLengths(1_115_394)).toHaveLength(11);
		expect(prefixLengths(1_115_394)[0]).toBe(1089);
		expect(prefixLengths(100)).toEqual([25, 50, 100]);
		expect(prefixLengths(3)).toEqual([3]);
	});
});

describe("HyperLogLog", () => {
	test.each([0, 10, 3_000, 200_000, 2_000_000])("tells %i apart within four standard errors", (size) => {
		const random = new RandomSequence(7, 0, size);
		const sketch = new HyperLogLog();
		for (let i = 0; i < size; i++) {
			const [a, b] = [random.word() | 0, random.word() | 0];
			sketch.add(a, b);
			sketch.add(a, b);
		}
		expect(Math.abs(sketch.estimate() - size)).toBeLessThanOrEqual(4 * sketchError * size);
	});
});

describe("entropies", () => {
	test("of a fair die: ln 6 at every order, which plug-in misses and the correction finds", () => {
		const ids = randomIds(20_000, 6);
		const counts = new NgramCounts(4);
		counts.add(ids);
		const found = conditionalEntropies(counts);
		for (const { plugIn, corrected } of found) expect(plugIn).toBeLessThan(corrected as number);
		expect(found[3].plugIn).toBeLessThan(Math.log(6) - 0.02);
		for (const { corrected } of found) expect(Math.abs((corrected as number) - Math.log(6))).toBeLessThan(0.003);
	});

	test("of a Markov chain: held out, order 2 finds its entropy and higher orders no more", () => {
		const random = new RandomSequence(3, 0, 0);
		let state = 0;
		const ids = Int32Array.from({ length: 100_000 }, () => (state = random.uniform() < 0.9 ? (state + 1) % 4 : state));
		const counts = new NgramCounts(4);
		counts.add(ids.subarray(0, 90_000));
		const losses = interpolatedLosses(counts, 4, [ids.subarray(90_000)]) as number[];
		const entropy = -(0.9 * Math.log(0.9) + 0.1 * Math.log(0.1));
		expect(losses[0]).toBeCloseTo(Math.log(4), 2);
		for (const loss of losses.slice(1)) expect(Math.abs(loss - entropy)).toBeLessThan(0.015);
	});

	test("chances of an interpolated model add up to one after every context", () => {
		const ids = randomIds(500, 3);
		const counts = new NgramCounts(3);
		counts.add(ids);
		for (const context of [
			[0, 1],
			[2, 2],
			[1, 0],
		]) {
			// Loss of the last token alone: what the three tokens lose, less what the context loses.
			const chance = [0, 1, 2].map((next) => {
				const loss = (text: number[]) =>
					((interpolatedLosses(counts, 3, [Int32Array.from(text)])[2] as number) * text.length) as number;
				return Math.exp(loss(context) - loss([...context, next]));
			});
			expect(chance[0] + chance[1] + chance[2]).toBeCloseTo(1, 10);
		}
	});
});

test("Heaps' law is found in its own curve", () => {
	const tokens = prefixLengths(1_000_000);
	const law = { k: 44, h: 0.49 };
	const fit = fitHeaps(
		tokens,
		tokens.map((length) => heapsTypes(law, length)),
	);
	expect(fit?.k).toBeCloseTo(44, 6);
	expect(fit?.h).toBeCloseTo(0.49, 10);
	expect(heapsTypes(law, 1_000_020)).toBeCloseTo(38323, -1);
	expect(fitHeaps([1, 2], [1, 2])).toBeNull();
});

describe("co-occurrence", () => {
	test("of two tokens that alternate: C is +-1/4, its norm 1/2 at every lag", () => {
		const ids = Int32Array.from({ length: 10_000 }, (_, i) => i % 2);
		const pairs = new PairCounts([5000, 5000], [1, 2, 3]);
		for (let at = 0; at < ids.length; at += 17) pairs.add(ids.subarray(at, at + 17));
		const { norms, exponent } = pairs.result();
		for (const norm of norms) expect(norm).toBeCloseTo(0.5, 4);
		expect(exponent).toBeCloseTo(0, 4);
	});

	test("norm is the largest singular value", () => {
		// Chances of first tokens .5 .5, of second ones .7 .3: C is [a -a; -a a] with a = .4 - .35, whose norm is 2 a.
		expect(operatorNorm(Uint32Array.from([40, 10, 30, 20]), 2)).toBeCloseTo(0.1, 12);
	});

	test("of independent tokens is as high as the floor, and gives no exponent", () => {
		const ids = randomIds(100_000, 20);
		const pairs = new PairCounts(new Float64Array(20).fill(5000));
		pairs.add(ids);
		const { norms, floor, exponent } = pairs.result();
		for (const norm of norms) expect(norm / floor).toBeLessThan(1.5);
		expect(exponent).toBeNull();
	});

	test("counts rare tokens as one", () => {
		const ids = randomIds(10_000, 50);
		const frequencies = new Float64Array(50);
		for (const id of ids) frequencies[id]++;
		const pairs = new PairCounts(frequencies, [1], 10);
		pairs.add(ids);
		const { classes, coverage } = pairs.result();
		const named = [...frequencies].sort((x, y) => y - x).slice(0, 9);
		expect(classes).toBe(9);
		expect(coverage).toBeCloseTo(named.reduce((sum, count) => sum + count, 0) / 10_000, 10);
	});
});

test("repeated lines: blank ones left out, exact until there are too many", () => {
	const counts = new LineCounts();
	for (const line of ["a", "b ", "", "a", "  ", "b", "c"]) counts.add(line);
	expect(counts.result()).toEqual({ lines: 5, distinct: 3, repeated: 0.4, exact: true });
	const many = new LineCounts(1000);
	for (let i = 0; i < 40_000; i++) many.add(`line ${i % 20_000}`);
	const { repeated, exact } = many.result();
	expect(exact).toBe(false);
	expect(repeated).toBeCloseTo(0.5, 1);
});

describe("a corpus", () => {
	const text = "the cat sat on the mat\nthe dog sat on the log\nthe cat saw the dog\n".repeat(40);

	test("gives sections of finite figures", async () => {
		const shares: number[] = [];
		const statistics = await corpusStatistics(characters(text), text.split("\n"), {
			onProgress: (share) => shares.push(share),
		});
		expect(statistics.duplicates).toMatchObject({ lines: 120, distinct: 3 });
		expect(shares[shares.length - 1]).toBeCloseTo(1, 2);
		const sections = corpusSections(statistics);
		expect(sections.map(({ title }) => title)).toEqual(["Corpus", "Growth of n-grams", "Entropies", "Correlations"]);
		for (const block of sections.flatMap(({ blocks }) => blocks)) {
			if (block.kind !== "chart" || block.chart.kind !== "xy") continue;
			for (const { x, y } of block.chart.series) {
				expect(y).toHaveLength(x.length);
				expect([...x, ...y].every((value) => Number.isFinite(value) && value > 0)).toBe(true);
			}
		}
	});

	test("that is empty, or says one thing again and again, is refused with the reason", async () => {
		await expect(corpusStatistics(tokensOf(new Int32Array(0), 2), [])).rejects.toMatchObject({ code: "corpus-empty" });
		const repeated = "all work and no play\n".repeat(500);
		await expect(corpusStatistics(characters(repeated), repeated.split("\n"))).rejects.toThrow(
			/one line, repeated 500 times.*no law can be read from it/,
		);
		await expect(corpusStatistics(characters("aaaa"), ["aaaa"])).rejects.toThrow(/one token, 4 times/);
	});

	test.each([2, 5, 40])("of %i tokens is measured as far as it goes", async (length) => {
		const short = text.slice(0, length);
		const { tokens, distinct, cooccurrence } = await corpusStatistics(characters(short), short.split("\n"));
		expect(tokens).toBe(length);
		expect(distinct[0].distinct[distinct[0].distinct.length - 1]).toBe(new Set(short).size);
		expect(cooccurrence.lags.every((lag) => lag < length)).toBe(true);
	});
});
