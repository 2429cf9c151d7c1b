/**
 * Token files: a text as ids in a binary file, written once as a stream and read by position, so that memory does not grow with
 * the corpus. Reading goes through the system's page cache, as a mapping would; nothing is kept here.
 *
 * Layout, little endian: a header of 128 bytes, then the ids, 2 bytes each when the vocabulary has at most 65,536, else 4.
 *
 *     0 "RIVTOKEN"   8 u32 version   12 u32 bytes per id   16 u64 ids   24 u64 bytes of text   32 u32 vocabulary size
 *     64 SHA-256 of the text   96 SHA-256 of the tokenizer (both 32 bytes)
 */

import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { RivuletError } from "../base/errors.ts";
import { AtomicFile, fileError } from "../base/files.ts";

/** Ids of a text, or of a part of one. */
export interface TokenFile {
	/** Number of ids. */
	readonly length: number;
	/** Bytes of the text they stand for. */
	readonly bytes: number;
	readonly vocabularySize: number;
	/** Copies ids start..start+count-1 to the beginning of `into`. */
	read(start: number, count: number, into: Int32Array): void;
}

const magic = "RIVTOKEN";
const version = 1;
const headerBytes = 128;
const blockBytes = 2 ** 20;

/** What a token file says of itself; hashes in hex. */
export interface TokenFileHeader {
	readonly vocabularySize: number;
	readonly textHash: string;
	readonly tokenizerHash: string;
}

/** Writes a token file as a stream; it appears under its name when complete. */
export class TokenFileWriter {
	readonly #file: AtomicFile;
	readonly #header: TokenFileHeader;
	readonly #block: Uint16Array | Int32Array;
	#filled = 0;
	#length = 0;

	constructor(path: string, header: TokenFileHeader) {
		this.#header = header;
		const width = idBytes(header.vocabularySize);
		this.#block = width === 2 ? new Uint16Array(blockBytes / 2) : new Int32Array(blockBytes / 4);
		this.#file = new AtomicFile(path);
		this.#file.write(new Uint8Array(headerBytes)); // in its place once the counts are known
	}

