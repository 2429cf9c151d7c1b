import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RivuletError } from "../../src/base/errors.ts";
import { openSources, readAll, spoolStandardInput, standardInput } from "../../src/data/source.ts";

let folder = "";
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "rivulet-source-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function put(name: string, content: string | Uint8Array): string {
	const path = join(folder, name);
	mkdirSync(join(path, ".."), { recursive: true });
	writeFileSync(path, content);
	return path;
}

async function textOf(paths: string | readonly string[]): Promise<string> {
	let text = "";
	for await (const chunk of readAll(openSources(typeof paths === "string" ? [paths] : paths))) text += chunk;
	return text;
}

async function failureOf(work: () => Promise<unknown>): Promise<RivuletError> {
	const error = await work().then(
		() => undefined,
		(error) => error,
	);
	expect(error).toBeInstanceOf(RivuletError);
	return error;
}

describe("openSources", () => {
	test("a file, several files, a folder in order of names, a glob", async () => {
		put("b.txt", "B");
		put("a.txt", "A");
		put("deep/c.txt", "C");
		put("deep/d.md", "D");
		put(".hidden", "\0");
		expect(await textOf(join(folder, "b.txt"))).toBe("B");
		expect(await textOf([join(folder, "b.txt"), join(folder, "a.txt")])).toBe("BA");
		expect(await textOf([join(folder, "b.txt"), join(folder, "a.txt"), join(folder, ".", "b.txt")])).toBe("BA");
		expect(await textOf(folder)).toBe("ABCD");
		expect(await textOf(`${folder}/`)).toBe("ABCD");
		expect(await textOf(`${folder}/**/*.txt`)).toBe("ABC");
		expect(await textOf([join(folder, "a.txt"), `${folder}/*.txt`])).toBe("AB");
	});

	test("a file or folder whose name looks like a pattern is taken as it stands", async () => {
		put("[x]/a*.txt", "A");
		put("[x]/ab.txt", "B");
		expect(await textOf(join(folder, "[x]", "a*.txt"))).toBe("A");
		expect(await textOf(join(folder, "[x]"))).toBe("AB");
	});

	test("reads as a stream: many chunks, none splitting a character", async () => {
		const text = "€".repeat(300_000); // 900,000 bytes; chunks are 2^18, not a multiple of 3
		const path = put("a.txt", text);
		let joined = "";
		let chunks = 0;
		for await (const chunk of readAll(openSources([path]))) {
			chunks++;
			joined += chunk;
		}
		expect(joined).toBe(text);
		expect(chunks).toBeGreaterThan(2);
	});

	test("decompresses .gz, and says when one is damaged", async () => {
		const whole = gzipSync(Buffer.from("héllo ".repeat(1000)));
		expect(await textOf(put("a.txt.gz", whole))).toBe("héllo ".repeat(1000));
		for (const damaged of [whole.subarray(0, 40), Buffer.from("plain text")]) {
			const error = await failureOf(() => textOf(put("b.gz", damaged)));
			expect(error.code).toBe("gzip-invalid");
			expect(error.message).toContain("b.gz");
		}
	});

	test("says what is missing", async () => {
		expect((await failureOf(() => textOf(join(folder, "none.txt")))).code).toBe("file-missing");
		expect((await failureOf(() => textOf(join(folder, "*.none")))).code).toBe("data-no-files");
		const error = await failureOf(() => textOf(folder));
		expect(error.code).toBe("data-no-files");
		expect(error.message).toContain(folder);
	});

	test("names the offending file of a folder", async () => {
		put("a.txt", "fine");
		put("b.bin", Buffer.from([1, 2, 0, 3]));
		const error = await failureOf(() => textOf(folder));
		expect(error.code).toBe("text-binary");
		expect(error.message).toContain("b.bin is not text: byte 2 is NUL");
	});
});

describe("standard input", () => {
	test("is read as it comes, once, between other sources", async () => {
		async function* input() {
			yield Buffer.from([0x61, 0xc3]);
			yield Buffer.from([0xa9]);
		}
		const sources = openSources([put("a.txt", "A"), "-", put("b.txt", "B")], standardInput(input()));
		let text = "";
		for await (const chunk of readAll(sources)) text += chunk;
		expect(text).toBe("AaéB");
		expect(() => sources[1].read()).toThrow("a second");
	});

	test("that is not text is refused by name", async () => {
		async function* input() {
			yield Buffer.from([0x61, 0xff]);
		}
		const error = await failureOf(async () => {
			for await (const _ of standardInput(input()).read());
		});
		expect(error.message).toContain("standard input is not UTF-8 text: byte 1");
	});
});

describe("spoolStandardInput", () => {
	test("can be read twice, and leaves nothing behind", async () => {
		async function* input() {
			yield Buffer.from([0x61, 0xc3]);
			yield Buffer.from([0xa9]);
		}
		const { source, remove } = await spoolStandardInput(folder, input());
		for (let time = 0; time < 2; time++) {
			let text = "";
			for await (const chunk of source.read()) text += chunk;
			expect(text).toBe("aé");
		}
		expect(source.name).toBe("standard input");
		remove();
		expect(readdirSync(folder)).toEqual([]);
	});

	test("a failing input leaves nothing behind", async () => {
		// biome-ignore lint/correctness/useYield: it fails before the first chunk
		async function* input(): AsyncGenerator<Uint8Array> {
			throw new Error("broken pipe");
		}
		await expect(spoolStandardInput(folder, input())).rejects.toThrow("broken pipe");
		expect(readdirSync(folder)).toEqual([]);
	});
});
