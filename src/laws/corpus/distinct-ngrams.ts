/**
 * How many distinct n-grams a stream of tokens has, order by order, and how often each came. Exact hash tables within a stated
 * memory; an order that no longer fits becomes a sketch, which keeps the number of distinct n-grams but not their counts.
 */
import { HashCounts } from "./hash-counts.ts";
import { fitLine } from "./heaps.ts";
import { HyperLogLog } from "./hyperloglog.ts";
import { type HashBlock, NgramHashes } from "./ngram-hashes.ts";

/** Bytes that the exact tables of all orders may take together: some 12 million distinct n-grams. */
export const exactBytes = 2 ** 28;

export class NgramCounts {
	readonly orders: number;
	readonly #hashes: NgramHashes;
	/** By order; [0] is the empty context. */
	readonly #counters: (HashCounts | HyperLogLog)[];
	readonly #memory: number;
	/** Hashes of the last n-gram of each order, two words each. */
	readonly #ends: Int32Array;
	#tokens = 0;

	/** @param orders the longest n-grams to count. @param memory bytes for exact counts. */
	constructor(orders: number, memory = exactBytes) {
		this.orders = orders;
		this.#memory = memory;
		this.#hashes = new NgramHashes(orders);
		this.#ends = new Int32Array(2 * (orders + 1));
		this.#counters = Array.from({ length: orders + 1 }, () => new HashCounts());
	}

	get tokens(): number {
		return this.#tokens;
	}

	/** N-grams of an order in the stream, repeated ones counted each time. */
	total(order: number): number {
		return Math.max(0, this.#tokens - order + 1);
	}

	/** The next tokens of the stream. */
	add(chunk: Int32Array): void {
		this.#hashes.push(chunk, (order, grams, context, first, length) => {
			if (order === 1) this.#tokens += length;
			this.#makeRoom(order, length);
			this.#ends.set([grams.a[length], grams.b[length]], 2 * order);
			const counter = this.#counters[order];
			if (counter instanceof HashCounts) this.#count(counter, this.#counters[order - 1], grams, context, first, length);
			else for (let i = first; i < length; i++) counter.add(grams.a[i + 1], grams.b[i + 1]);
		});
	}

	/** Distinct n-grams so far. */
	distinct(order: number): number {
		const counter = this.#counters[order];
		return counter instanceof HashCounts ? counter.size : counter.estimate();
	}

	/** The counts of an order; null once it is a sketch. Order 0 has none: the empty context precedes every token. */
	table(order: number): HashCounts | null {
		const counter = this.#counters[order];
		return counter instanceof HashCounts ? counter : null;
	}

	/** Is this the n-gram at the very end of the stream, which nothing follows? */
	isLast(order: number, a: number, b: number): boolean {
		return this.#ends[2 * order] === a && this.#ends[2 * order + 1] === b;
	}

	#count(
		table: HashCounts,
		contexts: HashCounts | HyperLogLog,
		grams: HashBlock,
		context: HashBlock,
		first: number,
		length: number,
	): void {
		const followed = table === this.#counters[1] || !(contexts instanceof HashCounts) ? undefined : contexts;
		for (let i = first; i < length; i++) {
			const isNew = table.add(grams.a[i + 1], grams.b[i + 1]);
			if (isNew) followed?.addFollower(context.a[i], context.b[i]);
		}
	}

	/** Longer n-grams give way first: there are more of them, and less is learned from their counts. */
	#makeRoom(order: number, more: number): void {
		const table = this.table(order);
		if (table === null || !table.wouldGrow(more)) return;
		for (let longest = this.orders; longest >= order; longest--) {
			if (this.#bytes() + table.bytes <= this.#memory) return;
			this.#sketch(longest);
		}
	}

	#bytes(): number {
		return this.#counters.reduce((sum, counter) => sum + (counter instanceof HashCounts ? counter.bytes : 0), 0);
	}

	#sketch(order: number): void {
		const table = this.table(order);
		if (table === null) return;
		const sketch = new HyperLogLog();
		table.forEach((a, b) => sketch.add(a, b));
		this.#counters[order] = sketch;
	}
}

/** Distinct n-grams of one order, on prefixes of the stream. */
export interface DistinctCurve {
	readonly order: number;
	/** As many as `prefixes` have numbers. */
	readonly distinct: readonly number[];
	/** Whether all of them are exact; if not, the later ones have the standard error `sketchError`. */
	readonly exact: boolean;
	/** d ln U / d ln D by least squares over all prefixes; NaN where there is one only. */
	readonly slope: number;
	/** Over the last octave alone. */
	readonly lastSlope: number;
}

/** Most octaves that a curve has. */
const octaves = 10;
const shortestPrefix = 16;

/** Lengths of the prefixes at which growth is measured, rising: a stream's length, its half, and so on. */
export function prefixLengths(length: number): number[] {
	const lengths = [length];
	for (let half = Math.floor(length / 2); lengths.length <= octaves && half >= shortestPrefix; ) {
		lengths.unshift(half);
		half = Math.floor(half / 2);
	}
	return lengths;
}

/** The curve of one order. @param prefixes rising lengths. @param distinct numbers at each. */
export function distinctCurve(
	order: number,
	prefixes: readonly number[],
	distinct: readonly number[],
	exact: boolean,
): DistinctCurve {
	const [x, y] = [prefixes.map(Math.log), distinct.map(Math.log)];
	const slope = (points: number) =>
		x.length < points ? Number.NaN : fitLine(x.slice(-points), y.slice(-points)).slope;
	return { order, distinct, exact, slope: slope(Math.max(2, x.length)), lastSlope: slope(2) };
}
