import { describe, expect, test } from "vitest";
import { findAmbiguities } from "../../../src/data/tales/ambiguity.ts";
import { Grammar } from "../../../src/data/tales/grammar.ts";
import { taleGrammar } from "../../../src/data/tales/tale-grammar.ts";
import { tale, taleEntropy, taleSource, taleSurprisal, tales, taleWindowFloor } from "../../../src/data/tales/tales.ts";

const sample = [...tales(7, 0, 400_000)];

describe("tales", () => {
	test("every choice can be read back: the grammar is unambiguous", () => {
		expect(findAmbiguities(new Grammar(taleGrammar))).toEqual([]);
	});

	test("are pure functions of seed and index", () => {
		expect(tale(7, 3)).toEqual(sample[3]);
		expect(tale(8, 3)).not.toEqual(sample[3]);
		expect(tale(7n, 2 ** 32 + 3)).not.toEqual(sample[3]);
	});

	test("reading the text back gives the probability it was drawn with", () => {
		for (const { text, nats } of sample.slice(0, 200)) expect(taleSurprisal(text)).toBeCloseTo(nats, 9);
		const total = sample.slice(0, 50).reduce((sum, { nats }) => sum + nats, 0);
		expect(
			taleSurprisal(
				sample
					.slice(0, 50)
					.map(({ text }) => text)
					.join(""),
			),
		).toBeCloseTo(total, 8);
	});

	test("a changed tale is no tale", () => {
		for (const { text } of sample.slice(0, 30)) {
			for (const at of [0, 10, 100, text.length - 1]) {
				expect(taleSurprisal(`${text.slice(0, at)}q${text.slice(at + 1)}`)).toBeUndefined();
			}
		}
		expect(taleSurprisal("Once upon a time.")).toBeUndefined();
		expect(taleSurprisal(sample[0].text.slice(0, -1))).toBeUndefined();
	});

	test("the exact entropy and length are the averages of sampled tales", () => {
		const { natsPerTale, charactersPerTale, natsPerCharacter } = taleEntropy();
		const check = (values: number[], exact: number) => {
			const mean = values.reduce((a, b) => a + b) / values.length;
			const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
			expect(Math.abs(mean - exact)).toBeLessThan(4 * Math.sqrt(variance / values.length));
			expect(Math.sqrt(variance / values.length) / mean).toBeLessThan(0.01);
		};
		check(
			sample.map(({ nats }) => nats),
			natsPerTale,
		);
		check(
			sample.map(({ text }) => text.length),
			charactersPerTale,
		);
		expect(natsPerCharacter).toBe(natsPerTale / charactersPerTale);
	});

	test("refer back: names, things and pronouns of a tale agree", () => {
		for (const { text } of sample.slice(0, 300)) {
			const thing = /\b(?:ha[ds]|gave h\w+|played with|loved most was) a (\w+) (\w+)/.exec(text);
			expect(thing).not.toBeNull();
			const [, colour, name] = thing!;
			expect(text.split(name).length).toBeGreaterThan(3);
			const boy = /\b(?:he|his|him)\b/i.test(text);
			expect(boy).not.toBe(/\b(?:she|her)\b/i.test(text));
			for (const [, again] of text.matchAll(new RegExp(`(\\w+) ${name}\\b`, "g"))) {
				expect([colour, "the", "my", "lose"]).toContain(again);
			}
		}
	});

	test("use some hundred words, about as Zipf's law has it", () => {
		const counts = new Map<string, number>();
		for (const { text } of sample) {
			for (const word of text.toLowerCase().match(/[a-z]+/g) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
		}
		expect(counts.size).toBeGreaterThan(400);
		const points = [...counts.values()]
			.sort((a, b) => b - a)
			.slice(0, 300)
			.map((count, rank) => [Math.log(rank + 1), Math.log(count)]);
		const [mx, my] = [0, 1].map((k) => points.reduce((sum, point) => sum + point[k], 0) / points.length);
		const slope =
			points.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0) /
			points.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
		expect(slope).toBeGreaterThan(-1.5);
		expect(slope).toBeLessThan(-0.7);
	});
});

describe("taleSource", () => {
	test("streams whole tales, the same each time, until there are enough bytes", async () => {
		const source = taleSource(7, 0, 400_000);
		let text = "";
		let chunks = 0;
		for await (const chunk of source.read()) {
			text += chunk;
			chunks++;
		}
		expect(text).toBe(sample.map((one) => one.text).join(""));
		expect(text.length).toBeGreaterThanOrEqual(400_000);
		expect(text.length).toBeLessThan(402_000);
		expect(chunks).toBeGreaterThan(4);
		expect(text).toMatch(/^[\n -~]*$/);
	});
});

test("the floor of windows lies above the entropy rate and falls towards it", () => {
	const text = sample
		.slice(0, 60)
		.map((one) => one.text)
		.join("");
	const rate = sample.slice(0, 60).reduce((sum, { nats }) => sum + nats, 0) / text.length;
	const floors = [64, 256, 1024, 8192].map((length) => taleWindowFloor(text, length));
	for (let i = 1; i < floors.length; i++) expect(floors[i]).toBeLessThan(floors[i - 1]);
	expect(floors[3]).toBeGreaterThan(rate);
	expect(floors[3]).toBeLessThan(rate * 1.1);
});
