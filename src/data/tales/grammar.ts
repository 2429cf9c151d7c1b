/**
 * Stochastic grammars whose texts have a known entropy: every random choice can be read back from the text, so the
 * probability of a text is the product of its choices' and the entropy is that of the choices, summed exactly over the grammar.
 *
 * A rule is a list of weighted templates. In a template, `<rule>` expands a rule, `[class]` draws a word, `[name=class]` draws a
 * word and remembers it under a name, `{name}` repeats it and `{name.form}` gives another form of it (she, her).
 * Words of a class are drawn by the Zipf-Mandelbrot law: number r (from 1) with a weight of 1 / (r + 1).
 */

/** A word, alone or with further forms: { word: "Mia", he: "she" }. */
export type Word = string | { readonly word: string; readonly [form: string]: string };

export interface GrammarSource {
	readonly start: string;
	readonly rules: Readonly<Record<string, readonly (readonly [weight: number, template: string])[]>>;
	readonly words: Readonly<Record<string, readonly Word[]>>;
}

export interface WordClass {
	readonly words: readonly { readonly [form: string]: string }[];
	readonly probabilities: readonly number[];
}

export type Item =
	| { readonly kind: "text"; readonly text: string }
	| { readonly kind: "rule"; readonly rule: Rule }
	| { readonly kind: "draw"; readonly words: WordClass; readonly name?: string }
	| { readonly kind: "use"; readonly words: WordClass; readonly name: string; readonly form: string };

export interface Rule {
	readonly name: string;
	/** Filled after all rules exist, since they name each other. */
	alternatives: readonly (readonly Item[])[];
	probabilities: readonly number[];
}

/** A text (or part of one) with its surprisal in nats, -log of its probability. */
export interface Sample {
	readonly text: string;
	readonly nats: number;
}

/** Which word each name stands for, as an index into its class. */
type Memory = Readonly<Record<string, number>>;

export class Grammar {
	readonly start: Rule;
	readonly rules: readonly Rule[];

	constructor({ start, rules, words }: GrammarSource) {
		const classes = new Map(Object.entries(words).map(([name, list]) => [name, wordClass(list)]));
		const byName = new Map<string, Rule>();
		for (const name of Object.keys(rules)) byName.set(name, { name, alternatives: [], probabilities: [] });
		const named = namedClasses(Object.values(rules).flatMap((list) => list.map(([, template]) => template)));
		for (const [name, list] of Object.entries(rules)) {
			const rule = byName.get(name)!;
			rule.alternatives = list.map(([, template]) => compile(template, byName, classes, named));
			rule.probabilities = normalise(list.map(([weight]) => weight));
		}
		this.rules = [...byName.values()];
		this.start = find(byName, start, "rule");
	}

	/** Draws a text; `uniform` gives numbers in [0, 1). */
	sample(uniform: () => number): Sample {
		const memory: Record<string, number> = {};
		let text = "";
		let nats = 0;
		const choose = (probabilities: readonly number[]): number => {
			const index = pick(probabilities, uniform());
			nats -= Math.log(probabilities[index]);
			return index;
		};
		const expand = (items: readonly Item[]): void => {
			for (const item of items) {
				if (item.kind === "text") text += item.text;
				else if (item.kind === "rule") expand(item.rule.alternatives[choose(item.rule.probabilities)]);
				else if (item.kind === "use") text += item.words.words[memory[item.name]][item.form];
				else {
					const index = choose(item.words.probabilities);
					if (item.name !== undefined) memory[item.name] = index;
					text += item.words.words[index].word;
				}
			}
		};
		expand([{ kind: "rule", rule: this.start }]);
		return { text, nats };
	}

	/**
	 * Reads one text of the grammar that begins at `at`: where it ends, its surprisal in nats and the index of each choice in
	 * order; undefined when there is none. Throws when the choices are not unique, which `findAmbiguities` rules out.
	 */
	parse(text: string, at = 0): { end: number; nats: number; choices: number[] } | undefined {
		const found = parseItems([{ kind: "rule", rule: this.start }], text, { at, nats: 0, memory: {}, choices: [] });
		return found && { end: found.at, nats: found.nats, choices: found.choices };
	}

	/**
	 * Expected surprisal (the entropy, in nats) and characters of one text, exactly: each rule's sums over its alternatives,
	 * each rule once. Words are drawn independently of the alternatives chosen, so a repeated word counts its mean length.
	 */
	expectation(): { nats: number; characters: number } {
		const known = new Map<Rule, { nats: number; characters: number }>();
		const ofRule = (rule: Rule): { nats: number; characters: number } => {
			const before = known.get(rule);
			if (before !== undefined) return before;
			let nats = entropy(rule.probabilities);
			let characters = 0;
			rule.alternatives.forEach((items, i) => {
				for (const item of items) {
					const each = ofItem(item);
					nats += rule.probabilities[i] * each.nats;
					characters += rule.probabilities[i] * each.characters;
				}
			});
			known.set(rule, { nats, characters });
			return { nats, characters };
		};
		const ofItem = (item: Item): { nats: number; characters: number } => {
			if (item.kind === "text") return { nats: 0, characters: item.text.length };
			if (item.kind === "rule") return ofRule(item.rule);
			const { words, probabilities } = item.words;
			const form = item.kind === "use" ? item.form : "word";
			const characters = words.reduce((sum, word, i) => sum + probabilities[i] * word[form].length, 0);
			return { nats: item.kind === "use" ? 0 : entropy(probabilities), characters };
		};
		return ofRule(this.start);
	}
}

