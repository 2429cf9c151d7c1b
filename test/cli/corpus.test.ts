import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rivulet } from "./fake.ts";

let folder = "";
const cache = process.env.RIVULET_CACHE;
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "rivulet-cli-corpus-"));
	process.env.RIVULET_CACHE = join(folder, "cache");
});
afterAll(() => {
	if (cache === undefined) delete process.env.RIVULET_CACHE;
	else process.env.RIVULET_CACHE = cache;
	rmSync(folder, { recursive: true, force: true });
});

function textFile(name: string, text: string): string {
	const path = join(folder, name);
	writeFileSync(path, text);
	return path;
}

/** Two lines in turn, each with a number of its own. */
const lines = (count: number) =>
	Array.from({ length: count }, (_, i) => (i % 2 ? `the dog number ${i} barks\n` : "a cat sleeps\n")).join("");

test("prints tables of a text's characters", async () => {
	const { status, out, err } = await rivulet(["corpus", "--data.path", textFile("a.txt", lines(200))]);
	expect([status, err]).toEqual([0, ""]);
	expect(out).toMatch(/^tokens +3,\d\d\d of \d+ types/);
	expect(out).toContain("repeated lines  49.50 % of 200");
	expect(out).toMatch(/^ +8 +[\d,]+ +0\.\d{3}/m);
	expect(out).toMatch(/^lag +norm +times the noise$/m);
});

test("measures words, as JSON, and writes a report that says how it was made", async () => {
	const path = textFile("b.txt", lines(200));
	const out = join(folder, "report");
	const ran = await rivulet(["corpus", "--data.path", path, "--words", "--orders", "3", "--out", out, "--json"]);
	expect(ran.status).toBe(0);
	const found = JSON.parse(ran.out);
	// 100 lines of 3 words and 100 of 5, and as many line ends; 100 numbers and 7 other words occur.
	expect([found.tokens, found.types, found.distinct.length]).toEqual([1000, 108, 3]);
	expect(found.report.html).toBe(join(out, "corpus.html"));
	const page = readFileSync(found.report.html, "utf8");
	expect(page).toContain("Growth of n-grams");
	expect(page).toContain("--words --orders 3");
});

describe("what the user got wrong", () => {
	test("no text, standard input, an empty text", async () => {
		expect((await rivulet(["corpus"])).err).toContain("rivulet corpus --data.path notes.txt");
		expect(await rivulet(["corpus", "--data.path", "-"])).toMatchObject({ status: 2 });
		const empty = textFile("empty.txt", "");
		for (const words of [[], ["--words"]]) {
			const { status, err } = await rivulet(["corpus", "--data.path", empty, ...words]);
			expect(status).toBe(1);
			expect(err).toMatch(/empty/);
		}
	});

	test("a corpus of one repeated line: no law can be read from it", async () => {
		const path = textFile("one.txt", "all work and no play\n".repeat(300));
		for (const words of [[], ["--words"]]) {
			const { status, out, err } = await rivulet(["corpus", "--data.path", path, ...words]);
			expect([status, out]).toEqual([1, ""]);
			expect(err).toMatch(/one line, repeated 300 times.*no law can be read from it\n {2}name a corpus/);
		}
	});

	test("a slip in an option", async () => {
		const { err } = await rivulet(["corpus", "--data.pth", "x"]);
		expect(err).toContain("did you mean --data.path?");
	});
});
