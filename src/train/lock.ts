/** One trainer per run folder: a lock file with the owner's process id. A lock whose process is gone does not count. */
import { closeSync, openSync, readFileSync, rmSync } from "node:fs";
import { hostname } from "node:os";
import { RivuletError } from "../base/errors.ts";
import { fileError, writeAll } from "../base/files.ts";

/** Locks of this process: a file that names our own id without being among them was left by a process that had it before. */
const held = new Set<string>();

/** Take the lock; returns what gives it back. RivuletError "run-locked" where another trainer has it. */
export function takeLock(path: string): () => void {
	for (let attempt = 0; ; attempt++) {
		try {
			const file = openSync(path, "wx");
			writeAll(file, Buffer.from(JSON.stringify({ pid: process.pid, host: hostname() })), null, path);
			closeSync(file);
			held.add(path);
			return () => {
				if (held.delete(path)) rmSync(path, { force: true });
			};
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw fileError(error, "write", path);
		}
		const owner = readOwner(path);
		if (attempt > 0 || (owner && isAlive(owner, path))) {
			const who = owner ? `process ${owner.pid} on ${owner.host}` : "another process";
			throw new RivuletError("run-locked", `${path}: ${who} is training in this folder`, {
				hint: "wait for it or stop it; if it is gone, remove the lock file",
			});
		}
		rmSync(path, { force: true });
	}
}

interface Owner {
	readonly pid: number;
	readonly host: string;
}

/** Undefined where the file is gone or was torn when it was written. */
function readOwner(path: string): Owner | undefined {
	try {
		const { pid, host } = JSON.parse(readFileSync(path, "utf8"));
		return Number.isSafeInteger(pid) && pid > 0 && typeof host === "string" ? { pid, host } : undefined;
	} catch {
		return undefined;
	}
}

function isAlive({ pid, host }: Owner, path: string): boolean {
	// Another machine's processes cannot be seen from here; believe the file.
	if (host !== hostname()) return true;
	if (pid === process.pid) return held.has(path);
	try {
		process.kill(pid, 0);
		return true;
	} catch (error) {
		return (error as NodeJS.ErrnoException).code === "EPERM";
	}
}
