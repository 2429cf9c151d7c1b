/** What every tokenizer is: text to ids and back, whole or in a stream, and its Hugging Face `tokenizer.json`. */

import { createHash } from "node:crypto";

/** The names that `--data.tokenizer` takes. */
export const tokenizerKinds = ["char", "byte", "gpt2", "bpe"] as const;
/** One of `tokenizerKinds`. */
export type TokenizerKind = (typeof tokenizerKinds)[number];

/** The part of a `tokenizer.json` that Rivulet writes; the field names and order are the format's own. */
export interface TokenizerJson {
	version: "1.0";
	truncation: null;
	padding: null;
	added_tokens: AddedToken[];
	normalizer: null;
	pre_tokenizer: { type: string; [option: string]: unknown } | null;
	post_processor: null;
	decoder: { type: string; [option: string]: unknown };
	model: {
		type: "BPE";
		dropout: null;
		unk_token: null;
		continuing_subword_prefix: null;
		end_of_word_suffix: null;
		fuse_unk: false;
		byte_fallback: false;
		ignore_merges: false;
		vocab: Record<string, number>;
		merges: string[];
	};
}

/** A token that is recognised in the text before anything else, such as <|endoftext|>. */
export interface AddedToken {
	id: number;
	content: string;
	single_word: false;
	lstrip: false;
	rstrip: false;
	normalized: false;
	special: boolean;
}

/** Text to ids and back. */
export interface Tokenizer {
	readonly kind: TokenizerKind;
	/** V: ids are 0..V-1. */
	readonly vocabularySize: number;
	/**
	 * The ids of a whole text. `at` is the index its first token has in a longer text, for error messages only.
	 * @throws RivuletError token-unknown, naming a character the vocabulary lacks; text-not-unicode for half a surrogate pair.
	 */
	encode(text: string, at?: number): Int32Array;
	/**
	 * The ids of as much of the text as is certain whatever may follow, and how many UTF-16 units that was.
	 * `encode(text)` always begins with these ids.
	 */
	encodePrefix(text: string, at?: number): { ids: Int32Array; used: number };
	/** The text of ids; bytes that are not UTF-8 become U+FFFD. */
	decode(ids: ArrayLike<number>): string;
	/** The exact bytes of ids. */
	decodeBytes(ids: ArrayLike<number>): Uint8Array;
	toJSON(): TokenizerJson;
}

/** Encodes a text that comes in chunks cut anywhere; all the ids given, in order, are those of `encode(whole text)`. */
export class StreamEncoder {
	readonly #tokenizer: Tokenizer;
	#waiting = "";
	#given = 0;

	constructor(tokenizer: Tokenizer) {
		this.#tokenizer = tokenizer;
	}

	/** The ids that are certain so far and were not given before. */
	push(chunk: string): Int32Array {
		const text = this.#waiting + chunk;
		const { ids, used } = this.#tokenizer.encodePrefix(text, this.#given);
		this.#waiting = text.slice(used);
		this.#given += ids.length;
		return ids;
	}

	/** Call after the last chunk: the ids of what was held back. */
	end(): Int32Array {
		const ids = this.#tokenizer.encode(this.#waiting, this.#given);
		this.#waiting = "";
		this.#given += ids.length;
		return ids;
	}
}

/** Decodes ids one by one; the bytes of an unfinished UTF-8 character are held back until it is complete. */
export class StreamDecoder {
	readonly #tokenizer: Tokenizer;
	readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

	constructor(tokenizer: Tokenizer) {
		this.#tokenizer = tokenizer;
	}

	/** The text that this id completes, often "". */
	push(id: number): string {
		return this.#decoder.decode(this.#tokenizer.decodeBytes([id]), { stream: true });
	}

	/** What is left at the end: U+FFFD for a character never completed, else "". */
	end(): string {
		return this.#decoder.decode();
	}
}

/** SHA-256 (hex) of what the tokenizer does, the same for equal tokenizers on any machine. */
export function tokenizerHash(tokenizer: Tokenizer): string {
	return createHash("sha256").update(JSON.stringify(tokenizer.toJSON())).digest("hex");
}

/** Bytes of text that each id stands for. */
export function byteLengths(tokenizer: Tokenizer): Int32Array {
	const lengths = new Int32Array(tokenizer.vocabularySize);
	for (let id = 0; id < lengths.length; id++) lengths[id] = tokenizer.decodeBytes([id]).length;
	return lengths;
}

/** A `tokenizer.json` with the settings that all of ours share. Vocabularies may hold names like "__proto__", so entries. */
export function tokenizerJson(
	vocabulary: Iterable<readonly [string, number]>,
	merges: string[],
	preTokenizer: TokenizerJson["pre_tokenizer"],
	decoder: TokenizerJson["decoder"],
	added: AddedToken[] = [],
): TokenizerJson {
	return {
		version: "1.0",
		truncation: null,
		padding: null,
		added_tokens: added,
		normalizer: null,
		pre_tokenizer: preTokenizer,
		post_processor: null,
		decoder,
		model: {
			type: "BPE",
			dropout: null,
			unk_token: null,
			continuing_subword_prefix: null,
			end_of_word_suffix: null,
			fuse_unk: false,
			byte_fallback: false,
			ignore_merges: false,
			vocab: Object.fromEntries(vocabulary),
			merges,
		},
	};
}

/** Length of the text without a final high surrogate, whose other half may come in the next chunk. */
export function wholeLength(text: string): number {
	const last = text.charCodeAt(text.length - 1);
	return last >= 0xd800 && last < 0xdc00 ? text.length - 1 : text.length;
}
