/**
 * The safetensors format: 8 bytes of header length, a JSON header, then the tensors' bytes, little-endian and without gaps.
 * Only bytes here; files are in safetensors-file.ts. A header is treated as hostile: whatever is wrong with it is a
 * RivuletError that names the tensor.
 * Format: https://huggingface.co/docs/safetensors
 */
import { RivuletError } from "./errors.ts";
import { parseJson } from "./json.ts";

/** What can be written, and what reading gives; half precisions are widened to Float32Array. */
export type TensorArray = Float32Array | Int32Array | BigInt64Array | Uint8Array;

/** A tensor of any rank, row-major. */
export interface TensorValue {
	readonly shape: readonly number[];
	readonly data: TensorArray;
}

export type DTypeName = "F32" | "F16" | "BF16" | "I32" | "I64" | "U8";

/** Where a tensor lies: bytes [begin, end) after the header. */
export interface TensorInfo {
	readonly name: string;
	readonly dtype: DTypeName;
	readonly shape: readonly number[];
	readonly begin: number;
	readonly end: number;
}

export interface Header {
	readonly tensors: ReadonlyMap<string, TensorInfo>;
	readonly metadata: ReadonlyMap<string, string>;
}

const bytesPer: Readonly<Record<DTypeName, number>> = { F32: 4, F16: 2, BF16: 2, I32: 4, I64: 8, U8: 1 };

/** Largest header in bytes; the limit of the reference implementation. */
export const maxHeaderBytes = 100_000_000;

/** The header's length from the first 8 bytes of a file of `fileBytes` bytes. */
export function headerLength(prefix: Uint8Array, fileBytes: number, place: string): number {
	if (fileBytes < 8) throw invalid(place, `expected at least 8 bytes, found ${fileBytes}`);
	const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
	const limit = Math.min(maxHeaderBytes, fileBytes - 8);
	if (length > BigInt(limit))
		throw invalid(place, `expected a header of at most ${limit} bytes, found a length of ${length}`);
	return Number(length);
}

/** Check and read a header; `dataBytes` is the number of bytes after it. */
export function parseHeader(bytes: Uint8Array, dataBytes: number, place: string): Header {
	let text: string;
	try {
		text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
	} catch (cause) {
		throw new RivuletError("safetensors-invalid", `${place}: the header is not UTF-8`, { cause });
	}
	if (!text.startsWith("{")) throw invalid(place, "expected the header to begin with {");
	const entries = Object.entries(
		parseJson(text, place, { maxSize: maxHeaderBytes, maxDepth: 4 }) as Record<string, unknown>,
	);
	const tensors = new Map<string, TensorInfo>();
	let metadata = new Map<string, string>();
	for (const [name, entry] of entries) {
		if (name === "__metadata__") metadata = parseMetadata(entry, place);
		else tensors.set(name, parseEntry(name, entry, dataBytes, place));
	}
	checkLayout([...tensors.values()], dataBytes, place);
	return { tensors, metadata };
}

function parseMetadata(entry: unknown, place: string): Map<string, string> {
	if (!isRecord(entry) || Object.values(entry).some((value) => typeof value !== "string")) {
		throw invalid(place, "expected __metadata__ to map names to text");
	}
	return new Map(Object.entries(entry as Record<string, string>));
}

function parseEntry(name: string, entry: unknown, dataBytes: number, place: string): TensorInfo {
	const fail = (problem: string) => invalid(place, `tensor ${quoted(name)}: ${problem}`);
	if (!isRecord(entry)) throw fail("expected an object with dtype, shape and data_offsets");
	const { dtype, shape, data_offsets: offsets } = entry;
	if (typeof dtype !== "string" || !Object.hasOwn(bytesPer, dtype)) {
		throw fail(`expected dtype ${Object.keys(bytesPer).join(", ")}, found ${quoted(dtype)}`);
	}
	if (!Array.isArray(shape) || !shape.every(isSize)) {
		throw fail(`expected a shape of non-negative integers, found ${quoted(shape)}`);
	}
	if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
		throw fail(`expected two offsets, found ${quoted(offsets)}`);
	}
	const [begin, end] = offsets as [number, number];
	if (begin > end || end > dataBytes) {
		throw fail(`expected offsets within the file's ${dataBytes} bytes of data, found ${begin} to ${end}`);
	}
	const bytes = (shape as number[]).reduce((product, size) => product * size, bytesPer[dtype as DTypeName]);
	if (bytes !== end - begin) {
		throw fail(`expected ${bytes} bytes for ${dtype} of shape ${quoted(shape)}, found ${end - begin}`);
	}
	return { name, dtype: dtype as DTypeName, shape, begin, end };
}

