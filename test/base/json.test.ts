import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RivuletError } from "../../src/base/errors.ts";
import { expectObject, nameOf, parseJson, readJson } from "../../src/base/json.ts";

function codeOf(work: () => unknown): string {
	try {
		work();
	} catch (error) {
		expect(error).toBeInstanceOf(RivuletError);
		return (error as RivuletError).code;
	}
	return "nothing thrown";
}

describe("parseJson", () => {
	test("gives what JSON.parse gives for any JSON value", () => {
		fc.assert(
			fc.property(fc.jsonValue({ maxDepth: 5 }), fc.constantFrom(undefined, 1, "\t"), (value, indent) => {
				const text = JSON.stringify(value, null, indent);
				expect(parseJson(text, "x")).toEqual(JSON.parse(text));
			}),
		);
	});

	test("throws only RivuletError, whatever the text", () => {
		const piece = fc.constantFrom("{", "}", "[", "]", '"', "\\", ",", ":", "a", '"a"', "1", "\\u0061", " ", "null");
		fc.assert(
			fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
				const text = pieces.join("");
				let plain: unknown;
				try {
					plain = JSON.parse(text);
				} catch {
					expect(codeOf(() => parseJson(text, "x"))).toMatch(/^json-/);
					return;
				}
				const code = codeOf(() => expect(parseJson(text, "x")).toEqual(plain));
				expect(["nothing thrown", "json-duplicate"]).toContain(code);
			}),
			{ numRuns: 1000 },
		);
	});

	test("limits depth without overflowing the stack, counting brackets outside strings only", () => {
		expect(codeOf(() => parseJson("[".repeat(1e6), "x"))).toBe("json-too-deep");
		expect(codeOf(() => parseJson('{"a":'.repeat(65), "x"))).toBe("json-too-deep");
		expect(parseJson(`["${"[{".repeat(100)}\\"["]`, "x")).toEqual([`${"[{".repeat(100)}"[`]);
		expect(parseJson("[[[]]]", "x", { maxDepth: 3 })).toEqual([[[]]]);
		expect(codeOf(() => parseJson("[[[[]]]]", "x", { maxDepth: 3 }))).toBe("json-too-deep");
	});

	test("refuses a name twice in one object, in any spelling, at any depth", () => {
		expect(codeOf(() => parseJson('{"a":1,"a":2}', "x"))).toBe("json-duplicate");
		expect(codeOf(() => parseJson('[{"b":{"a":1, "\\u0061":2}}]', "x"))).toBe("json-duplicate");
		expect(parseJson('{"a":{"a":["a","a"]},"b":{"a":"a"}}', "x")).toEqual({ a: { a: ["a", "a"] }, b: { a: "a" } });
	});

	test("limits size", () => {
		expect(codeOf(() => parseJson('"aaaaaaaaaa"', "x", { maxSize: 5 }))).toBe("json-too-large");
	});
});

describe("readJson", () => {
	test("names the file in every error", () => {
		const folder = mkdtempSync(join(tmpdir(), "rivulet-json-"));
		const path = join(folder, "a.json");
		for (const content of [Buffer.from("{"), Buffer.from([0x22, 0xff, 0x22]), Buffer.from("")]) {
			writeFileSync(path, content);
			expect(() => readJson(path)).toThrow(path);
		}
		writeFileSync(path, '{"a": 1}');
		expect(readJson(path)).toEqual({ a: 1 });
		expect(codeOf(() => readJson(path, { maxSize: 3 }))).toBe("file-too-large");
		rmSync(folder, { recursive: true });
	});
});

describe("shapes", () => {
	test("expectObject says what was found", () => {
		expect(expectObject({ a: 1 }, "x")).toEqual({ a: 1 });
		expect(() => expectObject([], "the model")).toThrow("the model: expected an object, found an array");
		expect(() => expectObject(null, "x")).toThrow("found null");
	});

	test("nameOf is short", () => {
		expect(nameOf("a".repeat(1000)).length).toBeLessThan(60);
		expect(nameOf(undefined)).toBe("nothing");
		expect(nameOf(3)).toBe("the number 3");
	});
});
