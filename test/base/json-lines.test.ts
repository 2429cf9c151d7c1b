import { appendFile, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { JsonLinesWriter, readJsonLines } from "../../src/base/json-lines.ts";

let path: string;
beforeEach(async () => {
	path = join(await mkdtemp(join(tmpdir(), "rivulet-lines-")), "lines.jsonl");
});

async function all(): Promise<unknown[]> {
	const values: unknown[] = [];
	for await (const { value } of readJsonLines(path)) values.push(value);
	return values;
}

test("what is appended is read back, line for line", async () => {
	const writer = new JsonLinesWriter(path);
	const values = [{ step: 1 }, "ü\n", [1.5, null]];
	for (const value of values) writer.append(value);
	writer.flush();
	writer.close();
	expect(await all()).toEqual(values);
	expect((await readFile(path, "utf8")).split("\n")).toHaveLength(4);
});

test("an existing file is continued", async () => {
	for (const value of [1, 2]) {
		const writer = new JsonLinesWriter(path);
		writer.append(value);
		writer.close();
	}
	expect(await all()).toEqual([1, 2]);
});

test("numbers that JSON lacks become null", async () => {
	const writer = new JsonLinesWriter(path);
	writer.append({ loss: Number.NaN, rate: Infinity });
	writer.close();
	expect(await all()).toEqual([{ loss: null, rate: null }]);
});

test("a torn last line does not count, a broken one inside is undefined", async () => {
	await writeFile(path, '{"a":1}\n{"a":\n{"a":3}\n{"a":4');
	expect(await all()).toEqual([{ a: 1 }, undefined, { a: 3 }]);
});

test("offsets are in bytes, over chunk borders and beyond ASCII", async () => {
	const lines = Array.from({ length: 3000 }, (_, i) => JSON.stringify({ i, text: "größe".repeat(i % 17) }));
	await writeFile(path, `${lines.join("\n")}\n`);
	const bytes = await readFile(path);
	let count = 0;
	for await (const { start, end } of readJsonLines(path)) {
		expect(bytes.subarray(start, end).toString()).toBe(`${lines[count++]}\n`);
	}
	expect(count).toBe(3000);
});

test("a line without end is refused, not kept in memory", async () => {
	await writeFile(path, "x".repeat(3 << 20));
	await expect(all()).rejects.toMatchObject({ code: "line-too-long" });
});

test("a missing file and a path through a file are clear errors", async () => {
	await expect(all()).rejects.toMatchObject({ code: "file-missing" });
	await appendFile(path, "");
	expect(() => new JsonLinesWriter(join(path, "below"))).toThrow(expect.objectContaining({ code: "file-missing" }));
});

test("a full disk is a clear error", async () => {
	const writer = new JsonLinesWriter("/dev/full");
	expect(() => writer.append(1)).toThrow(expect.objectContaining({ code: "disk-full" }));
	writer.close();
});
