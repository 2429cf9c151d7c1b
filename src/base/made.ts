/** By what and where something was made, without a word about whose machine it is: no user, no host, no folders. */
import { execFileSync } from "node:child_process";
import { readFileSync, realpathSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { fileURLToPath } from "node:url";

export interface Made {
	/** Of Rivulet. */
	readonly version: string;
	/** Abbreviated commit, with "+" where the work tree differed; null outside a repository. */
	readonly commit: string | null;
	/** Processor, cores, memory, system. */
	readonly machine: string;
}

let known: Made | undefined;

/** Of this process; asked of the system once. */
export function made(): Made {
	known ??= read();
	return known;
}

function read(): Made {
	const root = fileURLToPath(new URL("../..", import.meta.url));
	const { version } = JSON.parse(readFileSync(`${root}/package.json`, "utf8")) as { version: string };
	return { version, commit: commitOf(root), machine: machine() };
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
