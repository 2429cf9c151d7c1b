/** Conditional entropies of the next token by order, from counts: plug-in, with a bias correction, and measured on held-out text. */
import type { NgramCounts } from "./distinct-ngrams.ts";

/** Of X_n given the n - 1 tokens before it, nats per token. Null where counts of the order did not fit in memory. */
export interface ConditionalEntropy {
	/** n; 1 is the entropy of single tokens. */
	readonly order: number;
	/** Of the observed frequencies: too low where most n-grams are rare. */
	readonly plugIn: number | null;
	/** Plug-in with Miller and Madow's correction, (distinct - 1) / 2 total for each joint entropy. Still low, less so. */
	readonly corrected: number | null;
	/** Loss of an interpolated n-gram model on the end of the corpus, which it has not counted: an upper bound. */
	readonly heldOut: number | null;
}

/** Plug-in and corrected entropies of orders 1..orders. @param heldOut by order, from order 1 on */
export function conditionalEntropies(
	counts: NgramCounts,
	heldOut: readonly (number | null)[] = [],
): ConditionalEntropy[] {
	const entropies: ConditionalEntropy[] = [];
	let [before, beforeCorrected]: (number | null)[] = [0, 0];
	for (let order = 1; order <= counts.orders; order++) {
		const joint = jointEntropy(counts, order);
		const corrected = joint === null ? null : joint + (counts.distinct(order) - 1) / (2 * counts.total(order));
		entropies.push({
			order,
			plugIn: difference(joint, before),
			corrected: difference(corrected, beforeCorrected),
			heldOut: heldOut[order - 1] ?? null,
		});
		[before, beforeCorrected] = [joint, corrected];
	}
	return entropies;
}

/** Of n-grams as wholes, nats; null where they were not counted. */
function jointEntropy(counts: NgramCounts, order: number): number | null {
	const table = counts.table(order);
	const total = counts.total(order);
	if (table === null || total === 0) return null;
	let sum = 0;
	table.forEach((_a, _b, count) => {
		sum += count * Math.log(count);
	});
	return Math.log(total) - sum / total;
}

function difference(a: number | null, b: number | null): number | null {
	return a === null || b === null ? null : a - b;
}
