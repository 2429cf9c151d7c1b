/** Tokens in memory and texts that tests of corpus statistics read. */
import { existsSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import type { TokenFile } from "../../../src/data/index.ts";

/** Ids as a token file. */
export function tokensOf(ids: Int32Array, vocabularySize: number): TokenFile {
	return {
		length: ids.length,
		bytes: ids.length,
		vocabularySize,
		read: (start, count, into) => into.set(ids.subarray(start, start + count)),
	};
}

/** Characters of a text by number, in order of first use. */
export function characters(text: string): TokenFile {
	const ids = new Map<string, number>();
	const tokens = Int32Array.from(text, (character) => {
		if (!ids.has(character)) ids.set(character, ids.size);
		return ids.get(character) as number;
	});
	return tokensOf(tokens, ids.size);
}

/** A text of ../shared/data, or null where it is absent. */
export function sharedText(name: string): string | null {
	const path = `../shared/data/${name}`;
	if (!existsSync(path)) return null;
	const bytes = readFileSync(path);
	return (name.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString();
}
