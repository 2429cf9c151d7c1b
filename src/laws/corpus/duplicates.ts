/** Repeated lines of a text: what a model sees more than once before the first epoch is over. */
import { HashCounts } from "./hash-counts.ts";
import { HyperLogLog } from "./hyperloglog.ts";
import { scramble } from "./ngram-hashes.ts";

/** Lines told apart exactly; more become a sketch. */
export const exactLines = 2 ** 21;

export interface DuplicateLines {
	/** Lines that are not blank. */
	readonly lines: number;
	readonly distinct: number;
	/** Share of the lines that came before, word for word; blank lines are left out. */
	readonly repeated: number;
	/** Whether `distinct` is exact; if not, it has the standard error `sketchError`. */
	readonly exact: boolean;
}

export class LineCounts {
	#counter: HashCounts | HyperLogLog = new HashCounts();
	#lines = 0;
	readonly #most: number;

	constructor(most = exactLines) {
		this.#most = most;
	}

	/** The next line, without its line end. */
	add(line: string): void {
		const text = line.trim();
		if (text === "") return;
		let [a, b] = [0x243f6a88, 0x13198a2e];
		for (let i = 0; i < text.length; i++) {
			const right = b ^ scramble(a + Math.imul(text.charCodeAt(i) + 1, 0x9e3779b1));
			a ^= scramble(right + 0x3c6ef372);
			b = right;
		}
		this.#lines++;
		this.#counter.add(a, b);
		if (this.#counter instanceof HashCounts && this.#counter.size > this.#most) {
			const sketch = new HyperLogLog();
			this.#counter.forEach((x, y) => sketch.add(x, y));
			this.#counter = sketch;
		}
	}

	result(): DuplicateLines {
		const exact = this.#counter instanceof HashCounts;
		const distinct =
			this.#counter instanceof HashCounts
				? this.#counter.size
				: Math.min(this.#lines, Math.round(this.#counter.estimate()));
		const repeated = this.#lines === 0 ? 0 : 1 - distinct / this.#lines;
		return { lines: this.#lines, distinct, repeated, exact };
	}
}
