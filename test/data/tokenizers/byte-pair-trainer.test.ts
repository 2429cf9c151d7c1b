import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { countPieces, trainBytePairs } from "../../../src/data/tokenizers/index.ts";
import { pieceEnd } from "../../../src/data/tokenizers/pieces.ts";
import { awkwardTexts, cutText, inChunks } from "./texts.ts";

function piecesOf(text: string): string[] {
	const pieces: string[] = [];
	for (let at = 0; at < text.length; at += pieces[pieces.length - 1].length) {
		pieces.push(text.slice(at, pieceEnd(text, at, text.length)));
	}
	return pieces;
}

/** The definition: count all pairs in all pieces anew before each merge. Returns the merges as "left,right". */
function mergesByRecounting(text: string, vocabularySize: number): string[] {
	let words = piecesOf(text).map((piece) => [...Buffer.from(piece)]);
	const merges: string[] = [];
	for (let joined = 256; joined < vocabularySize; joined++) {
		const counts = new Map<number, number>();
		for (const word of words) {
			for (let i = 0; i + 1 < word.length; i++) {
				const key = word[i] * 2 ** 20 + word[i + 1];
				counts.set(key, (counts.get(key) ?? 0) + 1);
			}
		}
		const best = [...counts].sort(([a, m], [b, n]) => n - m || a - b)[0];
		if (best === undefined || best[1] < 2) break;
		const [left, right] = [Math.floor(best[0] / 2 ** 20), best[0] % 2 ** 20];
		merges.push(`${left},${right}`);
		words = words.map((word) => {
			const merged: number[] = [];
			for (let i = 0; i < word.length; i++) {
				const found = word[i] === left && word[i + 1] === right;
				merged.push(found ? joined : word[i]);
				if (found) i++;
			}
			return merged;
		});
	}
	return merges;
}

async function trainedMerges(chunks: string[], vocabularySize: number): Promise<string[]> {
	const { vocab, merges } = (await trainBytePairs(inChunks(...chunks), vocabularySize)).toJSON().model;
	return merges.map((merge) =>
		merge
			.split(" ")
			.map((token) => vocab[token])
			.join(),
	);
}

describe("trainBytePairs", () => {
	test("makes the merges that recounting everything makes", async () => {
		await fc.assert(
			fc.asyncProperty(cutText, fc.integer({ min: 257, max: 290 }), async ({ text, chunks }, size) => {
				expect(await trainedMerges(chunks, size)).toEqual(mergesByRecounting(text, size));
			}),
			{ numRuns: 200 },
		);
	});

	test("the same on a longer text, with overlapping pairs and ties", async () => {
		const text = `${"aaaa aaa aa abab ababab the then there these her here 1212 121 ".repeat(3)}${awkwardTexts.slice(0, 13).join("\n")}`;
		const expected = mergesByRecounting(text, 600);
		expect(expected.length).toBeGreaterThan(60);
		expect(await trainedMerges([text], 600)).toEqual(expected);
	});

	test("stops early when no pair occurs twice", async () => {
		expect((await trainBytePairs(inChunks("abcdefg"), 500)).vocabularySize).toBe(256);
		expect((await trainBytePairs(inChunks(""), 500)).vocabularySize).toBe(256);
	});

	test.each([256, 0, -1, 300.5, Number.NaN, 2 ** 20 + 1])("refuses a vocabulary of %d", async (size) => {
		await expect(trainBytePairs(inChunks("abab"), size)).rejects.toThrow("257 to 1048576");
	});
});

describe("countPieces", () => {
	test("counts the same wherever the text is cut", async () => {
		await fc.assert(
			fc.asyncProperty(cutText, async ({ text, chunks }) => {
				const expected = new Map<string, number>();
				for (const piece of piecesOf(text)) expected.set(piece, (expected.get(piece) ?? 0) + 1);
				expect(await countPieces(inChunks(...chunks))).toEqual(expected);
			}),
		);
	});

	test("keeps a bounded number of pieces, the frequent ones with nearly their counts", async () => {
		const rare = Array.from(
			{ length: 5000 },
			(_, i) => ` w${String.fromCharCode(97 + (i % 26))}${"xyz"[i % 3].repeat(i % 50)}q`,
		);
		const text = rare.map((word, i) => `${word}${i} often`).join("");
		const counts = await countPieces(inChunks(text), 100);
		expect(counts.size).toBeLessThanOrEqual(100);
		expect(counts.get(" often")).toBe(5000);
	});

	test("leaves out pieces too long to be words", async () => {
		expect(await countPieces(inChunks(`${"a".repeat(128)} ${"b".repeat(128)}`))).toEqual(
			new Map([["a".repeat(128), 1]]),
		);
	});
});
