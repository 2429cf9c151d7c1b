/**
 * Proof that a grammar's choices can be read back from its texts: at every choice, the alternatives differ in their first word,
 * so a reader who sees one word ahead always knows which was chosen. Used by tests; a sufficient condition, not a necessary one.
 */

import { type Grammar, type Item, isLetter, type Rule } from "./grammar.ts";

/** What a text can begin with, up to its first white space; `open` when it ends before one and a non-letter follows. */
interface Opening {
	readonly text: string;
	readonly open: boolean;
}

/** All reasons why the grammar might be ambiguous or ill-formed; empty for a good one. */
export function findAmbiguities(grammar: Grammar): string[] {
	const problems: string[] = [];
	for (const rule of grammar.rules) {
		for (const items of rule.alternatives) problems.push(...badNeighbours(rule, items));
		const openings = rule.alternatives.map((items) => openingsOf(items));
		openings.forEach((some, i) => {
			for (const others of openings.slice(i + 1)) {
				const clash = findClash(some, others);
				if (clash !== undefined)
					problems.push(`<${rule.name}>: two alternatives may begin with ${JSON.stringify(clash)}`);
			}
		});
		for (const item of rule.alternatives.flat()) if (item.kind === "draw") problems.push(...clashingWords(rule, item));
	}
	problems.push(...namesOutOfOrder(grammar.start, new Set()).problems);
	return [...new Set(problems)];
}

/** A word or rule must be followed by something that is no letter, so that one sees where it ends. */
function badNeighbours({ name }: Rule, items: readonly Item[]): string[] {
	const problems: string[] = items.length === 0 ? [`<${name}>: an empty alternative`] : [];
	items.forEach((item, i) => {
		const next = items[i + 1];
		if (item.kind === "text" || next === undefined) return;
		if (next.kind !== "text" || isLetter(next.text[0]))
			problems.push(`<${name}>: a slot is not followed by space or punctuation`);
	});
	return problems;
}

function openingsOf(items: readonly Item[]): Opening[] {
	let openings: Opening[] = [{ text: "", open: true }];
	for (const item of items) {
		const parts = partsOf(item);
		const longer = openings
			.filter(({ open }) => open)
			.flatMap(({ text }) => parts.map((part) => ({ text: text + part.text, open: part.open })));
		openings = [...openings.filter(({ open }) => !open), ...longer];
		if (!openings.some(({ open }) => open)) break;
	}
	return openings;
}

function partsOf(item: Item): Opening[] {
	if (item.kind === "rule") return item.rule.alternatives.flatMap((items) => openingsOf(items));
	const texts = item.kind === "text" ? [item.text] : wordsOf(item);
	return texts.map((text) => {
		const space = text.search(/\s/);
		return space < 0 ? { text, open: true } : { text: text.slice(0, space), open: false };
	});
}

function wordsOf(item: Exclude<Item, { kind: "text" | "rule" }>): string[] {
	return item.words.words.map((word) => word[item.kind === "use" ? item.form : "word"]);
}

function findClash(some: readonly Opening[], others: readonly Opening[]): string | undefined {
	for (const a of some) for (const b of others) if (mayBeEqual(a, b) || mayBeEqual(b, a)) return a.text;
	return undefined;
}

/** Whether what begins with `a` could also begin with `b`. */
function mayBeEqual(a: Opening, b: Opening): boolean {
	if (!a.open) return a.text === b.text && !b.open;
	return b.text.startsWith(a.text) && !isLetter(b.text[a.text.length] ?? "");
}

/** Words of one class must differ, and none may continue another after a word's end. */
function clashingWords({ name }: Rule, { words }: Extract<Item, { kind: "draw" }>): string[] {
	const all = words.words.map(({ word }) => word);
	const clash = all.find((word, i) =>
		all.some((other, k) => k !== i && other.startsWith(word) && !isLetter(other[word.length] ?? "")),
	);
	return clash === undefined ? [] : [`<${name}>: the word ${clash} begins another of its class`];
}

/** Every name is drawn exactly once on every way through the grammar, and before it is used. */
function namesOutOfOrder(rule: Rule, before: ReadonlySet<string>): { problems: string[]; after: Set<string> } {
	const problems: string[] = [];
	const afters = rule.alternatives.map((items) => {
		let known = new Set(before);
		for (const item of items) {
			if (item.kind === "use" && !known.has(item.name))
				problems.push(`<${rule.name}>: ${item.name} is used before it is drawn`);
			if (item.kind === "draw" && item.name !== undefined) {
				if (known.has(item.name)) problems.push(`<${rule.name}>: ${item.name} is drawn twice`);
				known.add(item.name);
			}
			if (item.kind === "rule") {
				const inner = namesOutOfOrder(item.rule, known);
				problems.push(...inner.problems);
				known = inner.after;
			}
		}
		return known;
	});
	const [first] = afters;
	if (afters.some((names) => names.size !== first.size || [...names].some((name) => !first.has(name)))) {
		problems.push(`<${rule.name}>: its alternatives draw different names`);
	}
	return { problems, after: first };
}
