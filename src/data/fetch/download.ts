/**
 * One file over HTTP: goes on where an earlier attempt broke off, never longer than it should be, checked by its SHA-256, and
 * under its name only when all that holds. Until then what has arrived lies beside it, in NAME.part.
 */
import { createHash } from "node:crypto";
import { closeSync, createReadStream, fsyncSync, ftruncateSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { RivuletError } from "../../base/errors.ts";
import { fileError, makeFolder, writeAll } from "../../base/files.ts";
import { duration, grouped } from "../../base/format.ts";
import type { RemoteFile } from "./catalog.ts";

export interface DownloadProgress {
	/** Bytes here, and in all. */
	readonly done: number;
	readonly total: number;
	/** Bytes that this attempt began with: those of an earlier one. */
	readonly resumed: number;
}

export interface DownloadOptions {
	/** Aborted to stop: what has arrived is kept. */
	readonly signal?: AbortSignal;
	onProgress?(progress: DownloadProgress): void;
	/** Milliseconds without an answer or a byte after which a connection counts as broken. */
	readonly patience?: number;
}

/** "present": it was there already, whole and right. "interrupted": the signal said stop, and the same call goes on. */
export type Outcome = "fetched" | "present" | "interrupted";

/** Where a file lies while it is not whole. */
export function partPath(path: string): string {
	return `${path}.part`;
}

/**
 * Bring `file` to `path`.
 * @throws RivuletError fetch-offline, fetch-status, fetch-cut (what arrived is kept); fetch-size, fetch-checksum (it is not);
 * file-exists where `path` is another file; or what reading and writing give
 */
export async function download(file: RemoteFile, path: string, options: DownloadOptions = {}): Promise<Outcome> {
	if (sizeOf(path) !== undefined) {
		await expectSame(file, path);
		return "present";
	}
	makeFolder(dirname(path));
	const part = new Part(file, path);
	try {
		if (part.size < file.bytes) await transfer(part, options);
		if (options.signal?.aborted) return "interrupted";
		await part.commit();
		return "fetched";
	} finally {
		part.close();
	}
}

/** Goes on at the end of the part until the file is whole or the signal says stop. */
async function transfer(part: Part, options: DownloadOptions): Promise<void> {
	const { file } = part;
	const { signal, patience = 30_000 } = options;
	const silence = new Silence(patience, signal);
	let answered = false;
	try {
		const response = await request(part, silence.signal);
		answered = true;
		const resumed = part.size;
		for await (const chunk of response.body ?? []) {
			silence.heard();
			part.append(chunk);
			options.onProgress?.({ done: part.size, total: file.bytes, resumed });
			if (signal?.aborted) return;
		}
		if (part.size < file.bytes) throw new Error("the other side closed the connection");
	} catch (error) {
		if (error instanceof RivuletError) throw error;
		if (signal?.aborted) return;
		const why = silence.tooLong ? `silent for ${duration(patience / 1000)}` : reason(error);
		if (!answered) throw new RivuletError("fetch-offline", `cannot reach ${file.url}: ${why}`, { cause: error });
		const have = `${grouped(part.size)} of ${grouped(file.bytes)} bytes`;
		throw new RivuletError("fetch-cut", `${file.url} broke off after ${have}: ${why}`, {
			hint: `what arrived is kept in ${part.path}; the same command goes on from there`,
			cause: error,
		});
	} finally {
		silence.end();
	}
}

/** An answer whose body goes on where the part ends; the part is emptied where the server can only begin anew. */
async function request(part: Part, signal: AbortSignal): Promise<Response> {
	const { url, bytes } = part.file;
	// Compression on the way would make positions mean something else.
	const headers = { "accept-encoding": "identity", ...(part.size > 0 && { range: `bytes=${part.size}-` }) };
	const response = await fetch(url, { headers, signal });
	const [, from, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get("content-range") ?? "") ?? [];
	const goesOn = response.status === 206 && Number(from) === part.size;
	if (!goesOn && part.size > 0 && [206, 416].includes(response.status)) {
		// Not the range that was asked for: ask for everything.
		await response.body?.cancel();
		part.empty();
		return await request(part, signal);
	}
	try {
		if (!goesOn && response.status !== 200) {
			throw new RivuletError("fetch-status", `${url} answered ${response.status} ${response.statusText}`.trimEnd());
		}
		const announced = (goesOn ? total : response.headers.get("content-length")) ?? bytes;
		if (Number(announced) !== bytes) throw wrongSize(part.file, grouped(Number(announced)));
	} catch (error) {
		await response.body?.cancel();
		throw error;
	}
	if (!goesOn) part.empty();
	return response;
}

/** A signal that is aborted when nothing was heard for a while, or when another says stop. */
class Silence {
	readonly #controller = new AbortController();
	readonly #timer: NodeJS.Timeout;
	readonly #stop: AbortSignal | undefined;
	readonly signal = this.#controller.signal;
	/** Nothing was heard for too long. */
	tooLong = false;

	/** @param patience milliseconds */
	constructor(patience: number, stop: AbortSignal | undefined) {
		this.#timer = setTimeout(() => {
			this.tooLong = true;
			this.#abort();
		}, patience);
		this.#stop = stop;
		if (stop?.aborted) this.#abort();
		stop?.addEventListener("abort", this.#abort);
	}

	heard(): void {
		this.#timer.refresh();
	}

	end(): void {
		clearTimeout(this.#timer);
		this.#stop?.removeEventListener("abort", this.#abort);
	}

	readonly #abort = () => this.#controller.abort();
}

/** A part file, open for writing at its end. */
class Part {
	readonly file: RemoteFile;
	readonly path: string;
	/** Bytes that have arrived. */
	size: number;
	readonly #whole: string;
	#descriptor: number | undefined;

	/** @param whole where the file goes when all of it is there */
	constructor(file: RemoteFile, whole: string) {
		this.file = file;
		this.path = partPath(whole);
		this.#whole = whole;
		const found = sizeOf(this.path) ?? 0;
		this.size = found <= file.bytes ? found : 0;
		try {
			this.#descriptor = openSync(this.path, this.size > 0 ? "r+" : "w");
		} catch (error) {
			throw fileError(error, "write", this.path);
		}
	}

	/** @throws RivuletError fetch-size where there would be more than the file has; nothing of it is kept */
	append(chunk: Uint8Array): void {
		if (this.size + chunk.length > this.file.bytes) {
			this.empty();
			throw wrongSize(this.file, "more");
		}
		writeAll(this.#descriptor as number, chunk, this.size, this.path);
		this.size += chunk.length;
	}

	empty(): void {
		ftruncateSync(this.#descriptor as number, 0);
		this.size = 0;
	}

	/** Gives the file its name. @throws RivuletError fetch-checksum where it is another file; nothing of it is kept */
	async commit(): Promise<void> {
		// What is on the disk is what counts, whoever wrote it.
		const found = await sha256(this.path);
		if (found !== this.file.sha256) {
			this.empty();
			throw new RivuletError("fetch-checksum", `${this.file.url}: ${differ(this.file.sha256, found)}`, {
				hint: "it arrived damaged, or is another file; nothing of it was kept: try again, or bring the file from elsewhere",
			});
		}
		try {
			fsyncSync(this.#descriptor as number);
			this.close();
			renameSync(this.path, this.#whole);
		} catch (error) {
			throw fileError(error, "write", this.#whole);
		}
	}

	/** Leaves what arrived, removes what is empty. */
	close(): void {
		if (this.#descriptor === undefined) return;
		closeSync(this.#descriptor);
		this.#descriptor = undefined;
		if (this.size === 0) rmSync(this.path, { force: true });
	}
}

/** Size in bytes of a file; undefined where there is none. */
function sizeOf(path: string): number | undefined {
	try {
		return statSync(path, { throwIfNoEntry: false })?.size;
	} catch (error) {
		throw fileError(error, "read", path);
	}
}

async function sha256(path: string): Promise<string> {
	const hash = createHash("sha256");
	try {
		for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(chunk);
	} catch (error) {
		throw fileError(error, "read", path);
	}
	return hash.digest("hex");
}

/** A file of the user's under that name is never replaced. */
async function expectSame(file: RemoteFile, path: string): Promise<void> {
	const size = sizeOf(path) as number;
	const found = size === file.bytes ? await sha256(path) : undefined;
	if (found === file.sha256) return;
	const why = found ? differ(file.sha256, found) : `expected ${grouped(file.bytes)} bytes, found ${grouped(size)}`;
	throw new RivuletError("file-exists", `${path} is not ${file.name} as published: ${why}`, {
		hint: "move it away, then fetch again; or name another folder: --out FOLDER",
	});
}

function differ(expected: string, found: string): string {
	return `expected SHA-256 ${expected}, found ${found}`;
}

function wrongSize(file: RemoteFile, found: string): RivuletError {
	return new RivuletError("fetch-size", `${file.url}: expected ${grouped(file.bytes)} bytes, found ${found}`, {
		hint: "something else answers there, perhaps a sign-in page of the network; nothing of it was kept",
	});
}

/** What fetch knows about a failure: it hides the reason in the cause. */
function reason(error: unknown): string {
	const { cause, message } = error as Error;
	const inner = cause as (Error & { code?: string }) | undefined;
	return inner?.message || inner?.code || message;
}
