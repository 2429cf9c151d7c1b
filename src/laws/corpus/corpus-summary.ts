/** A corpus in a paragraph. */
import { grouped } from "../../base/format.ts";
import type { CorpusStatistics } from "./corpus-statistics.ts";

export function corpusSummary({ tokens, types, entropies, cooccurrence, duplicates }: CorpusStatistics): string {
	const known = entropies.flatMap(({ order, heldOut }) => (heldOut === null ? [] : [{ order, heldOut }]));
	const best = known.reduce((a, b) => (b.heldOut < a.heldOut ? b : a), known[0]);
	const floor = best
		? ` The best n-gram model, of order ${best.order}, needs ${best.heldOut.toFixed(4)} nats per token of text it has not seen.`
		: "";
	const decay = cooccurrence.exponent === null ? "" : ` Correlations fall as lag^-${cooccurrence.exponent.toFixed(2)}.`;
	return `${grouped(tokens)} tokens of ${grouped(types)} types; ${(100 * duplicates.repeated).toFixed(1)} % of the lines are repeated.${floor}${decay}`;
}
