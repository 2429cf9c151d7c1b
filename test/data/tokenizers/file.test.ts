import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { RivuletError } from "../../../src/base/errors.ts";
import {
	ByteTokenizer,
	CharacterTokenizer,
	loadTokenizer,
	parseTokenizer,
	saveTokenizer,
	trainBytePairs,
} from "../../../src/data/tokenizers/index.ts";
import { inChunks } from "./texts.ts";

type Json = ReturnType<typeof JSON.parse>;

let character = "";
let bytePairs = "";
beforeAll(async () => {
	character = JSON.stringify(new CharacterTokenizer(["a", "b", "😀"]).toJSON());
	bytePairs = JSON.stringify((await trainBytePairs(inChunks("the then there other ".repeat(9)), 262)).toJSON());
});

function failure(work: () => unknown): RivuletError {
	try {
		work();
	} catch (error) {
		expect(error).toBeInstanceOf(RivuletError);
		return error as RivuletError;
	}
	throw new Error("nothing was thrown");
}

/** The error that a changed file gives. */
function refused(original: string, change: (json: Json) => void): RivuletError {
	const json = JSON.parse(original);
	change(json);
	return failure(() => parseTokenizer(json, "t.json"));
}

describe("parseTokenizer refuses", () => {
	const addToken = (content: unknown, id: unknown) => (json: Json) => json.added_tokens.push({ content, id });
	test.each<[string, (json: Json) => void, string]>([
		["a duplicate id", (json) => (json.model.vocab.Ġthe = 5), "the id 5 is given to"],
		["an id out of range", (json) => (json.model.vocab.Ġthe = 99999), "found the number 99999"],
		["a negative id", (json) => (json.model.vocab.A = -1), "found the number -1"],
		["an id that is no integer", (json) => (json.model.vocab.A = 1.5), "found the number 1.5"],
		["an id that is no number", (json) => (json.model.vocab.A = "1"), 'found the string "1"'],
		["an empty vocabulary", (json) => (json.model.vocab = {}), "the vocabulary is empty"],
		["a vocabulary that is no object", (json) => (json.model.vocab = [1]), "expected an object, found an array"],
		["a missing byte", (json) => rename(json.model.vocab, "A", "AA"), "lacks a token for the byte 65"],
		["a token outside the byte alphabet", (json) => (json.model.vocab[" x"] = 262), '" " spells no byte'],
		["an empty token", (json) => (json.model.vocab[""] = 262), "an empty token"],
		["a merge of an unknown token", (json) => json.model.merges.push("q zzz"), '"zzz" is not a token'],
		["a merge into an unknown token", (json) => json.model.merges.push("q q"), '"qq" is not a token'],
		["a merge of three", (json) => json.model.merges.push("a b c"), "expected two tokens"],
		["a merge of non-strings", (json) => json.model.merges.push([1, 2]), "is not a token"],
		["a merge that is no pair", (json) => json.model.merges.push(7), "expected two tokens, found the number 7"],
		["a merge twice", (json) => json.model.merges.push(json.model.merges[0]), "is merged twice"],
		["merges that are no array", (json) => (json.model.merges = {}), "expected an array, found an object"],
		["an added token without content", addToken("", 262), "expected a content"],
		["an added token that is no string", addToken(3, 262), "expected a content"],
		["an added token with half a surrogate", addToken("\ud800", 262), "half a surrogate pair"],
		["an added token with a huge id", addToken("<x>", 2 ** 40), "expected an id of 0 to"],
		["an added token with an id in use", addToken("<x>", 3), "the id 3 is given to"],
		["added tokens that are no array", (json) => (json.added_tokens = "x"), "expected an array"],
	])("%s", (_, change, message) => {
		const error = refused(bytePairs, change);
		expect(error.message).toContain(message);
		expect(error.message).toContain("t.json");
		expect(error.code).toMatch(/^(tokenizer-invalid|json-shape)$/);
	});

	test.each<[string, (json: Json) => void]>([
		["another model", (json) => (json.model.type = "Unigram")],
		["a normalizer", (json) => (json.normalizer = { type: "NFC" })],
		["dropout", (json) => (json.model.dropout = 0.1)],
		["byte fallback", (json) => (json.model.byte_fallback = true)],
		["another pre-tokenizer", (json) => (json.pre_tokenizer = { type: "Metaspace" })],
		["a prefix space", (json) => (json.pre_tokenizer.add_prefix_space = true)],
		["merges over the whole text", (json) => (json.pre_tokenizer.use_regex = false)],
		["another decoder", (json) => (json.decoder = { type: "WordPiece" })],
		["a template", (json) => (json.post_processor = { type: "TemplateProcessing" })],
		["an added token that strips", (json) => json.added_tokens.push({ content: "<x>", id: 262, lstrip: true })],
	])("%s as unsupported", (_, change) => {
		expect(refused(bytePairs, change).code).toBe("tokenizer-unsupported");
	});

	test("characters that are not single characters", () => {
		expect(refused(character, (json) => rename(json.model.vocab, "a", "ab")).message).toContain("a single character");
		expect(refused(character, (json) => rename(json.model.vocab, "a", "\ud800")).message).toContain(
			"a single character",
		);
		expect(refused(character, (json) => rename(json.model.vocab, "a", "")).message).toContain("a single character");
		expect(refused(character, (json) => json.model.merges.push("a b")).code).toBe("tokenizer-unsupported");
	});

	test.each([[null], [3], ["x"], [[]], [{}], [{ model: 1 }], [{ model: {} }]])("%j", (json) => {
		expect(failure(() => parseTokenizer(json, "t.json")).message).toContain("t.json");
	});
});

