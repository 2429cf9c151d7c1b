/** Where, when and by what a report was made, without a word about whose machine it was: no user, no host, no folders. */
import { execFileSync } from "node:child_process";
import { readFileSync, realpathSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { basename, isAbsolute, relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { Provenance } from "./report.ts";

export interface ProvenanceOptions {
	/** An accelerator that was used, in words. */
	readonly accelerator?: string;
	/** Further versions: a driver, a data set. */
	readonly versions?: Readonly<Record<string, string>>;
}

/** @param words of the command line, after "rivulet" */
export function provenance(words: readonly string[], { accelerator, versions }: ProvenanceOptions = {}): Provenance {
	const root = fileURLToPath(new URL("../..", import.meta.url));
	const { version } = JSON.parse(readFileSync(`${root}/package.json`, "utf8")) as { version: string };
	return {
		command: commandText(words),
		commit: commitOf(root),
		machine: accelerator === undefined ? machine() : `${accelerator}; ${machine()}`,
		versions: { rivulet: version, node: process.versions.node, ...versions },
		date: new Date().toISOString().replace(/\.\d+Z$/, "Z"),
	};
}

/** A command line to copy: words quoted where a shell needs it, absolute paths told from here or by their last part. */
export function commandText(words: readonly string[]): string {
	return ["rivulet", ...words.map((word) => quoted(withoutFolders(word)))].join(" ");
}

function withoutFolders(word: string): string {
	const [, flag = "", value] = /^(--?[\w.-]+=)?(.*)$/s.exec(word) ?? [];
	if (!isAbsolute(value)) return word;
	const fromHere = relative(process.cwd(), value);
	return flag + (fromHere.startsWith("..") || isAbsolute(fromHere) ? `…/${basename(value)}` : fromHere || ".");
}

function quoted(word: string): string {
	return /^[\w@%+=:,./…~-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function machine(): string {
	const memory = Math.round(totalmem() / 2 ** 30);
	const cores = availableParallelism();
	const processor = (cpus()[0]?.model ?? process.arch).replace(/\s+/g, " ").trim();
	return `${processor}, ${cores} ${cores === 1 ? "core" : "cores"}, ${memory} GiB, ${process.platform} ${process.arch}`;
}

/** Of Rivulet's own repository; null where it is installed as a package, or git is missing. */
function commitOf(root: string): string | null {
	const git = (...words: string[]) =>
		execFileSync("git", ["-C", root, ...words], {
			encoding: "utf8",
			stdio: ["ignore", "pipe", "ignore"],
			timeout: 10_000,
		}).trim();
	try {
		if (realpathSync(git("rev-parse", "--show-toplevel")) !== realpathSync(root)) return null;
		return (
			git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain", "--untracked-files=no") === "" ? "" : "+")
		);
	} catch {
		return null;
	}
}
