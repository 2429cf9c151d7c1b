/** All statistics of a corpus that the laws speak of, from its tokens and its lines, in memory that does not grow with it. */
import { RivuletError } from "../../base/errors.ts";
import type { TokenFile } from "../../data/index.ts";
import { type Cooccurrence, PairCounts } from "./cooccurrence.ts";
import { type DistinctCurve, distinctCurve, exactBytes, NgramCounts, prefixLengths } from "./distinct-ngrams.ts";
import { type DuplicateLines, LineCounts } from "./duplicates.ts";
import { type ConditionalEntropy, conditionalEntropies } from "./entropies.ts";
import { fitHeaps, type HeapsFit } from "./heaps.ts";
import { interpolatedLosses } from "./ngram-model.ts";

export interface CorpusStatistics {
	readonly tokens: number;
	/** Distinct tokens that occur; at most the vocabulary. */
	readonly types: number;
	readonly bytes: number;
	/** Lengths of the prefixes at which growth was measured: halvings of the corpus, rising. */
	readonly prefixes: readonly number[];
	/** Distinct n-grams by order, at each prefix; order 1 is Heaps' curve. */
	readonly distinct: readonly DistinctCurve[];
	/** Null for a corpus too short to fit. */
	readonly heaps: HeapsFit | null;
	readonly entropies: readonly ConditionalEntropy[];
	/** Tokens at the end that the held-out estimate was measured on; their n-grams were not counted for it. */
	readonly heldOutTokens: number;
	readonly cooccurrence: Cooccurrence;
	readonly duplicates: DuplicateLines;
}

export interface StatisticsOptions {
	/** Longest n-grams; default 8. */
	readonly orders?: number;
	/** Lags of the co-occurrence; default up to 64. */
	readonly lags?: readonly number[];
	/** Bytes for exact counts of n-grams; default `exactBytes`. */
	readonly memory?: number;
	/** Told now and then how much of the work is done, 0..1. */
	readonly onProgress?: (share: number) => void;
}

export const defaultOrders = 8;
/** Of the corpus, from its end. */
const heldOutShare = 0.1;
const chunkLength = 65536;

/**
 * Read a corpus: its tokens three times, its lines (without line ends) once.
 * @throws RivuletError corpus-empty, corpus-repeated: nothing can be learned of it, and why.
 */
export async function corpusStatistics(
	tokens: TokenFile,
	lines: AsyncIterable<string> | Iterable<string>,
	options: StatisticsOptions = {},
): Promise<CorpusStatistics> {
	if (tokens.length === 0) {
		throw new RivuletError("corpus-empty", "the corpus is empty: it has no tokens", { hint: "name a file with text" });
	}
	const duplicates = await countLines(lines);
	const read = withProgress(tokens, options.onProgress);
	const frequencies = countTokens(tokens, read);
	const types = frequencies.reduce((sum, count) => sum + (count > 0 ? 1 : 0), 0);
	refuseRepetition(tokens.length, types, duplicates);
	const pairs = new PairCounts(frequencies, options.lags);
	for (const chunk of read(0, tokens.length)) pairs.add(chunk);
	const ngrams = countNgrams(tokens, read, types, options);
	return {
		tokens: tokens.length,
		types,
		bytes: tokens.bytes,
		...ngrams,
		cooccurrence: pairs.result(),
		duplicates,
	};
}

type Reader = (start: number, end: number) => Generator<Int32Array>;

/** Chunks of ids start..end-1; each is overwritten by the next. */
function withProgress(tokens: TokenFile, onProgress: StatisticsOptions["onProgress"]): Reader {
	const block = new Int32Array(chunkLength);
	let read = 0;
	const total = (3 + heldOutShare) * tokens.length;
	return function* (start, end) {
		for (let at = start; at < end; at += chunkLength) {
			const count = Math.min(chunkLength, end - at);
			tokens.read(at, count, block);
			yield block.subarray(0, count);
			read += count;
			onProgress?.(read / total);
		}
	};
}

async function countLines(lines: AsyncIterable<string> | Iterable<string>): Promise<DuplicateLines> {
	const counts = new LineCounts();
	for await (const line of lines) counts.add(line);
	return counts.result();
}

function countTokens(tokens: TokenFile, read: Reader): Float64Array {
	const frequencies = new Float64Array(tokens.vocabularySize);
	for (const chunk of read(0, tokens.length)) for (const id of chunk) frequencies[id]++;
	return frequencies;
}

/** What would be measured is the one line's, whatever the size. */
function refuseRepetition(tokens: number, types: number, { lines, distinct }: DuplicateLines): void {
	const hint = "name a corpus of running text, or remove its repetitions first";
	if (types === 1) {
		throw new RivuletError(
			"corpus-repeated",
			`the corpus is one token, ${tokens} times: its entropy is 0, and no law can be read from it`,
			{ hint },
		);
	}
	if (lines > 1 && distinct === 1) {
		throw new RivuletError(
			"corpus-repeated",
			`the corpus is one line, repeated ${lines} times: it says no more than the line does once, so its size means nothing and no law can be read from it`,
			{ hint },
		);
	}
}

function countNgrams(tokens: TokenFile, read: Reader, types: number, options: StatisticsOptions) {
	const { orders = defaultOrders, memory = exactBytes } = options;
	const counts = new NgramCounts(orders, memory);
	const prefixes = prefixLengths(tokens.length);
	const counted = tokens.length - Math.floor(tokens.length * heldOutShare);
	const distinct: number[][] = Array.from({ length: orders }, () => []);
	let heldOut: (number | null)[] = [];
	let at = 0;
	for (const stop of [...new Set([...prefixes, counted])].sort((x, y) => x - y)) {
		for (const chunk of read(at, stop)) counts.add(chunk);
		at = stop;
		if (prefixes.includes(stop)) distinct.forEach((curve, i) => curve.push(counts.distinct(i + 1)));
		if (stop === counted) heldOut = interpolatedLosses(counts, types, read(counted, tokens.length));
	}
	return {
		prefixes,
		distinct: distinct.map((curve, i) => distinctCurve(i + 1, prefixes, curve, counts.table(i + 1) !== null)),
		heaps: fitHeaps(prefixes, distinct[0]),
		entropies: conditionalEntropies(counts, heldOut),
		heldOutTokens: tokens.length - counted,
	};
}