function rename(vocab: Record<string, number>, from: string, to: string): void {
	vocab[to] = vocab[from];
	delete vocab[from];
}

describe("files", () => {
	test("whatever a few changes make of a file, it loads and works or is refused with a RivuletError", () => {
		const value = fc.oneof(
			fc.jsonValue({ maxDepth: 1 }),
			fc.integer({ min: -2, max: 300 }),
			fc.constantFrom("ByteLevel", "Fuse", "a b"),
		);
		const change = fc.tuple(fc.nat(), value, fc.boolean());
		fc.assert(
			fc.property(
				fc.constantFrom("char", "bpe"),
				fc.array(change, { minLength: 1, maxLength: 3 }),
				(which, changes) => {
					const json = JSON.parse(which === "char" ? character : bytePairs);
					for (const [where, to, remove] of changes) changeSomewhere(json, where, to, remove);
					try {
						const tokenizer = parseTokenizer(json, "t.json");
						expect(tokenizer.decode(tokenizer.encode("ab"))).toBe("ab");
					} catch (error) {
						expect(error).toBeInstanceOf(RivuletError);
					}
				},
			),
			{ numRuns: 1000 },
		);
	});

	test("load back what was saved; damaged, deep and huge ones are refused with the path", () => {
		const folder = mkdtempSync(join(tmpdir(), "rivulet-tokenizer-"));
		const path = join(folder, "tokenizer.json");
		saveTokenizer(path, new ByteTokenizer());
		expect(loadTokenizer(path).kind).toBe("byte");
		const damaged = [
			bytePairs.slice(0, -20),
			"[".repeat(100),
			`{"model":${'{"vocab":'.repeat(40)}`,
			"\xff",
			'{"a":1,"a":2}',
		];
		for (const content of damaged) {
			writeFileSync(path, content, "latin1");
			const error = failure(() => loadTokenizer(path));
			expect(error.code).toMatch(/^json-/);
			expect(error.message).toContain(path);
		}
		expect(failure(() => loadTokenizer(join(folder, "none.json"))).code).toBe("file-missing");
		rmSync(folder, { recursive: true });
	});

	test("names that JavaScript knows are ordinary tokens", () => {
		const json = JSON.parse(bytePairs);
		json.added_tokens.push({ content: "__proto__", id: 262 }, { content: "constructor", id: 263 });
		const tokenizer = parseTokenizer(json, "t.json");
		expect([...tokenizer.encode("constructor__proto__")]).toEqual([263, 262]);
		const again = parseTokenizer(JSON.parse(JSON.stringify(tokenizer.toJSON())), "t.json");
		expect([...again.encode("constructor__proto__")]).toEqual([263, 262]);
	});
});

/** Replaces or removes one property, chosen by number among all properties at any depth. */
function changeSomewhere(json: Json, where: number, to: unknown, remove: boolean): void {
	const places: [Json, string][] = [];
	const walk = (value: Json) => {
		if (typeof value !== "object" || value === null) return;
		for (const key of Object.keys(value)) {
			places.push([value, key]);
			walk(value[key]);
		}
	};
	walk(json);
	if (places.length === 0) return;
	// Half of the changes go to the few settings outside the vocabulary.
	const few = places.filter(([parent]) => parent !== json.model?.vocab);
	const [parent, key] = where % 2 === 0 ? few[(where >> 1) % few.length] : places[(where >> 1) % places.length];
	if (remove && !Array.isArray(parent)) delete parent[key];
	else parent[key] = to;
}