	write(ids: Int32Array): void {
		for (let done = 0; done < ids.length; ) {
			const count = Math.min(ids.length - done, this.#block.length - this.#filled);
			this.#block.set(ids.subarray(done, done + count), this.#filled);
			done += count;
			this.#filled += count;
			if (this.#filled === this.#block.length) this.#flush();
		}
		this.#length += ids.length;
	}

	/** @param bytes of the text all ids stand for. */
	commit(bytes: number): void {
		this.#flush();
		const header = Buffer.alloc(headerBytes);
		header.write(magic, 0, "latin1");
		header.writeUInt32LE(version, 8);
		header.writeUInt32LE(this.#block.BYTES_PER_ELEMENT, 12);
		header.writeBigUInt64LE(BigInt(this.#length), 16);
		header.writeBigUInt64LE(BigInt(bytes), 24);
		header.writeUInt32LE(this.#header.vocabularySize, 32);
		header.write(this.#header.textHash, 64, "hex");
		header.write(this.#header.tokenizerHash, 96, "hex");
		this.#file.write(header, 0);
		this.#file.commit();
	}

	/** Removes what was written, unless committed. */
	abandon(): void {
		this.#file.abandon();
	}

	#flush(): void {
		const { buffer, byteOffset, BYTES_PER_ELEMENT: width } = this.#block;
		this.#file.write(new Uint8Array(buffer, byteOffset, this.#filled * width));
		this.#filled = 0;
	}
}

function idBytes(vocabularySize: number): 2 | 4 {
	return vocabularySize <= 65536 ? 2 : 4;
}

/** A token file open for reading. Close it when done. */
export class StoredTokens implements TokenFile {
	readonly length: number;
	readonly bytes: number;
	readonly vocabularySize: number;
	readonly textHash: string;
	readonly tokenizerHash: string;
	readonly #path: string;
	readonly #width: number;
	#file: number | undefined;
	#scratch = new ArrayBuffer(4096);

	/** @throws RivuletError tokens-invalid when it is no token file, of another version, or cut short. */
	constructor(path: string) {
		this.#path = path;
		const header = Buffer.alloc(headerBytes);
		let size: number;
		try {
			this.#file = openSync(path, "r");
			size = fstatSync(this.#file).size;
			readSync(this.#file, header, 0, headerBytes, 0);
		} catch (error) {
			this.close();
			throw fileError(error, "read", path);
		}
		this.length = Number(header.readBigUInt64LE(16));
		this.bytes = Number(header.readBigUInt64LE(24));
		this.vocabularySize = header.readUInt32LE(32);
		this.textHash = header.toString("hex", 64, 96);
		this.tokenizerHash = header.toString("hex", 96, 128);
		this.#width = idBytes(this.vocabularySize);
		const expected = headerBytes + this.length * this.#width;
		if (header.toString("latin1", 0, 8) !== magic) this.#refuse("it does not begin with RIVTOKEN");
		if (header.readUInt32LE(8) !== version)
			this.#refuse(`it has version ${header.readUInt32LE(8)}, expected ${version}`);
		if (header.readUInt32LE(12) !== this.#width) this.#refuse(`it has ids of ${header.readUInt32LE(12)} bytes`);
		if (size !== expected) this.#refuse(`it has ${size} bytes, expected ${expected} for ${this.length} ids`);
	}

	read(start: number, count: number, into: Int32Array): void {
		if (this.#file === undefined) throw new Error(`[TokenFile] ${this.#path} is closed`);
		if (!(start >= 0 && count >= 0 && start + count <= this.length && count <= into.length)) {
			throw new Error(
				`[TokenFile] expected a range within ${this.length} ids, got ${count} from ${start} (room ${into.length})`,
			);
		}
		const size = count * this.#width;
		if (this.#scratch.byteLength < size) this.#scratch = new ArrayBuffer(2 * size);
		const bytes = new Uint8Array(this.#scratch, 0, size);
		const position = headerBytes + start * this.#width;
		for (let done = 0; done < size; ) {
			const got = this.#readSome(this.#file, bytes, done, position + done);
			if (got === 0) this.#refuse("it ends early");
			done += got;
		}
		const ids = this.#width === 2 ? new Uint16Array(this.#scratch, 0, count) : new Uint32Array(this.#scratch, 0, count);
		for (let i = 0; i < count; i++) {
			if (ids[i] >= this.vocabularySize) this.#refuse(`id ${start + i} is ${ids[i]}, outside the vocabulary`);
			into[i] = ids[i];
		}
	}

	close(): void {
		if (this.#file !== undefined) closeSync(this.#file);
		this.#file = undefined;
	}

	#readSome(file: number, bytes: Uint8Array, done: number, position: number): number {
		try {
			return readSync(file, bytes, done, bytes.length - done, position);
		} catch (error) {
			throw fileError(error, "read", this.#path);
		}
	}

	#refuse(problem: string): never {
		this.close();
		throw new RivuletError("tokens-invalid", `${this.#path} is not a whole token file: ${problem}`, {
			hint: "Delete it; it is made again from the text.",
		});
	}
}

/** Ids start..end-1 of a token file as one of its own. `lengths`: bytes of text per id (`byteLengths`). */
export function slice(tokens: TokenFile, start: number, end: number, bytes: number): TokenFile {
	return {
		length: end - start,
		bytes,
		vocabularySize: tokens.vocabularySize,
		read(from, count, into) {
			if (!(from >= 0 && from + count <= end - start)) {
				throw new Error(`[TokenFile] expected a range within ${end - start} ids, got ${count} from ${from}`);
			}
			tokens.read(start + from, count, into);
		},
	};
}

/** Bytes of text that ids start..end-1 stand for: one pass over them. `lengths`: bytes per id. */
export function countBytes(tokens: TokenFile, start: number, end: number, lengths: Int32Array): number {
	const block = new Int32Array(65536);
	let bytes = 0;
	for (let at = start; at < end; at += block.length) {
		const count = Math.min(block.length, end - at);
		tokens.read(at, count, block);
		for (let i = 0; i < count; i++) bytes += lengths[block[i]];
	}
	return bytes;
}
