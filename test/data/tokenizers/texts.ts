/** Texts for tokenizer tests: fixed awkward ones, and a generator of mixed ones. Neither has NUL. */

import fc from "fast-check";

export const awkwardTexts = [
	"",
	" ",
	"\n",
	"Hello, world! It's what we'll've done; they're 'sdone 'LL.",
	"  two  spaces   and\ttabs\t\tand\r\nlines\n\n\nend  ",
	"1234 5,678.90 ½ ² Ⅷ ٣",
	"naïve café — “quotes” … Straße, Ωμέγα, Привет мир, שלום, नमस्ते दुनिया",
	"日本語の文章です。中文没有空格，한국어",
	"👩‍👩‍👧‍👦 family 🇫🇷 flag e\u0301 combining \u{1d400}\u{1d7d8} \u{10ffff}",
	"it''s ''' 's's' 're 're've 'v 'l 'll",
	"__proto__ constructor toString hasOwnProperty",
	"\u00a0no-break\u3000ideographic \u2028line\u2029 space",
	"a\u0001b\u007f\u0080\u009f",
	"x".repeat(300),
	" ".repeat(300),
	"!?".repeat(200),
];

const bit = fc.oneof(
	fc.constantFrom(
		" ",
		"  ",
		"\n",
		"\t",
		"'",
		"'s",
		"'ll",
		"'re",
		".",
		",",
		"the",
		" a",
		"1",
		"é",
		"€",
		"日",
		"😀",
		"\u0301",
		"\u00a0",
	),
	fc.constantFrom("l", "e", "r", "v", "ab", "abc", "A", "٣", "\u{1d400}", "\u{1d7d8}"),
	fc.string({ unit: "binary", minLength: 1, maxLength: 2 }).map((s) => s.replaceAll("\0", "")),
);

export const mixedText = fc.array(bit, { maxLength: 40 }).map((bits) => bits.join(""));

/** Cuts a text into chunks at any UTF-16 units, inside surrogate pairs too. */
export const cutText = fc.tuple(mixedText, fc.array(fc.nat({ max: 60 }), { maxLength: 6 })).map(([text, cuts]) => {
	const ends = [...cuts.map((cut) => Math.min(cut, text.length)).sort((a, b) => a - b), text.length];
	return { text, chunks: ends.map((end, i) => text.slice(i === 0 ? 0 : ends[i - 1], end)) };
});

export async function* inChunks(...chunks: string[]): AsyncGenerator<string> {
	yield* chunks;
}
