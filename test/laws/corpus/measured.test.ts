/** Statistics of real corpora against figures measured by other programs. Skipped where the corpora are not at hand. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openSources, readLines } from "../../../src/data/index.ts";
import { corpusStatistics, openWords } from "../../../src/laws/corpus/index.ts";
import { characters, sharedText } from "./tokens.ts";

const shakespeare = "tinyshakespeare.txt";
const wikiText = "../shared/data/wikitext-2/train.txt.gz";

describe("tiny Shakespeare, characters", { timeout: 60_000 }, () => {
	test("has the published statistics", async ({ skip }) => {
		const text = sharedText(shakespeare);
		if (text === null) return skip(`../shared/data/${shakespeare} is not here`);
		const { tokens, types, distinct, entropies, cooccurrence, duplicates } = await corpusStatistics(
			characters(text),
			text.split("\n"),
		);
		expect([tokens, types]).toEqual([1_115_394, 65]);
		expect(distinct.map((curve) => curve.distinct[curve.distinct.length - 1])).toEqual([
			65, 1403, 11556, 50712, 141021, 283313, 447352, 609660,
		]);
		const slopes = [1, 2, 3, 4, 5, 8].map((n) => [distinct[n - 1].slope, distinct[n - 1].lastSlope]);
		const published = [
			[0.044, 0.045],
			[0.217, 0.107],
			[0.405, 0.243],
			[0.59, 0.39],
			[0.73, 0.52],
			[0.928, 0.823],
		];
		slopes.flat().forEach((slope, i) => expect(Math.abs(slope - published.flat()[i])).toBeLessThan(0.00051));
		const plugIn = [3.312795, 2.452565, 1.90755, 1.497881, 1.224927, 0.996035, 0.77488, 0.570962];
		entropies.forEach((entropy, i) => expect(entropy.plugIn).toBeCloseTo(plugIn[i], 6));
		// Corrected lies above plug-in, held out above both; order 5 predicts best.
		for (const { plugIn, corrected, heldOut } of entropies) {
			expect(corrected).toBeGreaterThan(plugIn as number);
			expect(heldOut).toBeGreaterThan(corrected as number);
		}
		expect(Math.min(...entropies.map(({ heldOut }) => heldOut as number))).toBe(entropies[4].heldOut);
		const norms = new Map(cooccurrence.lags.map((lag, i) => [lag, cooccurrence.norms[i]]));
		for (const [lag, norm] of [
			[1, 3.943026e-2],
			[2, 3.72658e-2],
			[3, 1.367533e-2],
			[4, 1.171432e-2],
			[8, 4.015619e-3],
			[16, 1.443972e-3],
			[32, 1.123479e-3],
			[64, 5.903631e-4],
		])
			expect((norms.get(lag) as number) / norm).toBeCloseTo(1, 6);
		expect(cooccurrence.exponent).toBeCloseTo(1.1645, 4);
		expect(cooccurrence.floor / 4.4e-4).toBeCloseTo(1, 1);
		expect(duplicates).toEqual({ lines: 32_777, distinct: 25_721, repeated: 1 - 25_721 / 32_777, exact: true });
	});
});

describe("WikiText-2, words", { timeout: 60_000 }, () => {
	test("has the published statistics", async ({ skip }) => {
		if (!existsSync(wikiText)) return skip(`${wikiText} is not here`);
		const cache = mkdtempSync(join(tmpdir(), "rivulet-words-"));
		try {
			const sources = openSources([wikiText]);
			const words = await openWords(sources, cache);
			const { tokens, types, distinct, cooccurrence } = await corpusStatistics(words, readLines(sources), {
				orders: 4,
			});
			words.close();
			expect([tokens, types]).toEqual([2_088_628, 33_278]);
			expect(distinct.map((curve) => curve.distinct[curve.distinct.length - 1])).toEqual([
				33278, 619592, 1403715, 1821458,
			]);
			const published = [0.572, 0.214, 0.865, 0.766, 0.956, 0.908, 0.986, 0.968];
			distinct
				.flatMap(({ slope, lastSlope }) => [slope, lastSlope])
				.forEach((slope, i) => expect(Math.abs(slope - published[i])).toBeLessThan(0.00051));
			expect(cooccurrence.classes).toBe(999);
			expect(cooccurrence.coverage).toBeCloseTo(0.702793, 6);
			const norms = new Map(cooccurrence.lags.map((lag, i) => [lag, cooccurrence.norms[i]]));
			for (const [lag, norm] of [
				[1, 3.038044e-2],
				[2, 1.053183e-2],
				[4, 5.926963e-3],
				[8, 4.914236e-3],
				[16, 1.59345e-3],
				[32, 1.306537e-3],
			])
				expect((norms.get(lag) as number) / norm).toBeCloseTo(1, 6);
			expect(cooccurrence.exponent).toBeCloseTo(0.9006, 4);
			// Cached: the same ids again, without counting.
			const again = await openWords(sources, cache);
			expect([again.length, again.vocabularySize]).toEqual([2_088_628, 33_278]);
			again.close();
		} finally {
			rmSync(cache, { recursive: true });
		}
	});
});
