import { describe, expect, test } from "vitest";
import { RandomSequence } from "../../../src/base/random.ts";
import { findAmbiguities } from "../../../src/data/tales/ambiguity.ts";
import { Grammar, type GrammarSource } from "../../../src/data/tales/grammar.ts";
import { WindowFloor } from "../../../src/data/tales/window-floor.ts";

/** Small enough to list every text with its probability. */
const small: GrammarSource = {
	start: "s",
	rules: {
		s: [
			[3, "[a=name] met [b=pet]. <end>\n"],
			[1, "So [a=name] ran to [b=pet]. <end>\n"],
		],
		end: [
			[1, "{a.He} saw {b}."],
			[2, "Then {a} and {b} ate [pet]."],
		],
	},
	words: {
		name: [
			{ word: "Al", He: "He" },
			{ word: "Bo", He: "She" },
			{ word: "Alma", He: "She" },
		],
		pet: ["cat", "dog"],
	},
};

/** All texts with their probabilities, written out by hand rather than through the grammar's code. */
function allTexts(): Map<string, number> {
	const names: [string, string, number][] = [
		["Al", "He", 1 / 2],
		["Bo", "She", 1 / 3],
		["Alma", "She", 1 / 4],
	].map(([name, he, weight]) => [name, he, (weight as number) / (13 / 12)] as [string, string, number]);
	const pets: [string, number][] = [
		["cat", 3 / 5],
		["dog", 2 / 5],
	];
	const texts = new Map<string, number>();
	for (const [a, he, pa] of names) {
		for (const [b, pb] of pets) {
			for (const [opening, po] of [
				[`${a} met ${b}. `, 3 / 4],
				[`So ${a} ran to ${b}. `, 1 / 4],
			] as [string, number][]) {
				texts.set(`${opening}${he} saw ${b}.\n`, (po * pa * pb) / 3);
				for (const [c, pc] of pets) texts.set(`${opening}Then ${a} and ${b} ate ${c}.\n`, (po * pa * pb * pc * 2) / 3);
			}
		}
	}
	return texts;
}

describe("a grammar small enough to list", () => {
	const grammar = new Grammar(small);
	const texts = allTexts();

	test("has these texts, with these surprisals, and no others", () => {
		expect([...texts.values()].reduce((a, b) => a + b)).toBeCloseTo(1, 12);
		for (const [text, probability] of texts) {
			const parsed = grammar.parse(text);
			expect(parsed?.end).toBe(text.length);
			expect(parsed?.nats).toBeCloseTo(-Math.log(probability), 12);
		}
		for (const other of [
			"",
			"Al met cat.",
			"Al met cat. She saw cat.\n",
			"Al met cat. He saw dog.\n",
			"Alm met cat. He saw cat.\n",
		]) {
			expect(grammar.parse(other)).toBeUndefined();
		}
	});

	test("has exactly the entropy and mean length of the list", () => {
		let nats = 0;
		let characters = 0;
		for (const [text, p] of texts) {
			nats -= p * Math.log(p);
			characters += p * text.length;
		}
		const expected = grammar.expectation();
		expect(expected.nats).toBeCloseTo(nats, 12);
		expect(expected.characters).toBeCloseTo(characters, 12);
	});

	test("is sampled with these probabilities", () => {
		const random = new RandomSequence(1, 1, 0);
		const counts = new Map<string, number>();
		for (let i = 0; i < 20_000; i++) {
			const { text, nats } = grammar.sample(() => random.uniform());
			expect(nats).toBeCloseTo(-Math.log(texts.get(text)!), 10);
			counts.set(text, (counts.get(text) ?? 0) + 1);
		}
		for (const [text, p] of texts) {
			expect(Math.abs((counts.get(text) ?? 0) - 20_000 * p)).toBeLessThan(5 * Math.sqrt(20_000 * p));
		}
	});

	test("window probabilities are those of the listed stream", () => {
		const floor = new WindowFloor(grammar);
		const list = [...texts];
		const mean = list.reduce((sum, [text, p]) => sum + p * text.length, 0);
		/** P(window) by going through every place of every text, and every following text. */
		const listed = (window: string): number => {
			const from = (rest: string): number => {
				if (rest === "") return 1;
				return list.reduce((sum, [text, p]) => {
					if (text.startsWith(rest)) return sum + p;
					return rest.startsWith(text) ? sum + p * from(rest.slice(text.length)) : sum;
				}, 0);
			};
			let total = 0;
			for (const [text, p] of list) {
				for (let i = 0; i < text.length; i++) {
					const tail = text.slice(i);
					if (tail.startsWith(window)) total += p;
					else if (window.startsWith(tail)) total += p * from(window.slice(tail.length));
				}
			}
			return total / mean;
		};
		for (const window of [
			"e",
			"A",
			" cat.",
			"She saw ",
			"She saw d",
			"ma ",
			"l and cat ate dog.\nSo B",
			"cat. He saw cat",
			"\nAl",
			"S",
		]) {
			expect(listed(window)).toBeGreaterThan(0);
			expect(Math.exp(floor.logProbability(window))).toBeCloseTo(listed(window), 12);
		}
		for (const never of ["x", "He saw cat.\nShe", "ran to cat. Then Bo and dog"]) {
			expect(listed(never)).toBe(0);
			expect(floor.logProbability(never)).toBe(Number.NEGATIVE_INFINITY);
		}
	});

	test("the floor of windows is the entropy rate and the cost of starting in the middle", () => {
		const floor = new WindowFloor(grammar);
		const random = new RandomSequence(2, 1, 0);
		let text = "";
		let nats = 0;
		for (let i = 0; i < 1000; i++) {
			const sample = grammar.sample(() => random.uniform());
			text += sample.text;
			nats += sample.nats;
		}
		const floors = [4, 16, 64, 256, 1024].map((length) => floor.perCharacter(text, length));
		for (let i = 1; i < floors.length; i++) expect(floors[i]).toBeLessThan(floors[i - 1]);
		expect(floors[4]).toBeGreaterThan(nats / text.length);
		expect(floors[4]).toBeLessThan((nats / text.length) * 1.05);
	});
});

