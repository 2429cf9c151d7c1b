/** The cache of tokenised texts: token files and trained tokenizers, named by the hash of the text and of the tokenizer. */

import { createHash } from "node:crypto";
import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { cacheRoot } from "../base/cache-root.ts";
import { RivuletError } from "../base/errors.ts";
import { makeFolder } from "../base/files.ts";
import { readAll, type TextSource } from "./source.ts";
import { StoredTokens, TokenFileWriter } from "./token-file.ts";
import { StreamEncoder, type Tokenizer, tokenizerHash } from "./tokenizers/index.ts";

/** What preparation is at, for a progress line. `total` is unknown for compressed text. */
export interface DataProgress {
	readonly stage: "hash" | "vocabulary" | "tokenize";
	/** Bytes of text gone through, and in all. */
	readonly done: number;
	readonly total?: number;
}

/** Told now and then while a text is read. */
export type ProgressListener = (progress: DataProgress) => void;

/** Parts left by killed runs are removed when older than this. */
const oldPart = 24 * 3600e3;

/** The folder for cached data: the given one, $RIVULET_CACHE, $XDG_CACHE_HOME/rivulet or ~/.cache/rivulet; made if missing. */
export function cacheFolder(given?: string): string {
	const folder = given || cacheRoot();
	try {
		makeFolder(folder);
	} catch (error) {
		const { code, message, cause } = error as RivuletError;
		throw new RivuletError(code, `${message} (the cache of tokenised texts)`, {
			hint: "Name another folder: RIVULET_CACHE=FOLDER",
			cause,
		});
	}
	removeOldParts(folder);
	return folder;
}

function removeOldParts(folder: string): void {
	for (const name of readdirSync(folder)) {
		if (!name.endsWith(".partial") && !name.startsWith("standard-input-")) continue;
		const path = join(folder, name);
		const { mtimeMs = Number.POSITIVE_INFINITY } = statSync(path, { throwIfNoEntry: false }) ?? {};
		if (Date.now() - mtimeMs > oldPart) rmSync(path, { force: true });
	}
}

/** Hash and size of a text. */
export interface TextDigest {
	/** SHA-256 in hex of the text as UTF-8. */
	readonly hash: string;
	readonly bytes: number;
}

/** Reads a text once, for its hash; refuses what is not text. */
export async function digestText(sources: readonly TextSource[], onProgress?: ProgressListener): Promise<TextDigest> {
	const hash = createHash("sha256");
	const total = totalSize(sources);
	let bytes = 0;
	for await (const chunk of readAll(sources)) {
		const encoded = Buffer.from(chunk);
		hash.update(encoded);
		bytes += encoded.length;
		onProgress?.({ stage: "hash", done: bytes, total });
	}
	return { hash: hash.digest("hex"), bytes };
}

function totalSize(sources: readonly TextSource[]): number | undefined {
	let total = 0;
	for (const { size, name } of sources) {
		if (size === undefined || name.endsWith(".gz")) return undefined;
		total += size;
	}
	return total;
}

/**
 * The ids of a text, from the cache, or tokenised into it in one stream. Safe for runs side by side: both may write, under
 * names of their own, and the first complete file serves.
 */
export async function openTokens(
	sources: readonly TextSource[],
	digest: TextDigest,
	tokenizer: Tokenizer,
	folder: string,
	onProgress?: ProgressListener,
): Promise<StoredTokens> {
	const hash = tokenizerHash(tokenizer);
	const path = join(folder, `${digest.hash.slice(0, 24)}-${hash.slice(0, 16)}.tokens`);
	if (existsSync(path)) {
		const stored = openStored(path);
		const fits = stored?.textHash === digest.hash && stored.tokenizerHash === hash;
		if (fits && stored.vocabularySize === tokenizer.vocabularySize) return stored;
		stored?.close(); // damaged or of another version: made again
	}
	const header = { vocabularySize: tokenizer.vocabularySize, textHash: digest.hash, tokenizerHash: hash };
	const writer = new TokenFileWriter(path, header);
	try {
		for await (const ids of encodeSources(sources, digest, tokenizer, onProgress)) writer.write(ids);
		writer.commit(digest.bytes);
	} finally {
		writer.abandon();
	}
	return new StoredTokens(path);
}

function openStored(path: string): StoredTokens | undefined {
	try {
		return new StoredTokens(path);
	} catch (error) {
		if ((error as RivuletError).code === "tokens-invalid") return undefined;
		throw error;
	}
}

async function* encodeSources(
	sources: readonly TextSource[],
	digest: TextDigest,
	tokenizer: Tokenizer,
	onProgress?: ProgressListener,
): AsyncGenerator<Int32Array> {
	const encoder = new StreamEncoder(tokenizer);
	const hash = createHash("sha256");
	let done = 0;
	for await (const chunk of readAll(sources)) {
		const encoded = Buffer.from(chunk);
		hash.update(encoded);
		done += encoded.length;
		yield encoder.push(chunk);
		onProgress?.({ stage: "tokenize", done, total: digest.bytes });
	}
	yield encoder.end();
	// The name and header promise the ids of the text that was hashed before.
	if (hash.digest("hex") !== digest.hash) {
		throw new RivuletError(
			"data-changed",
			`the text of ${sources.map(({ name }) => name).join(", ")} changed while it was read`,
			{
				hint: "Wait until the file is complete, then start again.",
			},
		);
	}
}
