/** Byte-level byte-pair encoding (Sennrich et al. 2016; GPT-2's form over bytes): encoding, decoding and its tokenizer.json. */

import { Heap } from "../../base/heap.ts";
import { byteAlphabet, utf8Bytes } from "./bytes.ts";
import { lookahead, pieceEnd } from "./pieces.ts";
import { type Tokenizer, type TokenizerJson, tokenizerJson } from "./tokenizer.ts";

/** What defines a byte-pair vocabulary. */
export interface BytePairs {
	/** Bytes of each token by id, those of the special tokens included. All 256 single bytes are among them. */
	readonly tokens: readonly Uint8Array[];
	/** Merges in order of rank: (id of left, id of right, id of both joined). Each pair once. */
	readonly merges: readonly (readonly [left: number, right: number, joined: number])[];
	/** Tokens recognised in the text before it is cut into pieces, by content. Not empty strings. */
	readonly special: ReadonlyMap<string, number>;
}

/** Ids and ranks are below 2^20, and pieces below 2^18 bytes, so that pairs and (rank, place) fit exact integers. */
const idBits = 2 ** 20;
const placeBits = 2 ** 20;
export const largestVocabulary = idBits;

const cacheSize = 2 ** 16;
const longestCached = 64;

/** Byte-level byte pairs, of GPT-2 or trained here. */
export class BytePairTokenizer implements Tokenizer {
	readonly kind: "gpt2" | "bpe";
	readonly vocabularySize: number;
	readonly #tokens: readonly Uint8Array[];
	readonly #merges: BytePairs["merges"];
	readonly #special: ReadonlyMap<string, number>;
	readonly #idOfByte = new Int32Array(256);
	/** Rank of each pair, keyed left * 2^20 + right. */
	readonly #ranks = new Map<number, number>();
	/** Ids of pieces seen before. */
	readonly #cache = new Map<string, Int32Array>();
	readonly #specials: RegExp | undefined;

	constructor(kind: "gpt2" | "bpe", { tokens, merges, special }: BytePairs) {
		this.kind = kind;
		this.vocabularySize = tokens.length;
		this.#tokens = tokens;
		this.#merges = merges;
		this.#special = special;
		const specialIds = new Set(special.values());
		tokens.forEach((bytes, id) => {
			if (bytes.length === 1 && !specialIds.has(id)) this.#idOfByte[bytes[0]] = id;
		});
		merges.forEach(([left, right], rank) => this.#ranks.set(left * idBits + right, rank));
		if (special.size > 0) {
			const longestFirst = [...special.keys()].sort((a, b) => b.length - a.length);
			this.#specials = new RegExp(longestFirst.map(escapeExpression).join("|"), "gu");
		}
	}

	encode(text: string): Int32Array {
		const ids: number[] = [];
		this.#encodeInto(ids, text, true);
		return Int32Array.from(ids);
	}

	encodePrefix(text: string): { ids: Int32Array; used: number } {
		const ids: number[] = [];
		const used = this.#encodeInto(ids, text, false);
		return { ids: Int32Array.from(ids), used };
	}

	decode(ids: ArrayLike<number>): string {
		return new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.decodeBytes(ids));
	}

	decodeBytes(ids: ArrayLike<number>): Uint8Array {
		const parts: Uint8Array[] = [];
		for (let i = 0; i < ids.length; i++) {
			const token = this.#tokens[ids[i]];
			if (token === undefined) throw new Error(`[decode] expected ids below ${this.vocabularySize}, got ${ids[i]}`);
			parts.push(token);
		}
		return Buffer.concat(parts);
	}

