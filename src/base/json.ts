/** JSON from files that may be damaged or hostile: limits on size and depth, no duplicate names, errors that say where. */

import { isUtf8 } from "node:buffer";
import { RivuletError } from "./errors.ts";
import { readFileLimited } from "./files.ts";

export interface JsonLimits {
	/** Largest size in bytes (of a file) or UTF-16 units (of a text). Default 64 MiB. */
	readonly maxSize?: number;
	/** Deepest nesting of objects and arrays. Default 64. */
	readonly maxDepth?: number;
}

const defaultSize = 64 * 2 ** 20;
const defaultDepth = 64;
const damaged = { hint: "The file is damaged or of another program: restore it from a copy, or make it again." };

/** A JSON object, once `expectObject` has seen it. */
export type JsonObject = Record<string, unknown>;

/**
 * Parses JSON text. `where` names it in errors ("run/config.json").
 * @throws RivuletError json-too-large, json-too-deep, json-invalid, json-duplicate.
 */
export function parseJson(text: string, where: string, limits: JsonLimits = {}): unknown {
	const { maxSize = defaultSize, maxDepth = defaultDepth } = limits;
	if (text.length > maxSize) {
		throw new RivuletError(
			"json-too-large",
			`${where} has ${text.length} characters, more than the ${maxSize} allowed`,
			damaged,
		);
	}
	checkStructure(text, where, maxDepth);
	try {
		return JSON.parse(text);
	} catch (error) {
		throw new RivuletError("json-invalid", `${where} is not valid JSON: ${(error as Error).message}`, {
			...damaged,
			cause: error,
		});
	}
}

/** Reads and parses a JSON file (UTF-8). */
export function readJson(path: string, limits: JsonLimits = {}): unknown {
	const bytes = readFileLimited(path, limits.maxSize ?? defaultSize);
	if (!isUtf8(bytes))
		throw new RivuletError("json-invalid", `${path} is not valid JSON: it is not UTF-8 text`, damaged);
	return parseJson(bytes.toString("utf8"), path, limits);
}

/** The value as an object, or an error that says what was found instead. */
export function expectObject(value: unknown, where: string): JsonObject {
	if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
	throw new RivuletError("json-shape", `${where}: expected an object, found ${nameOf(value)}`, damaged);
}

/** A short name of a JSON value for messages: "an array", "the string \"abc\"", "null". */
export function nameOf(value: unknown): string {
	if (value === undefined) return "nothing";
	if (value === null) return "null";
	if (Array.isArray(value)) return "an array";
	if (typeof value === "object") return "an object";
	const text = JSON.stringify(value) ?? String(value);
	return `the ${typeof value} ${text.length > 40 ? `${text.slice(0, 40)}…` : text}`;
}

/**
 * One linear scan for what JSON.parse lets pass: nesting deeper than `maxDepth`, and a name twice in one object (of which
 * JSON.parse keeps the last). Anything malformed is left for JSON.parse to report.
 */
function checkStructure(text: string, where: string, maxDepth: number): void {
	const names: (Set<string> | undefined)[] = []; // one entry per open bracket; undefined for arrays
	let atName = false;
	for (let i = 0; i < text.length; i++) {
		const character = text[i];
		if (character === '"') {
			const end = endOfString(text, i);
			const open = names.at(-1);
			if (atName && open !== undefined) addName(open, text.slice(i, end + 1), where);
			atName = false;
			i = end;
		} else if (character === "{" || character === "[") {
			names.push(character === "{" ? new Set() : undefined);
			if (names.length > maxDepth) {
				throw new RivuletError(
					"json-too-deep",
					`${where} nests more than ${maxDepth} levels deep (at character ${i})`,
					damaged,
				);
			}
			atName = character === "{";
		} else if (character === "}" || character === "]") {
			names.pop();
		} else if (character === ",") {
			atName = names.at(-1) !== undefined;
		}
	}
}

/** Index of the quote that ends the string beginning at `start`, or the last index of an unfinished one. */
function endOfString(text: string, start: number): number {
	let end = start + 1;
	while (end < text.length && text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
	return Math.min(end, text.length - 1);
}

function addName(names: Set<string>, quoted: string, where: string): void {
	let name = quoted;
	// Two spellings of one name (escapes) are the same name.
	if (quoted.includes("\\")) {
		try {
			name = JSON.stringify(JSON.parse(quoted));
		} catch {
			return;
		}
	}
	if (names.has(name))
		throw new RivuletError("json-duplicate", `${where} has the name ${name} twice in one object`, damaged);
	names.add(name);
}
