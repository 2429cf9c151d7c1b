/**
 * How far correlations reach: the operator norm of C(n), where C(n)_xy = P(X_i = x, X_i+n = y) - P(x) P(y), at several lags n.
 * Cagnetta et al. (arXiv 2602.07488) find that it decays as n^-beta. Rare tokens of a large vocabulary are counted as one.
 */
import { RandomSequence } from "../../base/random.ts";
import { fitLine } from "./heaps.ts";

/** Lags that are measured unless told otherwise. */
export const defaultLags = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64] as const;

/** Most classes of tokens: the most frequent ones and the rest. */
export const mostClasses = 1000;
/** The decay is fitted up to this lag, where noise is far enough below. */
const longestFittedLag = 32;
const farAbove = 2;

export interface Cooccurrence {
	readonly lags: readonly number[];
	/** ||C(n)||: the largest singular value, by lag. */
	readonly norms: readonly number[];
	/** Tokens that have a class of their own; the others share one. */
	readonly classes: number;
	/** Share of the corpus that these make up. */
	readonly coverage: number;
	/** The norm of a corpus of the same tokens in random order: what a lag shows that has no correlation at all. */
	readonly floor: number;
	/** beta of ||C(n)|| ~ n^-beta, over the lags in `fitted`; null where fewer than three rise above the floor. */
	readonly exponent: number | null;
	/** Standard error of the exponent, as a fit of a straight line has it. */
	readonly exponentError: number | null;
	/** Lags of the fit: up to 32 and at least twice the floor. */
	readonly fitted: readonly number[];
}

/** Counts pairs of tokens at all lags in one pass. Memory: 4 MB a lag at most. */
export class PairCounts {
	readonly #classOf: Int32Array;
	readonly #classes: number;
	readonly #named: number;
	readonly #lags: readonly number[];
	readonly #pairs: Uint32Array[];
	readonly #single: Float64Array;
	/** The last classes before the chunk, so that pairs reach across chunks. */
	#tail = new Int32Array(0);
	#tokens = 0;

