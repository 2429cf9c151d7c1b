/** Strict UTF-8 from a stream of byte chunks: text that never splits a character, or an error with the byte's offset. */

import { isUtf8 } from "node:buffer";
import { RivuletError } from "../base/errors.ts";

/**
 * Decodes chunks in order. Characters cut by a chunk boundary are held back; a byte order mark at the start is dropped; NUL and
 * invalid bytes are refused, naming `name` and the offset in the (uncompressed) stream.
 */
export class Utf8Reader {
	readonly #name: string;
	#held: Buffer = Buffer.alloc(0);
	/** Offset in the stream of the first held byte. */
	#offset = 0;

	constructor(name: string) {
		this.#name = name;
	}

	/** The text of all complete characters so far not given. */
	push(chunk: Uint8Array): string {
		const bytes = this.#held.length === 0 ? asBuffer(chunk) : Buffer.concat([this.#held, chunk]);
		const end = bytes.length - incompleteTail(bytes);
		const text = this.#decode(bytes.subarray(0, end));
		this.#held = Buffer.from(bytes.subarray(end)); // a copy: the chunk's memory may be used again
		this.#offset += end;
		return text;
	}

	/** Call after the last chunk: refuses a character that was never completed. */
	end(): void {
		if (this.#held.length > 0) throw this.#invalid(this.#held, 0);
	}

	#decode(bytes: Buffer): string {
		const nul = bytes.indexOf(0);
		if (nul >= 0) {
			throw new RivuletError("text-binary", `${this.#name} is not text: byte ${this.#offset + nul} is NUL`, {
				hint:
					startsLikeUtf16(bytes) && this.#offset === 0 ? utf16Hint : "Name text files only, for example with a glob.",
			});
		}
		if (!isUtf8(bytes)) throw this.#invalid(bytes, firstInvalid(bytes));
		const mark = this.#offset === 0 && bytes.length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
		return bytes.toString("utf8", mark ? 3 : 0);
	}

	#invalid(bytes: Buffer, index: number): RivuletError {
		const found = `byte ${this.#offset + index} (0x${bytes[index].toString(16).padStart(2, "0")})`;
		return new RivuletError(
			"text-not-utf8",
			`${this.#name} is not UTF-8 text: ${found} is not part of a valid character`,
			{
				hint:
					this.#offset === 0 && startsLikeUtf16(bytes)
						? utf16Hint
						: "Convert it first, for example: iconv -f LATIN1 -t UTF-8 old.txt > new.txt. Leave binary files out.",
			},
		);
	}
}

const utf16Hint = "It looks like UTF-16. Convert it first: iconv -f UTF-16 -t UTF-8 old.txt > new.txt.";

function startsLikeUtf16(bytes: Uint8Array): boolean {
	return (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
}

function asBuffer(bytes: Uint8Array): Buffer {
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** How many bytes a character takes that begins with this byte; 0 when none does. */
function lengthFromFirst(byte: number): number {
	if (byte < 0x80) return 1;
	if (byte >= 0xc2 && byte < 0xe0) return 2;
	if (byte >= 0xe0 && byte < 0xf0) return 3;
	if (byte >= 0xf0 && byte < 0xf5) return 4;
	return 0;
}

/** Number of bytes at the end (0 to 3) that begin a character but do not complete it. Validity is checked elsewhere. */
function incompleteTail(bytes: Uint8Array): number {
	for (let back = 1; back <= 3 && back <= bytes.length; back++) {
		const byte = bytes[bytes.length - back];
		if ((byte & 0xc0) === 0x80) continue;
		return lengthFromFirst(byte) > back ? back : 0;
	}
	return 0;
}

/** Index of the first byte of the first invalid sequence (Unicode 15, table 3-7). `bytes` must not be valid. */
function firstInvalid(bytes: Uint8Array): number {
	for (let i = 0; i < bytes.length; ) {
		const first = bytes[i];
		const length = lengthFromFirst(first);
		if (length === 0 || i + length > bytes.length) return i;
		for (let k = 1; k < length; k++) if ((bytes[i + k] & 0xc0) !== 0x80) return i;
		const second = bytes[i + 1];
		const overlong = (first === 0xe0 && second < 0xa0) || (first === 0xf0 && second < 0x90);
		const outside = (first === 0xed && second >= 0xa0) || (first === 0xf4 && second >= 0x90);
		if (overlong || outside) return i;
		i += length;
	}
	return bytes.length - 1;
}