	toJSON(): TokenizerJson {
		const contents = new Map([...this.#special].map(([content, id]) => [id, content]));
		const spelled = this.#tokens.map((bytes, id) => contents.get(id) ?? spell(bytes));
		const added = [...contents]
			.sort(([a], [b]) => a - b)
			.map(([id, content]) => ({
				id,
				content,
				single_word: false as const,
				lstrip: false as const,
				rstrip: false as const,
				normalized: false as const,
				special: true,
			}));
		return tokenizerJson(
			spelled.map((token, id) => [token, id] as const),
			this.#merges.map(([left, right]) => `${spelled[left]} ${spelled[right]}`),
			{ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
			{ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
			added,
		);
	}

	/** Appends the ids of the text, or, unless it is `whole`, of the part of it that is certain. Returns how much that was. */
	#encodeInto(ids: number[], text: string, whole: boolean): number {
		let used = 0;
		for (const match of this.#specials === undefined ? [] : text.matchAll(this.#specials)) {
			if (!whole && this.#possibleSpecial(text, used) <= match.index) break; // it may become a longer one
			this.#encodePieces(ids, text, used, match.index, true);
			ids.push(this.#special.get(match[0])!);
			used = match.index + match[0].length;
		}
		const end = whole ? text.length : this.#possibleSpecial(text, used);
		return this.#encodePieces(ids, text, used, end, whole);
	}

	/** Where a special token that the next chunk completes may begin, or the end of the text. */
	#possibleSpecial(text: string, from: number): number {
		let first = text.length;
		for (const content of this.#special.keys()) {
			for (let start = Math.max(from, text.length - content.length + 1); start < first; start++) {
				if (content.startsWith(text.slice(start))) first = start;
			}
		}
		return first;
	}

	#encodePieces(ids: number[], text: string, start: number, end: number, whole: boolean): number {
		let used = start;
		while (used < end) {
			const next = pieceEnd(text, used, end);
			if (!whole && next > end - lookahead) break;
			this.#encodePiece(ids, text.slice(used, next));
			used = next;
		}
		return used;
	}

	#encodePiece(ids: number[], piece: string): void {
		let found = this.#cache.get(piece);
		if (found === undefined) {
			found = this.#merge(utf8Bytes(piece));
			if (piece.length <= longestCached) {
				if (this.#cache.size >= cacheSize) this.#cache.clear();
				this.#cache.set(piece, found);
			}
		}
		for (let i = 0; i < found.length; i++) ids.push(found[i]);
	}

	/** Applies merges to the bytes of a piece, lowest rank first, leftmost first among equals: n log n. */
	#merge(bytes: Uint8Array): Int32Array {
		const n = bytes.length;
		const symbols = Int32Array.from(bytes, (byte) => this.#idOfByte[byte]);
		if (n === 1) return symbols;
		// A linked list of the symbols left: merging (i, next[i]) keeps i.
		const next = Int32Array.from({ length: n }, (_, i) => i + 1);
		const previous = Int32Array.from({ length: n }, (_, i) => i - 1);
		const candidates = new Heap<number>((a, b) => a < b);
		const consider = (i: number) => {
			if (i < 0 || next[i] >= n) return;
			const rank = this.#ranks.get(symbols[i] * idBits + symbols[next[i]]);
			if (rank !== undefined) candidates.push(rank * placeBits + i);
		};
		for (let i = 0; i < n - 1; i++) consider(i);
		for (let top = candidates.pop(); top !== undefined; top = candidates.pop()) {
			const i = top % placeBits;
			const [left, right, joined] = this.#merges[Math.floor(top / placeBits)];
			const j = next[i];
			if (symbols[i] !== left || j >= n || symbols[j] !== right) continue; // changed since it was a candidate
			symbols[i] = joined;
			symbols[j] = -1;
			next[i] = next[j];
			if (next[j] < n) previous[next[j]] = i;
			consider(previous[i]);
			consider(i);
		}
		return symbols.filter((symbol) => symbol >= 0);
	}
}

/** Bytes in the byte alphabet of tokenizer.json. */
export function spell(bytes: Uint8Array): string {
	let text = "";
	for (const byte of bytes) text += byteAlphabet[byte];
	return text;
}

function escapeExpression(text: string): string {
	return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
