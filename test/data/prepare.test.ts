import {
	chmodSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	utimesSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RivuletError } from "../../src/base/errors.ts";
import {
	ByteTokenizer,
	cacheFolder,
	type DataProgress,
	digestText,
	openTales,
	openText,
	openTokens,
	prepareText,
	readLines,
	type TextSource,
	taleEntropy,
	tokenizerKinds,
} from "../../src/data/index.ts";

let folder = "";
let cache = "";
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "rivulet-prepare-"));
	cache = join(folder, "cache");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function put(name: string, content: string | Uint8Array): string {
	const path = join(folder, name);
	mkdirSync(join(path, ".."), { recursive: true });
	writeFileSync(path, content);
	return path;
}

const base = { validation: [] as string[], split: 0.1, tokenizer: "char" as const, vocabulary: 300, length: 8 };

async function failureOf(work: () => Promise<unknown>): Promise<RivuletError> {
	const error = await work().then(
		() => undefined,
		(error) => error,
	);
	expect(error).toBeInstanceOf(RivuletError);
	return error;
}

function idsOf(tokens: { length: number; read(start: number, count: number, into: Int32Array): void }): Int32Array {
	const ids = new Int32Array(tokens.length);
	tokens.read(0, tokens.length, ids);
	return ids;
}

/** A source in memory, cut into chunks. */
function memorySource(...chunks: string[]): TextSource {
	return {
		name: "memory",
		async *read() {
			yield* chunks;
		},
	};
}

