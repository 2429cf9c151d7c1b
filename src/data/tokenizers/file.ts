/** Saving tokenizers as Hugging Face `tokenizer.json`, and loading them back from files that may be damaged or hostile. */

import { RivuletError } from "../../base/errors.ts";
import { writeJson } from "../../base/files.ts";
import { expectObject, type JsonObject, nameOf, readJson } from "../../base/json.ts";
import { type BytePairs, BytePairTokenizer, largestVocabulary } from "./byte-pairs.ts";
import { ByteTokenizer, byteAlphabet, byteOfCharacter } from "./bytes.ts";
import { CharacterTokenizer } from "./characters.ts";
import type { Tokenizer } from "./tokenizer.ts";

const largestFile = 256 * 2 ** 20;
const deepest = 16;

/** Writes `tokenizer.json`, atomically. */
export function saveTokenizer(path: string, tokenizer: Tokenizer): void {
	writeJson(path, tokenizer.toJSON());
}

/** Reads a `tokenizer.json`: ours, or any byte-level BPE of GPT-2's kind. See `parseTokenizer`. */
export function loadTokenizer(path: string): Tokenizer {
	return parseTokenizer(readJson(path, { maxSize: largestFile, maxDepth: deepest }), path);
}

/**
 * The tokenizer that a parsed `tokenizer.json` describes. `where` names it in errors.
 * @throws RivuletError tokenizer-invalid: what is wrong and where. tokenizer-unsupported: a valid file of another kind.
 */
export function parseTokenizer(json: unknown, where: string): Tokenizer {
	const file = expectObject(json, where);
	const model = expectObject(file.model, `${where}: model`);
	if (model.type !== "BPE") unsupported(where, `a model of type ${nameOf(model.type)}`);
	if (isGiven(file.normalizer)) unsupported(where, "a normalizer");
	for (const option of [
		"dropout",
		"byte_fallback",
		"ignore_merges",
		"continuing_subword_prefix",
		"end_of_word_suffix",
	]) {
		if (isGiven(model[option])) unsupported(where, `a model with ${option} ${nameOf(model[option])}`);
	}
	const processor = typeOf(file.post_processor, `${where}: post_processor`) ?? "ByteLevel"; // which moves offsets only
	if (processor !== "ByteLevel") unsupported(where, `the post_processor ${nameOf(processor)}`);
	const added = parseAdded(file.added_tokens, where);
	const tokens = parseVocabulary(model.vocab, added, where);
	const preTokenizer = typeOf(file.pre_tokenizer, `${where}: pre_tokenizer`);
	const decoder = typeOf(file.decoder, `${where}: decoder`);
	if (preTokenizer === undefined && decoder === "Fuse") return characters(tokens, model, added, where);
	if (preTokenizer !== "ByteLevel" || decoder !== "ByteLevel") {
		unsupported(where, `the pre_tokenizer ${nameOf(preTokenizer)} with the decoder ${nameOf(decoder)}`);
	}
	return byteLevel(tokens, model, added, file.pre_tokenizer as JsonObject, where);
}

/** Whether an option is set to anything but its neutral value. */
function isGiven(value: unknown): boolean {
	return value !== undefined && value !== null && value !== false && value !== 0 && value !== "";
}

function typeOf(part: unknown, where: string): string | undefined {
	if (part === undefined || part === null) return undefined;
	const { type } = expectObject(part, where);
	if (typeof type !== "string") invalid(where, `expected a type, found ${nameOf(type)}`);
	return type;
}

/** Added tokens by content. */
function parseAdded(value: unknown, where: string): Map<string, number> {
	const added = new Map<string, number>();
	if (value === undefined || value === null) return added;
	if (!Array.isArray(value)) invalid(where, `added_tokens: expected an array, found ${nameOf(value)}`);
	value.forEach((item, index) => {
		const place = `added_tokens[${index}]`;
		const token = expectObject(item, `${where}: ${place}`);
		const { content, id } = token;
		if (typeof content !== "string" || content === "") {
			invalid(where, `${place}: expected a content of one character or more, found ${nameOf(content)}`);
		}
		if (/\p{Surrogate}/u.test(content)) invalid(where, `${place}: its content has half a surrogate pair`);
		if (!isId(id)) invalid(where, `${place}: expected an id of 0 to ${largestVocabulary - 1}, found ${nameOf(id)}`);
		for (const option of ["single_word", "lstrip", "rstrip"]) {
			if (isGiven(token[option])) unsupported(where, `the added token ${shown(content)} with ${option}`);
		}
		if (added.has(content)) invalid(where, `added_tokens has ${shown(content)} twice`);
		added.set(content, id);
	});
	return added;
}

function isId(value: unknown): value is number {
	return Number.isInteger(value) && (value as number) >= 0 && (value as number) < largestVocabulary;
}

