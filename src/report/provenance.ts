/** Where, when and by what a report was made, without a word about whose machine it was: no user, no host, no folders. */
import { basename, isAbsolute, relative } from "node:path";
import { type Made, made } from "../base/made.ts";
import type { Provenance } from "./report.ts";

export interface ProvenanceOptions {
	/** Where and by what the figures came about, if that was elsewhere or earlier than the report. */
	readonly made?: Partial<Omit<Made, "version">>;
	/** Further versions: a driver, a data set. */
	readonly versions?: Readonly<Record<string, string>>;
}

/** @param words of the command line, after "rivulet" */
export function provenance(words: readonly string[], options: ProvenanceOptions = {}): Provenance {
	const { version, commit, machine } = { ...made(), ...options.made };
	return {
		command: commandText(words),
		commit,
		machine,
		versions: { rivulet: version, node: process.versions.node, ...options.versions },
		date: new Date().toISOString().replace(/\.\d+Z$/, "Z"),
	};
}

/** A command line to copy: words quoted where a shell needs it, paths that lead out of this folder told by their last part. */
export function commandText(words: readonly string[]): string {
	return ["rivulet", ...words.map((word) => quoted(withoutFolders(word)))].join(" ");
}

function withoutFolders(word: string): string {
	const [, flag = "", value] = /^(--?[\w.-]+=)?(.*)$/s.exec(word) ?? [];
	if (!isAbsolute(value) && !/^\.\.([/\\]|$)/.test(value)) return word;
	const fromHere = relative(process.cwd(), value);
	return flag + (/^\.\.([/\\]|$)/.test(fromHere) || isAbsolute(fromHere) ? `…/${basename(value)}` : fromHere || ".");
}

export function quoted(word: string): string {
	return /^[\w@%+=:,./…~-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
