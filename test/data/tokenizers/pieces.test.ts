import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { longestPiece, lookahead, pieceEnd } from "../../../src/data/tokenizers/pieces.ts";
import { awkwardTexts, mixedText } from "./texts.ts";

/** The published expression, with White_Space for \s as other languages define it. */
const published =
	/'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

function pieces(text: string, end = text.length): string[] {
	const found: string[] = [];
	for (let at = 0; at < end; ) {
		const next = pieceEnd(text, at, end);
		found.push(text.slice(at, next));
		at = next;
	}
	return found;
}

describe("pieceEnd", () => {
	test.each(awkwardTexts)("cuts %j as the published expression does", (text) => {
		expect(pieces(text)).toEqual(text.match(published) ?? []);
	});

	test("cuts any text as the published expression does", () => {
		fc.assert(
			fc.property(mixedText, (text) => {
				expect(pieces(text)).toEqual(text.match(published) ?? []);
			}),
			{ numRuns: 500 },
		);
	});

	test("a piece that ends the lookahead before the end is the same whatever follows", () => {
		fc.assert(
			fc.property(mixedText, mixedText, (start, rest) => {
				const last = start.charCodeAt(start.length - 1);
				fc.pre(!(last >= 0xd800 && last < 0xdc00));
				const whole = pieces(start + rest);
				let end = 0;
				for (const [i, piece] of pieces(start).entries()) {
					end += piece.length;
					if (end <= start.length - lookahead) expect(whole[i]).toBe(piece);
				}
			}),
			{ numRuns: 500 },
		);
	});

	test("no piece is much longer than the limit, and none splits a surrogate pair", () => {
		for (const unit of ["a", "1", ".", " ", "\n", "\u{1d400}", "😀"]) {
			for (const start of ["", " ", "x", "1"]) {
				const text = start + unit.repeat(3 * longestPiece);
				const found = pieces(text);
				expect(found.join("")).toBe(text);
				expect(Math.max(...found.map((piece) => piece.length))).toBeLessThanOrEqual(longestPiece + 2);
				for (const piece of found) expect(piece).not.toMatch(/\p{Surrogate}/u);
			}
		}
	});
});
