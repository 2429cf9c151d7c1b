import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RivuletError } from "../../src/base/errors.ts";
import { Utf8Reader } from "../../src/data/utf8.ts";

/** Decodes bytes cut after each of the given offsets. */
function decodeInPieces(bytes: Uint8Array, cuts: readonly number[]): string {
	const reader = new Utf8Reader("a.txt");
	const ends = [...new Set(cuts.map((cut) => Math.min(cut, bytes.length))), bytes.length].sort((a, b) => a - b);
	let text = "";
	let start = 0;
	for (const end of ends) {
		const piece = reader.push(bytes.subarray(start, end));
		expect(piece).not.toMatch(/^[\udc00-\udfff]|[\ud800-\udbff]$/);
		text += piece;
		start = end;
	}
	reader.end();
	return text;
}

/** Offset of the first invalid byte sequence: the longest prefix that the platform's strict decoder accepts, by search. */
function firstInvalidByTrial(bytes: Uint8Array): number {
	const isWhole = (end: number) => {
		try {
			new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, end));
			return true;
		} catch {
			return false;
		}
	};
	let longest = 0;
	for (let end = 0; end <= bytes.length; end++) if (isWhole(end)) longest = end;
	return longest;
}

describe("Utf8Reader", () => {
	test("gives the same text wherever the chunks are cut", () => {
		const text = fc
			.string({ unit: "binary", maxLength: 40 })
			.filter((s) => !s.includes("\0") && !s.startsWith("\ufeff"));
		fc.assert(
			fc.property(text, fc.array(fc.nat({ max: 160 })), (text, cuts) => {
				expect(decodeInPieces(Buffer.from(text), cuts)).toBe(text);
			}),
		);
	});

	test("one byte at a time", () => {
		const text = "aé€😀z";
		const bytes = Buffer.from(text);
		expect(decodeInPieces(bytes, [...bytes.keys()])).toBe(text);
	});

	test("names file, offset and byte of the first invalid sequence, wherever the chunks are cut", () => {
		const piece = fc.oneof(
			fc.constantFrom("a", "é", "€", "😀").map((s) => [...Buffer.from(s)]),
			fc.constantFrom(
				[0xff],
				[0x80],
				[0xc0, 0x80],
				[0xe0, 0x80, 0x80],
				[0xed, 0xa0, 0x80],
				[0xf4, 0x90, 0x80, 0x80],
				[0xe2, 0x82],
			),
		);
		fc.assert(
			fc.property(fc.array(piece, { maxLength: 8 }), fc.array(fc.nat({ max: 30 })), (pieces, cuts) => {
				const bytes = Uint8Array.from(pieces.flat());
				const expected = firstInvalidByTrial(bytes);
				if (expected === bytes.length) {
					expect(decodeInPieces(bytes, cuts)).toBe(Buffer.from(bytes).toString());
					return;
				}
				const byte = bytes[expected].toString(16);
				expect(() => decodeInPieces(bytes, cuts)).toThrow(
					`a.txt is not UTF-8 text: byte ${expected} (0x${byte}) is not part of a valid character`,
				);
			}),
			{ numRuns: 500 },
		);
	});

	test("refuses NUL bytes with their offset, and a character cut off by the end", () => {
		expect(() => decodeInPieces(Buffer.from("ab\0c"), [1])).toThrow("a.txt is not text: byte 2 is NUL");
		expect(() => decodeInPieces(Buffer.from([0x61, 0xe2, 0x82]), [])).toThrow("byte 1 (0xe2)");
	});

	test("recognises UTF-16 and says how to convert it", () => {
		for (const bytes of [Buffer.from("\ufeffab", "utf16le"), Buffer.from([0xfe, 0xff, 0x20, 0x20])]) {
			let hint: string | undefined;
			try {
				decodeInPieces(bytes, []);
			} catch (error) {
				hint = (error as RivuletError).hint;
			}
			expect(hint).toContain("iconv -f UTF-16");
		}
	});

	test("drops a byte order mark at the start only, even cut into bytes", () => {
		expect(decodeInPieces(Buffer.from("\ufeffa\ufeffb"), [1, 2])).toBe("a\ufeffb");
	});
});