	/** @param frequencies of each token id in the whole corpus, which decide what has a class of its own. */
	constructor(frequencies: ArrayLike<number>, lags: readonly number[] = defaultLags, most = mostClasses) {
		const byFrequency = Array.from({ length: frequencies.length }, (_, id) => id)
			.filter((id) => frequencies[id] > 0)
			.sort((x, y) => frequencies[y] - frequencies[x] || x - y);
		this.#named = byFrequency.length <= most ? byFrequency.length : most - 1;
		this.#classes = byFrequency.length <= most ? byFrequency.length : most;
		this.#classOf = new Int32Array(frequencies.length).fill(this.#classes - 1);
		for (let rank = 0; rank < this.#named; rank++) this.#classOf[byFrequency[rank]] = rank;
		this.#lags = lags;
		this.#pairs = lags.map(() => new Uint32Array(this.#classes ** 2));
		this.#single = new Float64Array(this.#classes);
	}

	/** The next tokens of the stream. */
	add(chunk: Int32Array): void {
		const before = this.#tail.length;
		const classes = new Int32Array(before + chunk.length);
		classes.set(this.#tail);
		for (let i = 0; i < chunk.length; i++) {
			classes[before + i] = this.#classOf[chunk[i]];
			this.#single[classes[before + i]]++;
		}
		this.#lags.forEach((lag, index) => {
			const pairs = this.#pairs[index];
			for (let i = Math.max(before, lag); i < classes.length; i++)
				pairs[classes[i - lag] * this.#classes + classes[i]]++;
		});
		this.#tail = classes.slice(Math.max(0, classes.length - Math.max(...this.#lags)));
		this.#tokens += chunk.length;
	}

	/** Norms, their floor and their decay. */
	result(): Cooccurrence {
		const lags = this.#lags.filter((lag) => lag < this.#tokens);
		const chances = this.#single.map((count) => count / this.#tokens);
		const norms = lags.map((_, i) => operatorNorm(this.#pairs[i], this.#classes));
		const floor = shuffledFloor(chances, this.#tokens);
		const fitted = lags.filter((lag, i) => lag <= longestFittedLag && norms[i] > farAbove * floor);
		const coverage = this.#named === this.#classes ? 1 : 1 - chances[this.#classes - 1];
		return { lags, norms, classes: this.#named, coverage, floor, fitted, ...decay(lags, norms, fitted) };
	}
}

/** The exponent of norms over some of the lags. */
function decay(lags: readonly number[], norms: readonly number[], fitted: readonly number[]) {
	if (fitted.length < 3) return { exponent: null, exponentError: null };
	const { slope, error } = fitLine(
		fitted.map(Math.log),
		fitted.map((lag) => Math.log(norms[lags.indexOf(lag)])),
	);
	return { exponent: -slope, exponentError: error };
}

/**
 * Largest singular value of C(n) from counts of pairs, `size` x `size`, by power iteration on C times its transpose. Only pairs
 * that occur are gone through; the product of chances is applied by itself. The chances are those of the pairs' first and second
 * tokens, so that every row and column of C adds up to zero.
 */
export function operatorNorm(pairs: Uint32Array, size: number): number {
	const sparse = sparsePairs(pairs, size);
	let vector = new Float64Array(size).map((_, i) => Math.cos(i + 1));
	scale(vector, 1 / length(vector));
	let norm = 0;
	for (let round = 0; round < 2000; round++) {
		const image = apply(sparse, vector);
		const next = length(image); // |C v| of a unit vector rises to the norm
		vector = apply(
			{ ...sparse, rows: sparse.columns, columns: sparse.rows, left: sparse.right, right: sparse.left },
			image,
		);
		const stretched = length(vector);
		if (stretched === 0 || Math.abs(next - norm) <= 1e-10 * next) return next;
		scale(vector, 1 / stretched);
		norm = next;
	}
	return norm;
}

interface Sparse {
	readonly rows: Int32Array;
	readonly columns: Int32Array;
	/** Of each pair that occurs. */
	readonly chances: Float64Array;
	/** Chances of the first and of the second token. */
	readonly left: Float64Array;
	readonly right: Float64Array;
}

function sparsePairs(pairs: Uint32Array, size: number): Sparse {
	let [occurring, total] = [0, 0];
	for (const count of pairs) {
		total += count;
		if (count > 0) occurring++;
	}
	const rows = new Int32Array(occurring);
	const columns = new Int32Array(occurring);
	const chances = new Float64Array(occurring);
	const [left, right] = [new Float64Array(size), new Float64Array(size)];
	let at = 0;
	for (let i = 0; i < pairs.length; i++) {
		if (pairs[i] === 0) continue;
		rows[at] = Math.floor(i / size);
		columns[at] = i % size;
		chances[at] = pairs[i] / total;
		left[rows[at]] += chances[at];
		right[columns[at]] += chances[at++];
	}
	return { rows, columns, chances, left, right };
}

/** C v. */
function apply({ rows, columns, chances, left, right }: Sparse, vector: Float64Array): Float64Array<ArrayBuffer> {
	const result = new Float64Array(vector.length);
	for (let i = 0; i < chances.length; i++) result[rows[i]] += chances[i] * vector[columns[i]];
	let inner = 0;
	for (let i = 0; i < vector.length; i++) inner += right[i] * vector[i];
	for (let i = 0; i < result.length; i++) result[i] -= inner * left[i];
	return result;
}

function length(vector: Float64Array): number {
	let sum = 0;
	for (const value of vector) sum += value * value;
	return Math.sqrt(sum);
}

function scale(vector: Float64Array, factor: number): void {
	for (let i = 0; i < vector.length; i++) vector[i] *= factor;
}

/** Tokens drawn at most; noise falls with the square root of their number, so that of more is scaled. */
const mostDraws = 1_000_000;
const floorSeed = 1;
const floorStream = 0x636f6f63;

/** The norm at lag 1 of a stream of independent draws with the same chances. */
function shuffledFloor(chances: Float64Array, tokens: number): number {
	const draws = Math.min(tokens, mostDraws);
	const random = new RandomSequence(floorSeed, floorStream, 0);
	const sums = new Float64Array(chances.length);
	let sum = 0;
	for (let i = 0; i < chances.length; i++) sums[i] = sum += chances[i];
	const pairs = new Uint32Array(chances.length ** 2);
	let before = -1;
	for (let i = 0; i < draws; i++) {
		const drawn = firstAbove(sums, (random.word() / 2 ** 32) * sum);
		if (before >= 0) pairs[before * chances.length + drawn]++;
		before = drawn;
	}
	const norm = operatorNorm(pairs, chances.length);
	return norm * Math.sqrt(draws / tokens);
}

/** Index of the first sum above a value, by bisection. */
function firstAbove(sums: Float64Array, value: number): number {
	let [low, high] = [0, sums.length - 1];
	while (low < high) {
		const middle = (low + high) >> 1;
		if (sums[middle] > value) high = middle;
		else low = middle + 1;
	}
	return low;
}