describe("prepareText", () => {
	const text = "Über den Wolken — 😀 the quick brown fox.\n".repeat(40);

	test.each(tokenizerKinds)(
		"with tokenizer %s: the parts are the text, split by tokens, with their bytes",
		async (tokenizer) => {
			const options = { ...base, tokenizer, path: [put("a.txt", text)], cache };
			const { task, train, validation, tokenizer: made } = await prepareText(options);
			const [first, last] = [made.decode(idsOf(train)), made.decode(idsOf(validation))];
			const bytes = [...made.decodeBytes(idsOf(train)), ...made.decodeBytes(idsOf(validation))];
			expect(Buffer.from(bytes).toString()).toBe(text);
			expect(validation.length).toBe(Math.round((train.length + validation.length) * 0.1));
			expect([train.bytes, validation.bytes]).toEqual(
				[idsOf(train), idsOf(validation)].map((ids) => made.decodeBytes(ids).length),
			);
			expect(task.bytesPerToken).toBe(validation.bytes / validation.length);
			expect(task.vocabularySize).toBe(made.vocabularySize);
			expect(first.length + last.length).toBeGreaterThan(0);
		},
	);

	test("a second time comes from the cache: only hashed, the same ids", async () => {
		const options = { ...base, tokenizer: "bpe" as const, path: [put("a.txt", text)], cache };
		const stages = async () => {
			const seen: DataProgress[] = [];
			const { train } = await prepareText({ ...options, onProgress: (progress) => seen.push(progress) });
			for (const { done, total } of seen) expect(done).toBeLessThanOrEqual(total!);
			return { stages: [...new Set(seen.map(({ stage }) => stage))], ids: idsOf(train) };
		};
		const first = await stages();
		const second = await stages();
		expect(first.stages).toEqual(["hash", "vocabulary", "tokenize"]);
		expect(second.stages).toEqual(["hash"]);
		expect(second.ids).toEqual(first.ids);
	});

	test("a damaged cache is made again", async () => {
		const options = { ...base, path: [put("a.txt", text)], cache };
		const { train } = await prepareText(options);
		const expected = idsOf(train);
		for (const name of readdirSync(cache)) {
			const whole = readFileSync(join(cache, name));
			writeFileSync(join(cache, name), whole.subarray(0, whole.length - 3));
		}
		expect(idsOf((await prepareText(options)).train)).toEqual(expected);
	});

	test("another text, tokenizer or vocabulary has its own place", async () => {
		const path = [put("a.txt", text)];
		await prepareText({ ...base, path, cache });
		await prepareText({ ...base, path, cache, tokenizer: "byte" });
		await prepareText({ ...base, path, cache, tokenizer: "bpe" });
		await prepareText({ ...base, path, cache, tokenizer: "bpe", vocabulary: 280 });
		await prepareText({ ...base, path: [put("b.txt", `${text}!`)], cache });
		expect(readdirSync(cache).filter((name) => name.endsWith(".tokens")).length).toBe(5);
	});

	test("runs side by side share the cache", async () => {
		const path = [put("a.txt", text)];
		const prepared = await Promise.all(Array.from({ length: 6 }, () => prepareText({ ...base, path, cache })));
		const [first, ...others] = prepared.map(({ train }) => [...idsOf(train)]);
		for (const other of others) expect(other).toEqual(first);
		expect(readdirSync(cache).filter((name) => name.endsWith(".partial"))).toEqual([]);
	});

	test("a validation file takes the place of the split, and its characters are known", async () => {
		const path = [put("a.txt", "abcd".repeat(20))];
		const { train, validation, tokenizer } = await prepareText({
			...base,
			path,
			validation: [put("v.txt", "abzé")],
			cache,
		});
		expect(tokenizer.decode(idsOf(train))).toBe("abcd".repeat(20));
		expect(tokenizer.decode(idsOf(validation))).toBe("abzé");
		expect(validation.bytes).toBe(5);
	});

	test("a tokenizer that exists is used as it is", async () => {
		const path = [put("a.txt", "abcd".repeat(20))];
		const { tokenizer } = await prepareText({ ...base, path, cache });
		const other = { ...base, path: [put("b.txt", "dcba".repeat(20))], cache, tokenizer };
		expect((await prepareText(other)).tokenizer).toBe(tokenizer);
		const error = await failureOf(() => prepareText({ ...other, path: [put("c.txt", "abxd".repeat(20))] }));
		expect(error.message).toContain('the character "x" (U+0078) at position 2');
	});

	test("says what is wrong", async () => {
		const failure = (content: string | Uint8Array, change = {}) =>
			failureOf(() => prepareText({ ...base, path: [put("a.txt", content)], cache, ...change }));
		expect((await failure("")).message).toContain("a.txt is empty");
		expect((await failure("abc", { validation: [put("v.txt", "")] })).message).toContain("v.txt is empty");
		expect((await failure("abcde")).message).toBe(
			"the training part has 3 tokens, but one window of data.length 8 takes 9",
		);
		expect((await failure("a")).code).toBe("data-too-short");
		expect((await failure(Buffer.from([0x61, 0xff]))).message).toContain("a.txt is not UTF-8 text: byte 1 (0xff)");
		expect((await failure(Buffer.from([0x61, 0]))).code).toBe("text-binary");
		expect((await failure("abc", { path: ["-"], validation: ["-"] })).code).toBe("data-input-twice");
		expect((await failure("abc", { path: [] })).message).toContain("no file is named");
		expect((await failure("abc", { path: [join(folder, "none.txt")] })).code).toBe("file-missing");
		for (const split of [0, 1, -1, Number.NaN]) expect((await failure("abc", { split })).exitStatus).toBe(2);
		expect(readdirSync(cache).filter((name) => name.endsWith(".partial"))).toEqual([]);
	});
});

describe("openText", () => {
	test("gives the tokens of any text for a tokenizer that exists", async () => {
		const tokens = await openText([put("a.txt", "héllo")], new ByteTokenizer(), { cache });
		expect(Buffer.from(idsOf(tokens)).toString()).toBe("héllo");
		expect([tokens.bytes, tokens.vocabularySize]).toEqual([6, 256]);
		tokens.close();
		expect((await failureOf(() => openText([put("a.txt", "")], new ByteTokenizer(), { cache }))).code).toBe(
			"data-empty",
		);
	});
});

