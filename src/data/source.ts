/** Where text comes from: files, folders, globs, standard input, each read as a stream of strict UTF-8. */

import { randomBytes } from "node:crypto";
import { createReadStream, readdirSync, rmSync, statSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { createGunzip } from "node:zlib";
import { escapePath, globSync, isDynamicPattern } from "tinyglobby";
import { RivuletError } from "../base/errors.ts";
import { AtomicFile, fileError } from "../base/files.ts";
import { Utf8Reader } from "./utf8.ts";

/** A text that can be read as often as wanted, in chunks whose sizes mean nothing. */
export interface TextSource {
	/** For messages: a path, or "standard input". */
	readonly name: string;
	/** Size on disk in bytes, if known; for progress only. */
	readonly size?: number;
	/** Reads it from the start. Chunks never split a character. */
	read(): AsyncIterable<string>;
}

const chunkBytes = 2 ** 18;

/** One file; a name ending in ".gz" is decompressed on the way. */
export function fileSource(path: string, name = path): TextSource {
	let size: number;
	try {
		const stat = statSync(path);
		if (stat.isDirectory()) throw Object.assign(new Error("is a folder"), { code: "EISDIR" });
		size = stat.size;
	} catch (error) {
		throw fileError(error, "read", path);
	}
	return { name, size, read: () => readText(path, name) };
}

async function* decode(chunks: AsyncIterable<Uint8Array | string>, name: string): AsyncGenerator<string> {
	const reader = new Utf8Reader(name);
	for await (const chunk of chunks) {
		const text = reader.push(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
		if (text.length > 0) yield text;
	}
	reader.end();
}

async function* readText(path: string, name: string): AsyncGenerator<string> {
	const file = createReadStream(path, { highWaterMark: chunkBytes });
	const compressed = path.endsWith(".gz");
	const gunzip = compressed ? createGunzip({ chunkSize: chunkBytes }) : undefined;
	// pipe() does not pass errors on.
	if (gunzip !== undefined) file.on("error", (error) => gunzip.destroy(error)).pipe(gunzip);
	try {
		yield* decode(gunzip ?? file, name);
	} catch (error) {
		const code = (error as NodeJS.ErrnoException).code ?? "";
		if (code.startsWith("Z_")) {
			throw new RivuletError("gzip-invalid", `${name} is not a whole gzip file: ${(error as Error).message}`, {
				hint: "Download or compress it again; a text file must not be named .gz.",
				cause: error,
			});
		}
		throw fileError(error, "read", name);
	} finally {
		file.destroy();
		gunzip?.destroy();
	}
}

/**
 * The sources that `paths` name, in order: a file as it is; a folder's files at any depth, hidden ones left out; a glob's
 * matches, sorted by name; "-" is `input`. The sources' texts follow each other as `cat` would print them.
 * @throws RivuletError file-missing, data-no-files, or what reading gives.
 */
export function openSources(paths: readonly string[], input: TextSource = standardInput()): TextSource[] {
	const found = new Map<string, TextSource>(); // by full path, so that no file comes twice
	for (const path of paths) {
		if (path === "-") found.set(path, input);
		else for (const file of filesOf(path)) if (!found.has(resolve(file))) found.set(resolve(file), fileSource(file));
	}
	return [...found.values()];
}

function filesOf(path: string): string[] {
	const kind = kindOf(path);
	if (kind === "file") return [path];
	if (kind === "folder") return listFiles(path);
	if (isDynamicPattern(path)) return matches(path);
	throw fileError(Object.assign(new Error("missing"), { code: "ENOENT" }), "read", path);
}

function kindOf(path: string): "file" | "folder" | undefined {
	try {
		return statSync(path).isDirectory() ? "folder" : "file";
	} catch (error) {
		if (["ENOENT", "ENOTDIR", "ENAMETOOLONG"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
		throw fileError(error, "read", path);
	}
}

function listFiles(folder: string): string[] {
	try {
		readdirSync(folder); // tinyglobby passes over folders it may not read
	} catch (error) {
		throw fileError(error, "read", folder);
	}
	return matches(`${escapePath(folder.replace(/\/+$/, ""))}/**`, `the folder ${folder} has no files`);
}

function matches(pattern: string, problem = `no file matches ${pattern}`): string[] {
	const files = globSync(pattern, { dot: false, expandDirectories: false, absolute: isAbsolute(pattern) });
	if (files.length === 0) throw new RivuletError("data-no-files", problem, { hint: "Check the path or the pattern." });
	return files.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

type Input = AsyncIterable<Uint8Array | string>;

/** Standard input as it comes. It can be read once; what needs it more often takes `spoolStandardInput`. */
export function standardInput(input: Input = process.stdin): TextSource {
	let taken = false;
	return {
		name: "standard input",
		read() {
			if (taken) throw new Error("[source] expected one reading of standard input, got a second");
			taken = true;
			return decode(input, "standard input");
		},
	};
}

/** Standard input copied to a file in `folder`, to be read more than once. Call `remove` when done with the source. */
export async function spoolStandardInput(
	folder: string,
	input: Input = process.stdin,
): Promise<{ source: TextSource; remove: () => void }> {
	const path = join(folder, `standard-input-${randomBytes(6).toString("hex")}.txt`);
	const file = new AtomicFile(path);
	try {
		for await (const chunk of input) file.write(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
		file.commit();
	} finally {
		file.abandon();
	}
	return { source: fileSource(path, "standard input"), remove: () => rmSync(path, { force: true }) };
}

/** The texts of several sources, one after the other. */
export async function* readAll(sources: readonly TextSource[]): AsyncGenerator<string> {
	for (const source of sources) yield* source.read();
}