/** Tensors must cover the data exactly: no overlap, no gap, nothing left over. */
function checkLayout(tensors: TensorInfo[], dataBytes: number, place: string): void {
	tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
	let at = 0;
	for (const { name, begin, end } of tensors) {
		if (begin < at)
			throw invalid(place, `tensor ${quoted(name)} overlaps the one before it: begins at ${begin}, before ${at}`);
		if (begin > at) throw invalid(place, `tensor ${quoted(name)}: ${begin - at} bytes before it belong to no tensor`);
		at = end;
	}
	if (at !== dataBytes) throw invalid(place, `expected ${at} bytes of data, found ${dataBytes}`);
}

/** A tensor's values from its bytes (a copy that starts a buffer of its own, so that any element type is aligned). */
export function decodeTensor(info: TensorInfo, bytes: Uint8Array<ArrayBuffer>): TensorValue {
	const { shape, dtype } = info;
	switch (dtype) {
		case "F32":
			return { shape, data: new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4) };
		case "I32":
			return { shape, data: new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4) };
		case "I64":
			return { shape, data: new BigInt64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8) };
		case "U8":
			return { shape, data: bytes };
		case "BF16":
			return { shape, data: widen(bytes, (bits) => bits << 16) };
		case "F16":
			return { shape, data: widen(bytes, halfBits) };
	}
}

/** Float32 values from 16-bit words, `bits` giving the bits of each. */
function widen(bytes: Uint8Array<ArrayBuffer>, bits: (half: number) => number): Float32Array {
	const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
	const words = new Int32Array(halves.length);
	for (let i = 0; i < halves.length; i++) words[i] = bits(halves[i]);
	return new Float32Array(words.buffer);
}

/** Bits of the binary32 equal to a binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
function halfBits(half: number): number {
	const sign = (half & 0x8000) << 16;
	let exponent = (half >> 10) & 31;
	let fraction = half & 0x3ff;
	if (exponent === 31) return sign | 0x7f800000 | (fraction << 13);
	if (exponent === 0) {
		if (fraction === 0) return sign;
		// Subnormal: shift until the leading one is where binary32 leaves it unsaid.
		exponent = 1;
		while ((fraction & 0x400) === 0) {
			fraction <<= 1;
			exponent--;
		}
		fraction &= 0x3ff;
	}
	return sign | ((exponent + 112) << 23) | (fraction << 13);
}

/** A file's bytes, in pieces to be written one after the other: length and header first, then each tensor in order. */
export function encodeSafetensors(
	tensors: ReadonlyMap<string, TensorValue>,
	metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
	const header: Record<string, unknown> = Object.create(null);
	if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
	const pieces: Uint8Array[] = [];
	let at = 0;
	for (const [name, { shape, data }] of tensors) {
		if (name === "__metadata__") throw new Error("[safetensors] __metadata__ cannot name a tensor");
		const elements = shape.reduce((product, size) => product * size, 1);
		if (elements !== data.length) {
			throw new Error(
				`[safetensors] ${name}: expected ${elements} values for shape ${shape.join(" x ")}, got ${data.length}`,
			);
		}
		header[name] = { dtype: dtypeOf(data), shape, data_offsets: [at, at + data.byteLength] };
		pieces.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
		at += data.byteLength;
	}
	const json = new TextEncoder().encode(JSON.stringify(header));
	// Spaces after the JSON bring the data to a multiple of 8 bytes.
	const padded = Math.ceil(json.length / 8) * 8;
	const head = new Uint8Array(8 + padded).fill(0x20);
	new DataView(head.buffer).setBigUint64(0, BigInt(padded), true);
	head.set(json, 8);
	return [head, ...pieces];
}

function dtypeOf(data: TensorArray): DTypeName {
	if (data instanceof Float32Array) return "F32";
	if (data instanceof Int32Array) return "I32";
	return data instanceof BigInt64Array ? "I64" : "U8";
}

function invalid(place: string, problem: string): RivuletError {
	return new RivuletError("safetensors-invalid", `${place}: ${problem}`, {
		hint: "the file is damaged or is not safetensors; take another checkpoint or download it again",
	});
}

function quoted(value: unknown): string {
	const text = JSON.stringify(value) ?? "nothing";
	return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function isRecord(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSize(value: unknown): value is number {
	return Number.isSafeInteger(value) && (value as number) >= 0;
}