function wordClass(list: readonly Word[]): WordClass {
	const words = list.map((word) => (typeof word === "string" ? { word } : word));
	return { words, probabilities: normalise(words.map((_, rank) => 1 / (rank + 2))) };
}

function normalise(weights: readonly number[]): number[] {
	const sum = weights.reduce((total, weight) => total + weight, 0);
	return weights.map((weight) => weight / sum);
}

function entropy(probabilities: readonly number[]): number {
	return probabilities.reduce((sum, p) => sum - p * Math.log(p), 0);
}

function pick(probabilities: readonly number[], u: number): number {
	let below = 0;
	for (let i = 0; i < probabilities.length - 1; i++) {
		below += probabilities[i];
		if (u < below) return i;
	}
	return probabilities.length - 1;
}

const slot = /<(\w+)>|\[(?:(\w+)=)?(\w+)\]|\{(\w+)(?:\.(\w+))?\}/g;

/** The class that each name is drawn from; a name has one class only. */
function namedClasses(templates: readonly string[]): Map<string, string> {
	const named = new Map<string, string>();
	for (const template of templates) {
		for (const [, , name, words] of template.matchAll(slot)) {
			if (name === undefined) continue;
			if ((named.get(name) ?? words) !== words) throw new Error(`[grammar] ${name} is drawn from two classes`);
			named.set(name, words);
		}
	}
	return named;
}

function compile(
	template: string,
	rules: ReadonlyMap<string, Rule>,
	classes: ReadonlyMap<string, WordClass>,
	named: ReadonlyMap<string, string>,
): Item[] {
	const items: Item[] = [];
	let at = 0;
	for (const match of template.matchAll(slot)) {
		if (match.index > at) items.push({ kind: "text", text: template.slice(at, match.index) });
		at = match.index + match[0].length;
		const [, rule, name, words, used, form = "word"] = match;
		if (rule !== undefined) items.push({ kind: "rule", rule: find(rules, rule, "rule") });
		else if (words !== undefined) items.push({ kind: "draw", words: find(classes, words, "class"), name });
		else {
			const used_ = find(classes, find(named, used, "name"), "class");
			if (used_.words.some((word) => word[form] === undefined))
				throw new Error(`[grammar] {${used}.${form}} lacks a form`);
			items.push({ kind: "use", words: used_, name: used, form });
		}
	}
	if (at < template.length) items.push({ kind: "text", text: template.slice(at) });
	return items;
}

function find<T>(map: ReadonlyMap<string, T>, name: string, what: string): T {
	const found = map.get(name);
	if (found === undefined) throw new Error(`[grammar] there is no ${what} ${name}`);
	return found;
}

interface Parsed {
	readonly at: number;
	readonly nats: number;
	readonly memory: Memory;
	readonly choices: number[];
}

function parseItems(items: readonly Item[], text: string, start: Parsed): Parsed | undefined {
	let now: Parsed | undefined = start;
	for (const item of items) {
		if (item.kind === "text")
			now = text.startsWith(item.text, now.at) ? { ...now, at: now.at + item.text.length } : undefined;
		else if (item.kind === "rule") now = parseRule(item.rule, text, now);
		else if (item.kind === "draw") now = parseDraw(item.words, item.name, text, now);
		else {
			const word: string = item.words.words[now.memory[item.name]][item.form];
			now = wordStands(word, text, now.at) ? { ...now, at: now.at + word.length } : undefined;
		}
		if (now === undefined) return undefined;
	}
	return now;
}

function parseRule(rule: Rule, text: string, now: Parsed): Parsed | undefined {
	let found: Parsed | undefined;
	rule.alternatives.forEach((items, i) => {
		const nats = now.nats - Math.log(rule.probabilities[i]);
		const parsed = parseItems(items, text, { ...now, nats, choices: [...now.choices, i] });
		if (parsed !== undefined && found !== undefined)
			throw new Error(`[grammar] <${rule.name}> is ambiguous at ${now.at}`);
		found ??= parsed;
	});
	return found;
}

function parseDraw(words: WordClass, name: string | undefined, text: string, now: Parsed): Parsed | undefined {
	const index = words.words.findIndex(({ word }) => wordStands(word, text, now.at));
	if (index < 0) return undefined;
	return {
		at: now.at + words.words[index].word.length,
		nats: now.nats - Math.log(words.probabilities[index]),
		memory: name === undefined ? now.memory : { ...now.memory, [name]: index },
		choices: [...now.choices, index],
	};
}

/** Whether the text has this word at a place, and not as the beginning of a longer one. */
function wordStands(word: string, text: string, at: number): boolean {
	return text.startsWith(word, at) && !isLetter(text[at + word.length] ?? "");
}

export function isLetter(character: string): boolean {
	return /^[A-Za-z]$/.test(character);
}