describe("openTokens", () => {
	test("refuses a text that changed after it was hashed, and leaves nothing", async () => {
		mkdirSync(cache);
		const digest = await digestText([memorySource("abc")]);
		const error = await failureOf(() => openTokens([memorySource("abd")], digest, new ByteTokenizer(), cache));
		expect(error.code).toBe("data-changed");
		expect(readdirSync(cache)).toEqual([]);
	});

	test("a failure on the way leaves nothing", async () => {
		mkdirSync(cache);
		const digest = await digestText([memorySource("abc")]);
		const broken: TextSource = {
			name: "broken",
			async *read() {
				yield "ab";
				throw new Error("unplugged");
			},
		};
		await expect(openTokens([broken], digest, new ByteTokenizer(), cache)).rejects.toThrow("unplugged");
		expect(readdirSync(cache)).toEqual([]);
	});

	test("is the same however the text is cut into files and chunks", async () => {
		const whole = await digestText([memorySource("héllo wörld")]);
		expect(await digestText([memorySource("hé", "llo"), memorySource(" wörld")])).toEqual(whole);
		expect(whole.bytes).toBe(13);
	});
});

describe("cacheFolder", () => {
	test("takes the given folder, then RIVULET_CACHE", () => {
		const before = process.env.RIVULET_CACHE;
		process.env.RIVULET_CACHE = join(folder, "from-environment");
		expect(cacheFolder(cache)).toBe(cache);
		expect(cacheFolder()).toBe(join(folder, "from-environment"));
		if (before === undefined) delete process.env.RIVULET_CACHE;
		else process.env.RIVULET_CACHE = before;
	});

	test("removes what killed runs left a day ago, and nothing else", () => {
		mkdirSync(cache);
		const names = [".a.tokens.1.partial", "standard-input-1.txt", "b.tokens", ".c.tokens.2.partial"];
		for (const name of names) writeFileSync(join(cache, name), "");
		for (const name of names.slice(0, 3)) utimesSync(join(cache, name), 0, 0);
		cacheFolder(cache);
		expect(readdirSync(cache).sort()).toEqual([".c.tokens.2.partial", "b.tokens"]);
	});

	test("says where it cannot be, and how to move it", async () => {
		const error = await failureOf(async () => cacheFolder(join(put("file", ""), "x")));
		expect(error.hint).toContain("RIVULET_CACHE");
		if (process.getuid?.() === 0) return;
		chmodSync(folder, 0o555);
		expect((await failureOf(async () => cacheFolder(cache))).code).toBe("file-denied");
		chmodSync(folder, 0o755);
	});
});

describe("openTales", () => {
	test("prepares the corpus offline, with a floor above the entropy rate that longer windows lower", async () => {
		const options = { ...base, cache, length: 128 };
		const { task, train, validation, tokenizer, floor } = await openTales(options);
		expect(train.length).toBeGreaterThan(1.9e6);
		expect(validation.length).toBeGreaterThan(90_000);
		const start = new Int32Array(300);
		train.read(0, 300, start);
		expect(tokenizer.decode(start)).toMatch(/^[A-Z][^\n]+ lived [^\n]+/);
		validation.read(0, 300, start);
		expect(tokenizer.decode(start)).toMatch(/^[A-Z]/);
		expect(task.vocabularySize).toBeLessThan(80);
		expect(floor).toBeGreaterThan(taleEntropy().natsPerCharacter);
		const long = await openTales({ ...options, length: 1024 });
		expect(long.floor).toBeLessThan(floor!);
		const bytes = await openTales({ ...options, tokenizer: "byte" });
		expect(bytes.floor! / taleEntropy().natsPerCharacter).toBeCloseTo(1, 1);
	});
});

test("readLines gives lines whatever the chunks, without their ends", async () => {
	const lines: string[] = [];
	for await (const line of readLines([memorySource("a\nb", "c\r", "\n\nd")])) lines.push(line);
	expect(lines).toEqual(["a", "bc", "", "d"]);
});
