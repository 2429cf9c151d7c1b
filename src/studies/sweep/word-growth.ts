/** How the words of a sweep's training text grow with it: Heaps' exponent, measured on the text that the runs saw. */
import type { TokenFile, Tokenizer } from "../../data/index.ts";
import { fitHeaps, type HeapsFit } from "../../laws/corpus/index.ts";
import { defineConfig, openSubject } from "../../train/index.ts";
import { dataOf, type SweepManifest } from "./sweep-folder.ts";

const chunkTokens = 65_536;
/** Words of the first prefix; each further one is twice as long. */
const firstPrefix = 256;

/** Heaps' exponent of the text that a sweep's runs saw; null where it is too short to tell. */
export async function measureWords({ request, ladder }: SweepManifest): Promise<number | null> {
	const { text } = await openSubject(defineConfig({ data: dataOf(request) }));
	return text && (wordGrowth(text.train, text.tokenizer, ladder.tokens.at(-1))?.h ?? null);
}

/**
 * Heaps' law of the words (what white space separates) in the first `most` tokens.
 * @returns null for a text too short to fit
 */
export function wordGrowth(tokens: TokenFile, tokenizer: Tokenizer, most = tokens.length): HeapsFit | null {
	const types = new Set<string>();
	const lengths: number[] = [];
	const counts: number[] = [];
	let words = 0;
	const add = (list: readonly string[]) => {
		for (const word of list) {
			if (word === "") continue;
			// A copy: a part of a string would keep all of it in memory.
			if (!types.has(word)) types.add(Buffer.from(word).toString());
			words++;
			if (words === firstPrefix * 2 ** lengths.length) {
				lengths.push(words);
				counts.push(types.size);
			}
		}
	};
	let rest = "";
	for (const text of decoded(tokens, tokenizer, Math.min(most, tokens.length))) {
		const parts = (rest + text).split(/\p{White_Space}+/u);
		rest = parts.pop() as string;
		add(parts);
	}
	add([rest]);
	if (words > (lengths.at(-1) ?? 0)) {
		lengths.push(words);
		counts.push(types.size);
	}
	return fitHeaps(lengths, counts);
}

function* decoded(tokens: TokenFile, tokenizer: Tokenizer, end: number): Generator<string> {
	const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
	const block = new Int32Array(chunkTokens);
	for (let at = 0; at < end; at += chunkTokens) {
		const count = Math.min(chunkTokens, end - at);
		tokens.read(at, count, block);
		yield decoder.decode(tokenizer.decodeBytes(block.subarray(0, count)), { stream: true });
	}
	yield decoder.decode();
}
