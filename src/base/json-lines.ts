/** JSON Lines files (https://jsonlines.org): one value a line, appended whole, read tolerantly: a torn last line does not count. */
import { closeSync, createReadStream, fsyncSync, openSync } from "node:fs";
import { RivuletError } from "./errors.ts";
import { fileError, writeAll } from "./files.ts";

/** One line read. */
export interface JsonLine {
	/** Undefined where the line is not JSON. */
	readonly value: unknown;
	/** Byte offset of the line's first byte, and of the byte after its newline. */
	readonly start: number;
	readonly end: number;
}

/** Longest line that is read, in bytes. */
const maxLineBytes = 1 << 20;

/** The complete lines of a file, in order. What stands after the last newline was torn off and is left out. */
export async function* readJsonLines(path: string): AsyncGenerator<JsonLine> {
	let start = 0;
	let rest: Buffer = Buffer.alloc(0);
	try {
		for await (const chunk of createReadStream(path)) {
			rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
			let from = 0;
			for (let newline = rest.indexOf(10); newline >= 0; newline = rest.indexOf(10, from)) {
				const line = rest.subarray(from, newline);
				yield { value: parse(line.toString("utf8")), start, end: start + line.length + 1 };
				start += line.length + 1;
				from = newline + 1;
			}
			rest = rest.subarray(from);
			if (rest.length > maxLineBytes) {
				throw new RivuletError("line-too-long", `${path}: expected lines of at most ${maxLineBytes} bytes`);
			}
		}
	} catch (error) {
		throw fileError(error, "read", path);
	}
}

function parse(line: string): unknown {
	try {
		return JSON.parse(line);
	} catch {
		return undefined;
	}
}

/** Appends values to a file, one line and one write each. */
export class JsonLinesWriter {
	readonly #path: string;
	readonly #file: number;

	constructor(path: string) {
		this.#path = path;
		try {
			this.#file = openSync(path, "a");
		} catch (error) {
			throw fileError(error, "write", path);
		}
	}

	/** Numbers that JSON does not have (NaN, Infinity) become null. */
	append(value: unknown): void {
		writeAll(this.#file, Buffer.from(`${JSON.stringify(value)}\n`), null, this.#path);
	}

	/** Force what was appended to the disk. */
	flush(): void {
		try {
			fsyncSync(this.#file);
		} catch (error) {
			throw fileError(error, "write", this.#path);
		}
	}

	close(): void {
		closeSync(this.#file);
	}
}
