/** Files as Rivulet writes and reads them: written beside and renamed, read within limits, failures said in plain words. */

import { randomBytes } from "node:crypto";
import {
	closeSync,
	fstatSync,
	fsyncSync,
	mkdirSync,
	openSync,
	readSync,
	renameSync,
	rmSync,
	statSync,
	writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { RivuletError } from "./errors.ts";

/** What each failure of the system means for the user, and the way out. */
const failures: Record<string, { code: string; found: string; hint: string }> = {
	ENOENT: { code: "file-missing", found: "there is no such file or folder", hint: "Check the path." },
	ENOTDIR: { code: "file-missing", found: "a part of the path is not a folder", hint: "Check the path." },
	EEXIST: { code: "file-exists", found: "a file of that name is there", hint: "Choose another name." },
	EISDIR: { code: "file-is-folder", found: "it is a folder", hint: "Name a file inside it." },
	EACCES: { code: "file-denied", found: "permission denied", hint: "Check its owner and mode, or use another folder." },
	EPERM: {
		code: "file-denied",
		found: "operation not permitted",
		hint: "Check its owner and mode, or use another folder.",
	},
	EROFS: {
		code: "disk-read-only",
		found: "the file system is read-only",
		hint: "Use a folder on a disk that can be written.",
	},
	ENOSPC: { code: "disk-full", found: "the disk is full", hint: "Free some space, or use a folder on another disk." },
	EDQUOT: { code: "disk-full", found: "your disk quota is used up", hint: "Free some space, or use another folder." },
	EMFILE: { code: "files-too-many", found: "too many files are open", hint: "Raise the limit (ulimit -n)." },
	ENAMETOOLONG: { code: "file-name", found: "the name is too long", hint: "Choose a shorter name." },
};

/** A system error as a `RivuletError`: `fileError(error, "read", "a.txt")`. A `RivuletError` is passed on as it is. */
export function fileError(error: unknown, action: string, path: string): RivuletError {
	if (error instanceof RivuletError) return error;
	const { code = "", message = String(error) } = error as NodeJS.ErrnoException;
	const known = failures[code] ?? { code: "file-failed", found: message, hint: undefined };
	return new RivuletError(known.code, `cannot ${action} ${path}: ${known.found}`, { hint: known.hint, cause: error });
}

/** Runs `work`, turning system errors into `RivuletError`s about `path`. */
function guarded<T>(action: string, path: string, work: () => T): T {
	try {
		return work();
	} catch (error) {
		throw fileError(error, action, path);
	}
}

/** Makes a folder and its parents; fine when it exists. */
export function makeFolder(path: string): void {
	guarded("make the folder", path, () => mkdirSync(path, { recursive: true }));
}

/** Writes all of `bytes` to an open file, at `position` or, if null, where the file stands. */
export function writeAll(file: number, bytes: Uint8Array, position: number | null, path: string): void {
	guarded("write", path, () => {
		for (let done = 0; done < bytes.length; ) {
			done += writeSync(file, bytes, done, bytes.length - done, position === null ? null : position + done);
		}
	});
}

/**
 * A file that appears under its name only when complete: written beside it under a name of its own, flushed to the disk
 * and renamed by `commit`. Any failure, or `abandon`, removes the partial file and leaves what stood there before.
 */
export class AtomicFile {
	readonly path: string;
	readonly #partial: string;
	#file: number | undefined;

	/** Creates missing parent folders. */
	constructor(path: string) {
		this.path = path;
		makeFolder(dirname(path));
		guarded("write", path, () => expectOrdinary(path));
		this.#partial = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.partial`);
		this.#file = guarded("write", path, () => openSync(this.#partial, "wx"));
	}

	/** Appends, or overwrites at a position. */
	write(bytes: Uint8Array, position: number | null = null): void {
		this.#guarded((file) => writeAll(file, bytes, position, this.path));
	}

	/** Flushes, closes and renames. */
	commit(): void {
		this.#guarded((file) => {
			fsyncSync(file);
			closeSync(file);
			this.#file = undefined;
			renameSync(this.#partial, this.path);
			syncFolder(dirname(this.path));
		});
	}

	/** Removes the partial file; does nothing after `commit`. */
	abandon(): void {
		if (this.#file === undefined) return;
		closeSync(this.#file);
		this.#file = undefined;
		rmSync(this.#partial, { force: true });
	}

	#guarded(work: (file: number) => void): void {
		if (this.#file === undefined) throw new Error(`[AtomicFile] ${this.path} is closed`);
		try {
			work(this.#file);
		} catch (error) {
			this.abandon();
			rmSync(this.#partial, { force: true });
			throw fileError(error, "write", this.path);
		}
	}
}

/** Renaming onto a device would replace it. */
function expectOrdinary(path: string): void {
	const found = statSync(path, { throwIfNoEntry: false });
	if (found?.isDirectory()) throw Object.assign(new Error("is a folder"), { code: "EISDIR" });
	if (found && !found.isFile()) {
		throw new RivuletError("file-special", `cannot write ${path}: it is not an ordinary file`, {
			hint: "Name an ordinary file, or one that does not exist yet.",
		});
	}
}

/** Makes a rename last through a power cut. Some systems cannot open folders; there the rename is all we can do. */
function syncFolder(path: string): void {
	try {
		const folder = openSync(path, "r");
		try {
			fsyncSync(folder);
		} finally {
			closeSync(folder);
		}
	} catch {}
}

/** Writes a whole file atomically: a reader sees the old content or the new, never a part. Makes missing folders. */
export function writeFileAtomic(path: string, content: string | Uint8Array): void {
	const file = new AtomicFile(path);
	file.write(typeof content === "string" ? Buffer.from(content) : content);
	file.commit();
}

/** Writes a value as indented JSON, atomically. */
export function writeJson(path: string, value: unknown): void {
	writeFileAtomic(path, `${JSON.stringify(value, null, "\t")}\n`);
}

/** Reads a whole file, refusing one of more than `maxBytes` before reading it. */
export function readFileLimited(path: string, maxBytes: number): Buffer {
	return guarded("read", path, () => {
		const file = openSync(path, "r");
		try {
			const size = fstatSync(file).size;
			if (size > maxBytes) {
				throw new RivuletError(
					"file-too-large",
					`${path} has ${size} bytes, more than the ${maxBytes} expected at most`,
				);
			}
			const bytes = Buffer.alloc(size);
			let done = 0;
			while (done < size) {
				const count = readSync(file, bytes, done, size - done, done);
				if (count === 0) break;
				done += count;
			}
			return bytes.subarray(0, done);
		} finally {
			closeSync(file);
		}
	});
}
