import { execFileSync } from "node:child_process";
import {
	chmodSync,
	closeSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	openSync,
	readdirSync,
	readFileSync,
	rmSync,
	statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RivuletError } from "../../src/base/errors.ts";
import {
	AtomicFile,
	fileError,
	makeFolder,
	readFileLimited,
	writeAll,
	writeFileAtomic,
	writeJson,
} from "../../src/base/files.ts";

let folder = "";
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "rivulet-files-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** The code of the RivuletError that `work` throws. */
function codeOf(work: () => unknown): string {
	try {
		work();
	} catch (error) {
		expect(error).toBeInstanceOf(RivuletError);
		return (error as RivuletError).code;
	}
	return "nothing thrown";
}

describe("writeFileAtomic", () => {
	test("makes folders, replaces the content and leaves nothing beside it", () => {
		const path = join(folder, "deep", "er", "a.txt");
		writeFileAtomic(path, "one");
		writeFileAtomic(path, new Uint8Array([195, 169]));
		expect(readFileSync(path, "utf8")).toBe("é");
		expect(readdirSync(join(folder, "deep", "er"))).toEqual(["a.txt"]);
	});

	test("writes JSON with a final newline", () => {
		writeJson(join(folder, "a.json"), { a: [1] });
		expect(readFileSync(join(folder, "a.json"), "utf8")).toBe('{\n\t"a": [\n\t\t1\n\t]\n}\n');
	});

	test("says when the target is a folder, and leaves no partial file", () => {
		mkdirSync(join(folder, "a"));
		mkdirSync(join(folder, "a", "b"));
		expect(codeOf(() => writeFileAtomic(join(folder, "a"), "x"))).toBe("file-is-folder");
		expect(readdirSync(folder)).toEqual(["a"]);
	});

	test.skipIf(process.platform === "win32")("does not put a file in the place of a pipe or device", () => {
		const path = join(folder, "pipe");
		execFileSync("mkfifo", [path]);
		expect(codeOf(() => writeFileAtomic(path, "x"))).toBe("file-special");
		expect([statSync(path).isFIFO(), readdirSync(folder)]).toEqual([true, ["pipe"]]);
	});

	test("says when a parent is a file", () => {
		writeFileAtomic(join(folder, "a"), "x");
		expect(codeOf(() => writeFileAtomic(join(folder, "a", "b", "c"), "x"))).toBe("file-missing");
	});

	test.skipIf(process.getuid?.() === 0)("says when the folder may not be written", () => {
		chmodSync(folder, 0o555);
		expect(codeOf(() => writeFileAtomic(join(folder, "a"), "x"))).toBe("file-denied");
		chmodSync(folder, 0o755);
	});
});

describe("AtomicFile", () => {
	test("shows nothing under the name before commit; a header can be written last", () => {
		const path = join(folder, "a.bin");
		const file = new AtomicFile(path);
		file.write(new Uint8Array([0, 0]));
		file.write(new Uint8Array([3, 4]));
		file.write(new Uint8Array([1, 2]), 0);
		file.write(new Uint8Array([5]));
		expect(existsSync(path)).toBe(false);
		file.commit();
		file.abandon();
		expect([...readFileSync(path)]).toEqual([1, 2, 3, 4, 5]);
	});

	test("an abandoned file leaves the old content and no partial file", () => {
		const path = join(folder, "a.txt");
		writeFileAtomic(path, "old");
		const file = new AtomicFile(path);
		file.write(Buffer.from("new"));
		file.abandon();
		expect(readFileSync(path, "utf8")).toBe("old");
		expect(readdirSync(folder)).toEqual(["a.txt"]);
		expect(() => file.write(Buffer.from("x"))).toThrow("closed");
	});

	test("two writers of one name do not disturb each other", () => {
		const path = join(folder, "a.txt");
		const [first, second] = [new AtomicFile(path), new AtomicFile(path)];
		first.write(Buffer.from("11"));
		second.write(Buffer.from("2"));
		first.commit();
		expect(readFileSync(path, "utf8")).toBe("11");
		second.commit();
		expect(readFileSync(path, "utf8")).toBe("2");
	});
});

describe("reading and failing", () => {
	test("reads a file whole, within the limit", () => {
		writeFileAtomic(join(folder, "a"), "abc");
		expect(readFileLimited(join(folder, "a"), 3).toString()).toBe("abc");
		expect(codeOf(() => readFileLimited(join(folder, "a"), 2))).toBe("file-too-large");
		expect(codeOf(() => readFileLimited(join(folder, "none"), 2))).toBe("file-missing");
		expect(codeOf(() => readFileLimited(folder, 2 ** 20))).toBe("file-is-folder");
	});

	test.skipIf(!existsSync("/dev/full"))("says when the disk is full", () => {
		const file = openSync("/dev/full", "w");
		expect(codeOf(() => writeAll(file, new Uint8Array(10), null, "x.bin"))).toBe("disk-full");
		closeSync(file);
	});

	test.each([
		["ENOSPC", "disk-full"],
		["EDQUOT", "disk-full"],
		["EACCES", "file-denied"],
		["EROFS", "disk-read-only"],
		["ENOENT", "file-missing"],
		["EISDIR", "file-is-folder"],
	])("%s is told as %s, with the path and a way out", (system, code) => {
		const error = fileError(Object.assign(new Error("low"), { code: system }), "write", "runs/a");
		expect(error.code).toBe(code);
		expect(error.message).toContain("cannot write runs/a: ");
		expect(error.hint).toBeTruthy();
	});

	test("an unknown failure keeps its words", () => {
		expect(fileError(new Error("odd thing"), "read", "a").message).toBe("cannot read a: odd thing");
	});

	test("makeFolder accepts an existing folder and refuses a file", () => {
		makeFolder(folder);
		writeFileAtomic(join(folder, "a"), "x");
		expect(codeOf(() => makeFolder(join(folder, "a")))).toBe("file-exists");
	});
});
