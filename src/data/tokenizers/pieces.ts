/**
 * GPT-2's pre-tokenization: cuts text into pieces (words with their leading space, numbers, punctuation, white space) that
 * byte-pair merges never cross. The same cuts as the published expression
 *
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *
 * (with \s as Unicode's White_Space) but as a scanner: it can say which cuts are certain before the text has ended, and a
 * piece has a largest length, so that a stream needs bounded memory. No ordinary text has a piece that long.
 */

/** Longest piece in UTF-16 units (one more for a leading space, one for the other half of a surrogate pair). */
export const longestPiece = 65536;

const other = 0;
const letter = 1;
const digit = 2;
const space = 3;

/** Class of each UTF-16 unit that is a character by itself. */
const basicClass = Uint8Array.from({ length: 65536 }, (_, code) => classify(String.fromCharCode(code)));

function classify(character: string): number {
	if (/^\p{L}$/u.test(character)) return letter;
	if (/^\p{N}$/u.test(character)) return digit;
	return /^\p{White_Space}$/u.test(character) ? space : other;
}

const astralClass = new Map<number, number>();

function classAt(text: string, index: number): number {
	const unit = text.charCodeAt(index);
	if (unit < 0xd800 || unit > 0xdfff) return basicClass[unit];
	const code = text.codePointAt(index)!;
	let found = astralClass.get(code);
	if (found === undefined) {
		found = classify(String.fromCodePoint(code));
		astralClass.set(code, found);
	}
	return found;
}

/** End of the run of one class that begins at `start`, at most about `longestPiece` further. */
function runEnd(text: string, start: number, end: number, kind: number): number {
	const limit = Math.min(end, start + longestPiece);
	let i = start;
	while (i < limit && classAt(text, i) === kind) {
		const unit = text.charCodeAt(i);
		i += unit >= 0xd800 && unit < 0xdc00 && i + 1 < end ? 2 : 1;
	}
	return i;
}

/** Length of the contraction ('s, 'll, ...) that begins at an apostrophe, or 0. */
function contraction(text: string, start: number, end: number): number {
	if (start + 1 >= end) return 0;
	const first = text[start + 1];
	if (first === "s" || first === "t" || first === "m" || first === "d") return 2;
	if (start + 2 >= end) return 0;
	const two = first + text[start + 2];
	return two === "re" || two === "ve" || two === "ll" ? 3 : 0;
}

/** End of the piece that begins at `start` of a text that ends at `end` (start < end). */
export function pieceEnd(text: string, start: number, end: number): number {
	const kind = classAt(text, start);
	if (kind !== space) {
		const length = text[start] === "'" ? contraction(text, start, end) : 0;
		return length > 0 ? start + length : runEnd(text, start, end, kind);
	}
	if (text[start] === " " && start + 1 < end) {
		const next = classAt(text, start + 1);
		if (next !== space) return runEnd(text, start + 1, end, next);
	}
	const stop = runEnd(text, start, end, space);
	// The last of several spaces goes with the word after it.
	return stop === end || stop - start === 1 || stop - start === longestPiece ? stop : stop - 1;
}

/** A piece that ends at least this many units before the end of the text read so far is certain (a contraction looks 2 ahead). */
export const lookahead = 2;
