/** A data set into a folder, file by file; without a network, what to bring there by hand. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { RivuletError } from "../../base/errors.ts";
import { grouped } from "../../base/format.ts";
import type { RemoteData, RemoteFile } from "./catalog.ts";
import { type DownloadOptions, type DownloadProgress, download, type Outcome } from "./download.ts";

export interface FetchOptions extends Omit<DownloadOptions, "onProgress"> {
	onProgress?(file: RemoteFile, progress: DownloadProgress): void;
	/** A file is done. */
	onFile?(fetched: FetchedFile): void;
}

export interface FetchedFile {
	readonly path: string;
	/** Of the whole file. */
	readonly bytes: number;
	readonly outcome: Outcome;
}

/**
 * The files of `data` in `folder`, up to the one at which the signal said stop.
 * @throws RivuletError as `download` does; where the network fails its hint says what to bring, and where to
 */
export async function fetchData(data: RemoteData, folder: string, options: FetchOptions = {}): Promise<FetchedFile[]> {
	const fetched: FetchedFile[] = [];
	for (const file of data.files) {
		const path = join(folder, file.name);
		const onProgress = (progress: DownloadProgress) => options.onProgress?.(file, progress);
		try {
			const outcome = await download(file, path, { ...options, onProgress });
			fetched.push({ path, bytes: file.bytes, outcome });
		} catch (error) {
			throw withAWayOut(error, data, folder);
		}
		const last = fetched[fetched.length - 1];
		options.onFile?.(last);
		if (last.outcome === "interrupted") break;
	}
	return fetched;
}

function withAWayOut(error: unknown, data: RemoteData, folder: string): unknown {
	if (!(error instanceof RivuletError) || !["fetch-offline", "fetch-status"].includes(error.code)) return error;
	const missing = data.files
		.map(({ name, url, bytes }) => ({ path: join(folder, name), url, bytes }))
		.filter(({ path }) => !existsSync(path))
		.map(({ path, url, bytes }) => `\n    ${url} (${grouped(bytes)} bytes) as ${path}`);
	const [what, them] = missing.length === 1 ? ["this file", "it"] : ["these files", "them"];
	return new RivuletError(error.code, error.message, {
		hint: `try again, or bring ${what} from a machine that has the network; the same command then checks ${them}:${missing.join("")}`,
		cause: error.cause,
	});
}
