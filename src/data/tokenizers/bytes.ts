/** The byte tokenizer: id = byte of the UTF-8 text, 256 ids; and the byte alphabet in which tokenizer.json spells bytes. */

import { RivuletError } from "../../base/errors.ts";
import { type Tokenizer, type TokenizerJson, tokenizerJson, wholeLength } from "./tokenizer.ts";

/**
 * GPT-2's spelling of the 256 bytes as printable characters, by byte: the printable ones of Latin-1 stand for themselves,
 * the others, in order, for U+0100 onwards (space is "Ġ").
 */
export const byteAlphabet: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte).map((byte) =>
	String.fromCharCode(isPrintable(byte) ? byte : 256 + countUnprintable(byte)),
);

/** The byte that each character of the alphabet spells. */
export const byteOfCharacter: ReadonlyMap<string, number> = new Map(
	byteAlphabet.map((character, byte) => [character, byte]),
);

function isPrintable(byte: number): boolean {
	return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

/** How many bytes below `byte` are not printable. */
function countUnprintable(byte: number): number {
	let count = 0;
	for (let b = 0; b < byte; b++) if (!isPrintable(b)) count++;
	return count;
}

/** The UTF-8 bytes of a text; refuses half a surrogate pair, which has none. */
export function utf8Bytes(text: string): Buffer {
	const half = text.match(/\p{Surrogate}/u);
	if (half === null) return Buffer.from(text);
	const name = `U+${half[0].charCodeAt(0).toString(16).toUpperCase()}`;
	throw new RivuletError("text-not-unicode", `the text has half a surrogate pair (${name})`, {
		hint: "The text was cut inside a character, or is damaged.",
	});
}

/** One id per byte of UTF-8: any text can be encoded. */
export class ByteTokenizer implements Tokenizer {
	readonly kind = "byte";
	readonly vocabularySize = 256;

	encode(text: string): Int32Array {
		return Int32Array.from(utf8Bytes(text));
	}

	encodePrefix(text: string): { ids: Int32Array; used: number } {
		const used = wholeLength(text);
		return { ids: this.encode(text.slice(0, used)), used };
	}

	decode(ids: ArrayLike<number>): string {
		return new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.decodeBytes(ids));
	}

	decodeBytes(ids: ArrayLike<number>): Uint8Array {
		for (let i = 0; i < ids.length; i++) {
			if (!(ids[i] >= 0 && ids[i] < 256)) throw new Error(`[decode] expected ids below 256, got ${ids[i]}`);
		}
		return Uint8Array.from(ids);
	}

	/** Byte-level BPE without merges, over the whole text at once. */
	toJSON(): TokenizerJson {
		return tokenizerJson(
			byteAlphabet.map((character, byte) => [character, byte] as const),
			[],
			{ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
			{ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
		);
	}
}
