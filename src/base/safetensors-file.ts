/** Safetensors on disk: opened once, each tensor read when asked for. Nothing is read that is not asked for. */
import { type FileHandle, open } from "node:fs/promises";
import { RivuletError } from "./errors.ts";
import { fileError } from "./files.ts";
import {
	decodeTensor,
	encodeSafetensors,
	type Header,
	headerLength,
	parseHeader,
	type TensorValue,
} from "./safetensors.ts";

/** Node reads at most 2^31 - 1 bytes at once. */
const pieceBytes = 1 << 30;

export class SafetensorsFile {
	readonly path: string;
	readonly header: Header;
	readonly #file: FileHandle;
	readonly #dataStart: number;

	private constructor(path: string, file: FileHandle, header: Header, dataStart: number) {
		this.path = path;
		this.header = header;
		this.#file = file;
		this.#dataStart = dataStart;
	}

	/** Open a file and check its header. RivuletError "file-missing" and its like, or "safetensors-invalid". */
	static async open(path: string): Promise<SafetensorsFile> {
		const file = await open(path, "r").catch((error) => {
			throw fileError(error, "read", path);
		});
		try {
			const status = await file.stat();
			if (!status.isFile()) throw new RivuletError("file-is-folder", `cannot read ${path}: it is not a file`);
			const prefix = await readBytes(file, 0, Math.min(8, status.size), path);
			const length = headerLength(prefix, status.size, path);
			const header = parseHeader(await readBytes(file, 8, length, path), status.size - 8 - length, path);
			return new SafetensorsFile(path, file, header, 8 + length);
		} catch (error) {
			await file.close();
			throw error;
		}
	}

	/** One tensor's values. RivuletError "tensor-missing" where the file has none of that name. */
	async read(name: string): Promise<TensorValue> {
		const info = this.header.tensors.get(name);
		if (!info) {
			throw new RivuletError("tensor-missing", `${this.path}: no tensor ${JSON.stringify(name)}`, {
				hint: `it has ${[...this.header.tensors.keys()].slice(0, 8).join(", ") || "none"}`,
			});
		}
		return decodeTensor(
			info,
			await readBytes(this.#file, this.#dataStart + info.begin, info.end - info.begin, this.path),
		);
	}

	async close(): Promise<void> {
		await this.#file.close();
	}
}

/** All tensors of a file, by name. */
export async function readSafetensors(path: string): Promise<Map<string, TensorValue>> {
	const file = await SafetensorsFile.open(path);
	try {
		const tensors = new Map<string, TensorValue>();
		for (const name of file.header.tensors.keys()) tensors.set(name, await file.read(name));
		return tensors;
	} finally {
		await file.close();
	}
}

/** Write a file and force it to the disk. Not atomic by itself: a checkpoint writes into a folder that it then renames. */
export async function writeSafetensors(
	path: string,
	tensors: ReadonlyMap<string, TensorValue>,
	metadata?: Readonly<Record<string, string>>,
): Promise<void> {
	const file = await open(path, "w").catch((error) => {
		throw fileError(error, "write", path);
	});
	try {
		for (const piece of encodeSafetensors(tensors, metadata)) {
			// One write may take fewer bytes than it is given, as on a disk that is filling up.
			for (let at = 0; at < piece.length; ) {
				at += (await file.write(piece, at, Math.min(pieceBytes, piece.length - at))).bytesWritten;
			}
		}
		await file.sync();
	} catch (error) {
		throw fileError(error, "write", path);
	} finally {
		await file.close();
	}
}

async function readBytes(
	file: FileHandle,
	start: number,
	length: number,
	path: string,
): Promise<Uint8Array<ArrayBuffer>> {
	const bytes = allocate(length, path);
	for (let at = 0; at < length; ) {
		const { bytesRead } = await file.read(bytes, at, Math.min(pieceBytes, length - at), start + at);
		if (bytesRead === 0)
			throw new RivuletError("file-truncated", `${path}: expected ${start + length} bytes, found ${start + at}`);
		at += bytesRead;
	}
	return bytes;
}

function allocate(length: number, path: string): Uint8Array<ArrayBuffer> {
	try {
		return new Uint8Array(length);
	} catch (cause) {
		throw new RivuletError("out-of-memory", `${path}: ${length} bytes do not fit into memory`, { cause });
	}
}
