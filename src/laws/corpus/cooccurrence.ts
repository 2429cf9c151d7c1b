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
		const norms = lags.map((lag, i) => operatorNorm(this.#pairs[i], chances, this.#tokens - lag));
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
 * Largest singular value of pairs / total - chances chances', by power iteration on the matrix times its transpose. Only pairs
 * that occur are gone through; the rank-one part is applied by itself.
 */
export function operatorNorm(pairs: Uint32Array, chances: Float64Array, total: number): number {
	const size = chances.length;
	const sparse = nonZero(pairs, size);
	let vector = new Float64Array(size).map((_, i) => Math.cos(i + 1));
	scale(vector, 1 / length(vector));
	let norm = 0;
	for (let round = 0; round < 2000; round++) {
		const image = apply(sparse, chances, total, vector, false);
		vector = apply(sparse, chances, total, image, true);
		const next = length(image); // |C v| of a unit vector rises to the norm
		const size = length(vector);
		if (size === 0) return 0;
		scale(vector, 1 / size);
		if (Math.abs(next - norm) <= 1e-10 * next) return next;
		norm = next;
	}
	return norm;
}

interface Sparse {
	readonly rows: Int32Array;
	readonly columns: Int32Array;
	readonly counts: Float64Array;
}

function nonZero(pairs: Uint32Array, size: number): Sparse {
	let count = 0;
	for (const value of pairs) if (value > 0) count++;
	const sparse = { rows: new Int32Array(count), columns: new Int32Array(count), counts: new Float64Array(count) };
	let at = 0;
	for (let i = 0; i < pairs.length; i++) {
		if (pairs[i] === 0) continue;
		sparse.rows[at] = Math.floor(i / size);
		sparse.columns[at] = i % size;
		sparse.counts[at++] = pairs[i];
	}
	return sparse;
}

/** C v, or C' v. */
function apply(
	{ rows, columns, counts }: Sparse,
	chances: Float64Array,
	total: number,
	vector: Float64Array,
	transposed: boolean,
) {
	const [into, from] = transposed ? [columns, rows] : [rows, columns];
	const result = new Float64Array(vector.length);
	for (let i = 0; i < counts.length; i++) result[into[i]] += counts[i] * vector[from[i]];
	let inner = 0;
	for (let i = 0; i < vector.length; i++) inner += chances[i] * vector[i];
	for (let i = 0; i < result.length; i++) result[i] = result[i] / total - inner * chances[i];
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
	const seen = new Float64Array(chances.length);
	let before = -1;
	for (let i = 0; i < draws; i++) {
		const drawn = firstAbove(sums, (random.word() / 2 ** 32) * sum);
		seen[drawn]++;
		if (before >= 0) pairs[before * chances.length + drawn]++;
		before = drawn;
	}
	const norm = operatorNorm(
		pairs,
		seen.map((count) => count / draws),
		draws - 1,
	);
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