describe("findAmbiguities", () => {
	const grammar = (rules: GrammarSource["rules"], words: GrammarSource["words"] = { w: ["a", "b"] }) =>
		findAmbiguities(new Grammar({ start: "s", rules, words }));

	test("passes the small grammar", () => {
		expect(findAmbiguities(new Grammar(small))).toEqual([]);
	});

	test.each<[string, GrammarSource["rules"], GrammarSource["words"]?]>([
		[
			"alternatives that begin alike",
			{
				s: [
					[1, "a b\n"],
					[1, "a c\n"],
				],
			},
		],
		[
			"a drawn word that is another's text",
			{
				s: [
					[1, "[w] x\n"],
					[1, "b y\n"],
				],
			},
		],
		[
			"a word within a rule",
			{
				s: [
					[1, "<t>.\n"],
					[1, "b. y\n"],
				],
				t: [[1, "[w]"]],
			},
		],
		["a word that begins another", { s: [[1, "[w].\n"]] }, { w: ["big", "big dog"] }],
		["a word twice", { s: [[1, "[w].\n"]] }, { w: ["a", "a"] }],
		["a slot run into letters", { s: [[1, "[w]s\n"]] }],
		["slots without space", { s: [[1, "[w][w]\n"]] }],
		["an empty alternative", { s: [[1, ""]] }],
		["a name used before it is drawn", { s: [[1, "{x} [x=w]\n"]] }],
		["a name drawn twice", { s: [[1, "[x=w] [x=w]\n"]] }],
		[
			"a name drawn in one alternative only",
			{
				s: [[1, "<t> {x}\n"]],
				t: [
					[1, "a [x=w]"],
					[1, "b"],
				],
			},
		],
	])("finds %s", (_, rules, words) => {
		expect(grammar(rules, words).length).toBeGreaterThan(0);
	});

	test("lets a longer word follow a shorter one where letters go on", () => {
		expect(grammar({ s: [[1, "[w].\n"]] }, { w: ["big", "bigger"] })).toEqual([]);
	});
});

test("mistakes in a grammar are named", () => {
	const make = (template: string, words: GrammarSource["words"] = { w: ["a"], v: ["b"] }) =>
		new Grammar({ start: "s", rules: { s: [[1, template]] }, words });
	expect(() => make("<t>")).toThrow("no rule t");
	expect(() => make("[u]")).toThrow("no class u");
	expect(() => make("{x}")).toThrow("no name x");
	expect(() => make("[x=w] {x.he}")).toThrow("{x.he} lacks a form");
	expect(() => make("[x=w] [x=v]")).toThrow("x is drawn from two classes");
});
