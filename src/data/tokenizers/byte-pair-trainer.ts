/** Trains a byte-level byte-pair vocabulary on a corpus: one pass to count pieces in bounded memory, then merges. */

import { RivuletError } from "../../base/errors.ts";
import { Heap } from "../../base/heap.ts";
import { type BytePairs, BytePairTokenizer, largestVocabulary } from "./byte-pairs.ts";
import { lookahead, pieceEnd } from "./pieces.ts";

/** Distinct pieces kept while counting. Corpora with more lose the rarest, which no merge would be made for. */
const mostPieces = 2 ** 20;
/** Longer pieces (not words: base64, rulers) are not counted. */
const longestCounted = 128;
/** A pair seen less often makes no merge. */
const leastCount = 2;
const idBits = largestVocabulary;

/** How often each piece occurs. With more than `most` distinct pieces the rarest are dropped as counting goes on. */
export async function countPieces(chunks: AsyncIterable<string>, most = mostPieces): Promise<Map<string, number>> {
	const counts = new Map<string, number>();
	let floor = 1;
	let waiting = "";
	const count = (text: string, whole: boolean): number => {
		let used = 0;
		while (used < text.length) {
			const next = pieceEnd(text, used, text.length);
			if (!whole && next > text.length - lookahead) break;
			if (next - used <= longestCounted) {
				const piece = text.slice(used, next);
				counts.set(piece, (counts.get(piece) ?? 0) + 1);
				if (counts.size > most) floor = dropRare(counts, floor, most / 2);
			}
			used = next;
		}
		return used;
	};
	for await (const chunk of chunks) {
		const text = waiting + chunk;
		waiting = text.slice(count(text, false));
	}
	count(waiting, true);
	return counts;
}

/** Drops pieces counted at most `floor` times, raising it until `target` or fewer are left, so that dropping is rare. */
function dropRare(counts: Map<string, number>, floor: number, target: number): number {
	let threshold = floor;
	for (; counts.size > target; threshold++) {
		for (const [piece, count] of counts) if (count <= threshold) counts.delete(piece);
	}
	return threshold;
}

/**
 * A tokenizer of at most `vocabularySize` ids: the 256 bytes (id = byte), then one id per merge of the most frequent pair of
 * neighbours (of equal ones, the pair with the smaller ids). Fewer when no pair is left that occurs twice.
 */
export async function trainBytePairs(
	chunks: AsyncIterable<string>,
	vocabularySize: number,
): Promise<BytePairTokenizer> {
	if (!Number.isInteger(vocabularySize) || vocabularySize < 257 || vocabularySize > largestVocabulary) {
		throw new RivuletError(
			"vocabulary-size",
			`the vocabulary of a trained byte-pair tokenizer has 257 to ${largestVocabulary} ids, not ${vocabularySize}`,
			{ hint: "Use --data.tokenizer byte for the 256 bytes alone.", exitStatus: 2 },
		);
	}
	return new BytePairTokenizer("bpe", learnMerges(await countPieces(chunks), vocabularySize));
}

interface Pair {
	readonly count: number;
	readonly key: number;
}

/** The merges, with counts of pairs kept up to date: each merge looks only at the words that hold its pair. */
function learnMerges(counts: ReadonlyMap<string, number>, vocabularySize: number): BytePairs {
	const words: Int32Array[] = [];
	const weights: number[] = [];
	for (const [piece, count] of counts) {
		const bytes = Buffer.from(piece);
		if (bytes.length < 2) continue;
		words.push(Int32Array.from(bytes));
		weights.push(count);
	}
	const pairs = new PairCounts();
	words.forEach((word, index) => pairs.add(word, weights[index], index));
	const heap = new Heap<Pair>((a, b) => a.count > b.count || (a.count === b.count && a.key < b.key));
	const push = (key: number) => heap.push({ count: pairs.count(key), key });
	for (const key of pairs.takeChanged()) push(key);

	const tokens: Uint8Array[] = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
	const merges: [number, number, number][] = [];
	for (let best = heap.pop(); best !== undefined && tokens.length < vocabularySize; best = heap.pop()) {
		if (best.count < leastCount) break;
		if (best.count !== pairs.count(best.key)) continue; // out of date; its present count is in the heap too
		const left = Math.floor(best.key / idBits);
		const right = best.key % idBits;
		const joined = tokens.length;
		tokens.push(Buffer.concat([tokens[left], tokens[right]]));
		merges.push([left, right, joined]);
		for (const index of pairs.takeWords(best.key)) {
			const merged = mergePair(words[index], left, right, joined);
			if (merged === words[index]) continue;
			pairs.remove(words[index], weights[index]);
			pairs.add(merged, weights[index], index, joined);
			words[index] = merged;
		}
		for (const key of pairs.takeChanged()) push(key);
	}
	return { tokens, merges, special: new Map() };
}

/** The word with each (left, right), from the left, replaced by `joined`; the same object when there is none. */
function mergePair(word: Int32Array, left: number, right: number, joined: number): Int32Array {
	const merged: number[] = [];
	for (let i = 0; i < word.length; i++) {
		const found = word[i] === left && i + 1 < word.length && word[i + 1] === right;
		merged.push(found ? joined : word[i]);
		if (found) i++;
	}
	return merged.length === word.length ? word : Int32Array.from(merged);
}

/** Weighted counts of neighbouring pairs (keyed left * 2^20 + right), and the words that may hold each. */
class PairCounts {
	readonly #counts = new Map<number, number>();
	readonly #words = new Map<number, number[]>();
	#changed = new Set<number>();

	count(key: number): number {
		return this.#counts.get(key) ?? 0;
	}

	/** @param newest if given, the word is already known to hold its pairs without this id. */
	add(word: Int32Array, weight: number, index: number, newest?: number): void {
		for (let i = 0; i + 1 < word.length; i++) {
			const key = word[i] * idBits + word[i + 1];
			this.#change(key, weight);
			if (newest !== undefined && word[i] !== newest && word[i + 1] !== newest) continue;
			const words = this.#words.get(key);
			if (words === undefined) this.#words.set(key, [index]);
			else if (words[words.length - 1] !== index) words.push(index);
		}
	}

	remove(word: Int32Array, weight: number): void {
		for (let i = 0; i + 1 < word.length; i++) this.#change(word[i] * idBits + word[i + 1], -weight);
	}

	/** The words that may hold the pair, each once; forgets them, for the pair is about to be merged away. */
	takeWords(key: number): Set<number> {
		const words = new Set(this.#words.get(key));
		this.#words.delete(key);
		return words;
	}

	/** Pairs still there whose count was touched since the last call. */
	takeChanged(): number[] {
		const changed = [...this.#changed].filter((key) => this.#counts.has(key));
		this.#changed = new Set();
		return changed;
	}

	#change(key: number, by: number): void {
		const count = (this.#counts.get(key) ?? 0) + by;
		if (count === 0) this.#counts.delete(key);
		else this.#counts.set(key, count);
		this.#changed.add(key);
	}
}