/** Tokens by id, the added ones included: ids 0 to V-1, each exactly once. */
function parseVocabulary(value: unknown, added: ReadonlyMap<string, number>, where: string): string[] {
	const entries = new Map<string, unknown>(Object.entries(expectObject(value, `${where}: model.vocab`)));
	for (const [content, id] of added) {
		if (entries.has(content) && entries.get(content) !== id) {
			invalid(
				where,
				`${shown(content)} has the id ${id} in added_tokens and ${nameOf(entries.get(content))} in model.vocab`,
			);
		}
		entries.set(content, id);
	}
	if (entries.size === 0) invalid(where, "the vocabulary is empty");
	if (entries.size > largestVocabulary)
		invalid(where, `${entries.size} tokens, more than the ${largestVocabulary} allowed`);
	const tokens: string[] = new Array(entries.size);
	for (const [token, id] of entries) {
		if (!isId(id) || id >= entries.size) {
			invalid(where, `the token ${shown(token)}: expected an id of 0 to ${entries.size - 1}, found ${nameOf(id)}`);
		}
		if (tokens[id] !== undefined)
			invalid(where, `the id ${id} is given to ${shown(tokens[id])} and to ${shown(token)}`);
		tokens[id] = token;
	}
	return tokens;
}

function characters(tokens: string[], model: JsonObject, added: ReadonlyMap<string, number>, where: string): Tokenizer {
	if (added.size > 0) unsupported(where, "a character vocabulary with added tokens");
	if (!Array.isArray(model.merges) || model.merges.length > 0)
		unsupported(where, "merges of characters that are not bytes");
	for (const token of tokens) {
		const isOne = String.fromCodePoint(token.codePointAt(0) ?? 0) === token && !/\p{Surrogate}/u.test(token);
		if (!isOne) invalid(where, `the token ${shown(token)}: expected a single character`);
	}
	return new CharacterTokenizer(tokens);
}

function byteLevel(
	tokens: string[],
	model: JsonObject,
	special: ReadonlyMap<string, number>,
	preTokenizer: JsonObject,
	where: string,
): Tokenizer {
	if (isGiven(preTokenizer.add_prefix_space)) unsupported(where, "add_prefix_space");
	const bytes = tokens.map((token) => (special.has(token) ? Buffer.from(token) : bytesOf(token, where)));
	const ids = new Map(tokens.map((token, id) => [token, id]));
	byteAlphabet.forEach((character, byte) => {
		const id = ids.get(character);
		if (id === undefined || special.has(character)) invalid(where, `the vocabulary lacks a token for the byte ${byte}`);
	});
	const merges = parseMerges(model.merges, ids, where);
	if (preTokenizer.use_regex === false) {
		const plain =
			merges.length === 0 && tokens.length === 256 && byteAlphabet.every((character, id) => tokens[id] === character);
		if (!plain) unsupported(where, "use_regex false with anything but the 256 bytes in order");
		return new ByteTokenizer();
	}
	const isGpt2 = tokens.length === 50257 && special.get("<|endoftext|>") === 50256;
	return new BytePairTokenizer(isGpt2 ? "gpt2" : "bpe", { tokens: bytes, merges, special });
}

/** The bytes that a token spells. */
function bytesOf(token: string, where: string): Uint8Array {
	if (token === "") invalid(where, "the vocabulary has an empty token");
	return Uint8Array.from(token, (character) => {
		const byte = byteOfCharacter.get(character);
		if (byte === undefined) invalid(where, `the token ${shown(token)}: ${shown(character)} spells no byte`);
		return byte;
	});
}

/** Merges by rank: "left right" or ["left", "right"], all three tokens known, no pair twice. */
function parseMerges(value: unknown, ids: ReadonlyMap<string, number>, where: string): BytePairs["merges"] {
	if (!Array.isArray(value)) invalid(where, `model.merges: expected an array, found ${nameOf(value)}`);
	const seen = new Set<number>();
	return value.map((item, rank) => {
		const place = `model.merges[${rank}]`;
		const pair: unknown[] = typeof item === "string" ? item.split(" ") : Array.isArray(item) ? item : [];
		if (pair.length !== 2) invalid(where, `${place}: expected two tokens, found ${nameOf(item)}`);
		const [left, right, joined] = [pair[0], pair[1], `${pair[0]}${pair[1]}`].map((token) => {
			const id = typeof token === "string" ? ids.get(token) : undefined;
			return id ?? invalid(where, `${place}: ${nameOf(token)} is not a token of the vocabulary`);
		});
		const key = left * largestVocabulary + right;
		if (seen.has(key)) invalid(where, `${place}: the pair ${nameOf(item)} is merged twice`);
		seen.add(key);
		return [left, right, joined] as const;
	});
}

/** A token for a message, in quotes, and short. */
function shown(token: string): string {
	return JSON.stringify(token.length > 40 ? `${token.slice(0, 40)}…` : token);
}

function invalid(where: string, problem: string): never {
	throw new RivuletError("tokenizer-invalid", `${where} is not a valid tokenizer.json: ${problem}`, {
		hint: "The file is damaged, or was written by hand. Take it again from where it came.",
	});
}

function unsupported(where: string, what: string): never {
	throw new RivuletError("tokenizer-unsupported", `${where} has ${what}, which Rivulet does not support`, {
		hint: "Supported are the files Rivulet writes, and byte-level BPE as GPT-2 uses it.",
	});
}
