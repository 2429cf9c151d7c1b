/**
 * The best loss that is possible on windows cut out of a stream of a grammar's texts: a model that starts in the middle knows
 * neither where in a tale it is nor the names drawn before, and pays for finding out. Computed exactly, by summing over all
 * places of the grammar where a window may start; a name not yet seen is drawn when it first shows.
 */

import type { Grammar, Item, Rule, WordClass } from "./grammar.ts";

/** What is still to be generated: the rest of an alternative, then what follows it. */
interface Rest {
	readonly items: readonly Item[];
	readonly index: number;
	readonly after?: Rest;
}

/** For each name seen, the words of its class that it may be. */
type Candidates = Readonly<Record<string, readonly number[]>>;

/** A place where a window may start: inside a text or word of which `text` is left. */
interface Start {
	readonly probability: number;
	readonly text: string;
	readonly rest: Rest;
	readonly candidates: Candidates;
}

/** Best possible cross-entropies on windows of an endless stream of one grammar's texts. */
export class WindowFloor {
	readonly #begin: Rest;
	/** Starts by their first character; their probabilities sum to 1. */
	readonly #starts = new Map<string, Start[]>();

	constructor(grammar: Grammar) {
		this.#begin = { items: [{ kind: "rule", rule: grammar.start }], index: 0 };
		const starts = [...startsOf(grammar.start, 1)];
		const total = starts.reduce((sum, { probability }) => sum + probability, 0); // expected characters of a text
		for (const start of starts) {
			const bucket = this.#starts.get(start.text[0]) ?? [];
			bucket.push({ ...start, probability: start.probability / total });
			this.#starts.set(start.text[0], bucket);
		}
	}

	/**
	 * Nats per character of a text in consecutive windows of `length` characters scored as in evaluation: each window after
	 * its first character, which is also the last one scored in the window before.
	 */
	perCharacter(text: string, length: number): number {
		let nats = 0;
		for (let at = 0; at + 1 < text.length; at += length) {
			const window = text.slice(at, at + length + 1);
			nats -= this.logProbability(window) - this.logProbability(window[0]);
		}
		return nats / (text.length - 1);
	}

	/** log P(a piece of the stream from a random place on is this text); -Infinity where it cannot be. */
	logProbability(text: string): number {
		const logs: number[] = [];
		for (const { probability, text: first, rest, candidates } of this.#starts.get(text[0]) ?? []) {
			if (!agree(first, text, 0)) continue;
			logs.push(Math.log(probability) + this.#log(text, first.length, rest, candidates));
		}
		return logSum(logs);
	}

	/** log P(what comes next begins with the text from `at` on). */
	#log(text: string, at: number, rest: Rest | undefined, candidates: Candidates): number {
		if (at >= text.length) return 0;
		if (rest === undefined) return this.#log(text, at, this.#begin, {}); // the next tale
		const item = rest.items[rest.index];
		if (item === undefined) return this.#log(text, at, rest.after, candidates);
		const next: Rest = { ...rest, index: rest.index + 1 };
		if (item.kind === "text") {
			return agree(item.text, text, at)
				? this.#log(text, at + item.text.length, next, candidates)
				: Number.NEGATIVE_INFINITY;
		}
		if (item.kind === "rule") {
			const { alternatives, probabilities } = item.rule;
			const logs = alternatives.map(
				(items, i) => Math.log(probabilities[i]) + this.#log(text, at, { items, index: 0, after: next }, candidates),
			);
			return logSum(logs);
		}
		const form = item.kind === "use" ? item.form : "word";
		const possible = (item.kind === "use" && candidates[item.name]) || [...item.words.words.keys()];
		const total = sumOf(item.words, possible);
		const logs: number[] = [];
		for (const [word, same] of byForm(item.words, possible, form)) {
			if (!agree(word, text, at)) continue;
			const known = item.name === undefined ? candidates : { ...candidates, [item.name]: same };
			logs.push(Math.log(sumOf(item.words, same) / total) + this.#log(text, at + word.length, next, known));
		}
		return logSum(logs);
	}
}

/** All places inside a rule, with the expected number of times a text passes each. */
function* startsOf(rule: Rule, passes: number, after?: Rest): Generator<Start> {
	for (const [i, items] of rule.alternatives.entries()) {
		const each = passes * rule.probabilities[i];
		for (const [k, item] of items.entries()) {
			const rest: Rest = { items, index: k + 1, after };
			if (item.kind === "rule") yield* startsOf(item.rule, each, rest);
			else if (item.kind === "text") yield* startsInside(item.text, each, rest, {});
			else {
				const all = [...item.words.words.keys()];
				for (const [word, same] of byForm(item.words, all, item.kind === "use" ? item.form : "word")) {
					const known = item.name === undefined ? {} : { [item.name]: same };
					yield* startsInside(word, each * sumOf(item.words, same), rest, known);
				}
			}
		}
	}
}

function* startsInside(text: string, probability: number, rest: Rest, candidates: Candidates): Generator<Start> {
	for (let i = 0; i < text.length; i++) yield { probability, text: text.slice(i), rest, candidates };
}

/** The given words of a class, grouped by how they read in a form. */
function byForm({ words }: WordClass, indices: readonly number[], form: string): Map<string, number[]> {
	const groups = new Map<string, number[]>();
	for (const index of indices) {
		const group = groups.get(words[index][form]);
		if (group === undefined) groups.set(words[index][form], [index]);
		else group.push(index);
	}
	return groups;
}

function sumOf({ probabilities }: WordClass, indices: readonly number[]): number {
	return indices.reduce((sum, index) => sum + probabilities[index], 0);
}

/** Whether a piece and the text from `at` on agree as far as both go. */
function agree(piece: string, text: string, at: number): boolean {
	return text.length - at >= piece.length ? text.startsWith(piece, at) : piece.startsWith(text.slice(at));
}

/** log of the sum of exponentials. */
function logSum(logs: readonly number[]): number {
	const most = logs.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
	if (most === Number.NEGATIVE_INFINITY) return most;
	return most + Math.log(logs.reduce((sum, log) => sum + Math.exp(log - most), 0));
}
