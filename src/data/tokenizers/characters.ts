/** The character tokenizer: one id per Unicode code point of the corpus, in order of code points. */

import { RivuletError } from "../../base/errors.ts";
import { type Tokenizer, type TokenizerJson, tokenizerJson, wholeLength } from "./tokenizer.ts";

/** One id per character that the corpus has; others are refused. */
export class CharacterTokenizer implements Tokenizer {
	readonly kind = "char";
	readonly vocabularySize: number;
	readonly #characters: readonly string[];
	/** Id of each UTF-16 unit that is a character, -1 where none. */
	readonly #basic = new Int32Array(65536).fill(-1);
	readonly #astral = new Map<number, number>();

	/** @param characters by id: single code points, each once, no surrogates. */
	constructor(characters: readonly string[]) {
		this.#characters = characters;
		this.vocabularySize = characters.length;
		characters.forEach((character, id) => {
			const code = character.codePointAt(0)!;
			if (code < 65536) this.#basic[code] = id;
			else this.#astral.set(code, id);
		});
	}

	/** The tokenizer whose vocabulary is the characters of a corpus, read once. */
	static async fromText(chunks: AsyncIterable<string>): Promise<CharacterTokenizer> {
		const seen = new Uint8Array(0x110000);
		for await (const chunk of chunks) {
			for (let i = 0; i < chunk.length; i++) {
				const unit = chunk.charCodeAt(i);
				if (unit < 0xd800 || unit > 0xdfff) seen[unit] = 1;
				else seen[chunk.codePointAt(i++)!] = 1;
			}
		}
		const characters: string[] = [];
		for (let code = 0; code < seen.length; code++) if (seen[code] === 1) characters.push(String.fromCodePoint(code));
		return new CharacterTokenizer(characters);
	}

	encode(text: string, at = 0): Int32Array {
		const ids = new Int32Array(text.length);
		let count = 0;
		for (let i = 0; i < text.length; i++) {
			let id = this.#basic[text.charCodeAt(i)];
			if (id < 0) {
				const code = text.codePointAt(i)!;
				id = this.#astral.get(code) ?? this.#refuse(code, at + count);
				i++;
			}
			ids[count++] = id;
		}
		return ids.subarray(0, count);
	}

	encodePrefix(text: string, at = 0): { ids: Int32Array; used: number } {
		const used = wholeLength(text);
		return { ids: this.encode(text.slice(0, used), at), used };
	}

	decode(ids: ArrayLike<number>): string {
		let text = "";
		for (let i = 0; i < ids.length; i++) {
			const character = this.#characters[ids[i]];
			if (character === undefined) throw new Error(`[decode] expected ids below ${this.vocabularySize}, got ${ids[i]}`);
			text += character;
		}
		return text;
	}

	decodeBytes(ids: ArrayLike<number>): Uint8Array {
		return Buffer.from(this.decode(ids));
	}

	/**
	 * A BPE model without merges, whose alphabet is the characters, with a decoder that joins tokens without spaces. Other
	 * readers skip an unknown character in silence (the model has no unknown token), where `encode` refuses it.
	 */
	toJSON(): TokenizerJson {
		const vocabulary = this.#characters.map((character, id) => [character, id] as const);
		return tokenizerJson(vocabulary, [], null, { type: "Fuse" });
	}

	#refuse(code: number, position: number): never {
		const shown =
			code >= 0xd800 && code <= 0xdfff ? "half a surrogate pair" : JSON.stringify(String.fromCodePoint(code));
		const name = `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
		throw new RivuletError(
			"token-unknown",
			`the character ${shown} (${name}) at position ${position} is not among the ${this.vocabularySize} characters of the vocabulary`,
			{ hint: "Leave it out, or train on text that has it; the tokenizers byte, bpe and gpt2 take any text." },
		);
	}
}
