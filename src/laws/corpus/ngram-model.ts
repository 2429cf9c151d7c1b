/**
 * The interpolated n-gram model: what is known of the next token from the last n - 1, mixed with what is known from fewer, by
 * Witten and Bell's rule. A context seen c times with t different followers gives t / (c + t) to the shorter context.
 */
import type { NgramCounts } from "./distinct-ngrams.ts";
import type { HashCounts } from "./hash-counts.ts";
import { type HashBlock, NgramHashes } from "./ngram-hashes.ts";

/**
 * Nats per token of `text` under the models of orders 1..orders, which have counted other text. The shortest context is mixed
 * with equal chances of all `vocabulary` tokens. Null from the first order on whose counts did not fit in memory.
 */
export function interpolatedLosses(
	counts: NgramCounts,
	vocabulary: number,
	text: Iterable<Int32Array>,
): (number | null)[] {
	const sums = new Float64Array(counts.orders + 1);
	let usable = 0;
	while (usable < counts.orders && counts.table(usable + 1) !== null) usable++;
	const hashes = new NgramHashes(usable);
	let tokens = 0;
	let chances = new Float64Array(0);
	for (const chunk of text) {
		hashes.push(chunk, (order, grams, context, first, length) => {
			if (order === 1) {
				tokens += length;
				chances = new Float64Array(length).fill(1 / vocabulary);
			}
			mix(counts, order, grams, context, first, chances);
			for (const chance of chances) sums[order] -= Math.log(chance);
		});
	}
	return Array.from({ length: counts.orders }, (_, i) => (i < usable && tokens > 0 ? sums[i + 1] / tokens : null));
}

/** Chances by the order below become those by this one. */
function mix(
	counts: NgramCounts,
	order: number,
	grams: HashBlock,
	context: HashBlock,
	first: number,
	chances: Float64Array,
): void {
	const table = counts.table(order) as HashCounts;
	const contexts = order === 1 ? null : (counts.table(order - 1) as HashCounts);
	for (let i = first; i < chances.length; i++) {
		const handle = contexts?.find(context.a[i], context.b[i]) ?? 0;
		const followers = contexts?.followers(handle) ?? table.size;
		if (followers === 0) continue; // never seen, or only at the very end
		const unfollowed = counts.isLast(order - 1, context.a[i], context.b[i]) ? 1 : 0;
		const times = contexts === null ? counts.tokens : contexts.count(handle) - unfollowed;
		const seen = table.count(table.find(grams.a[i + 1], grams.b[i + 1]));
		chances[i] = (seen + followers * chances[i]) / (times + followers);
	}
}
