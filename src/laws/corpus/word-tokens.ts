/** A text as words: what white space separates, and <eos> at the end of every line. For statistics, not for models. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { RivuletError } from "../../base/errors.ts";
import { cacheFolder, digestText, readLines, StoredTokens, type TextSource } from "../../data/index.ts";
import { TokenFileWriter } from "../../data/token-file.ts";

/** Unicode's white space; not the byte order mark, which \s has too. */
const whiteSpace = /\p{White_Space}+/u;
const endOfLine = "<eos>";
const rule = createHash("sha256").update("words by white space, <eos> at line ends, version 1").digest("hex");

/** The ids of a text's words, from the cache or counted into it; ids are given in the order of first use. Close them when done. */
export async function openWords(sources: readonly TextSource[], cache?: string): Promise<StoredTokens> {
	const digest = await digestText(sources);
	const path = join(cacheFolder(cache), `${digest.hash.slice(0, 24)}-words.tokens`);
	const stored = existsSync(path) ? openStored(path) : undefined;
	if (stored?.textHash === digest.hash && stored.tokenizerHash === rule) return stored;
	stored?.close();
	const ids = new Map<string, number>();
	for await (const words of wordLines(sources)) {
		// A copy: a part of a string would keep all of it in memory.
		for (const word of words) if (!ids.has(word)) ids.set(Buffer.from(word).toString(), ids.size);
	}
	const writer = new TokenFileWriter(path, { vocabularySize: ids.size, textHash: digest.hash, tokenizerHash: rule });
	try {
		for await (const words of wordLines(sources))
			writer.write(Int32Array.from(words, (word) => ids.get(word) as number));
		writer.commit(digest.bytes);
	} finally {
		writer.abandon();
	}
	return new StoredTokens(path);
}

async function* wordLines(sources: readonly TextSource[]): AsyncGenerator<string[]> {
	for await (const line of readLines(sources)) {
		const words = line.split(whiteSpace).filter((word) => word !== "");
		words.push(endOfLine);
		yield words;
	}
}

function openStored(path: string): StoredTokens | undefined {
	try {
		return new StoredTokens(path);
	} catch (error) {
		if ((error as RivuletError).code === "tokens-invalid") return undefined; // damaged: made again
		throw error;
	}
}
