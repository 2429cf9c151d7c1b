/** What a sweep's figures amount to, in words: exponents against ranges, one architecture against the other. */
import type { Interval } from "../../laws/fit/bootstrap.ts";
import { natural } from "../../laws/natural.ts";
import type { ArchitectureFit, Measured } from "./fit-sweep.ts";

/** The paper's range of gamma: that of beta = 0.28. */
export const paperRange = { low: 0.44, high: 0.72 };

export type Place = "inside" | "overlaps" | "outside" | "unknown";

/** A range that an exponent is held against, and where it lies. */
export interface RangeVerdict {
	readonly range: string;
	/** Null where beta gives none. */
	readonly low: number | null;
	readonly high: number | null;
	readonly surface: Place;
	readonly direct: Place;
}

/** Inside where all of the interval is, outside where none of it is; a value without interval lies on one side. */
export function placeOf({ value, interval }: Measured, range: Interval): Place {
	const { low, high } = interval ?? { low: value, high: value };
	if (!Number.isFinite(low) || !Number.isFinite(high)) return "unknown";
	if (low >= range.low && high <= range.high) return "inside";
	return high < range.low || low > range.high ? "outside" : "overlaps";
}

/**
 * gamma against the natural law's range by the law's own beta, by Heaps' exponent of the text's words, and the paper's.
 * @param heaps null where it could not be measured
 */
export function rangeVerdicts({ gamma, directGamma, fit }: ArchitectureFit, heaps: number | null): RangeVerdict[] {
	const against = (range: string, bounds: Interval | null): RangeVerdict => ({
		range,
		low: bounds?.low ?? null,
		high: bounds?.high ?? null,
		surface: bounds ? placeOf(gamma, bounds) : "unknown",
		direct: bounds ? placeOf(directGamma, bounds) : "unknown",
	});
	return [
		against("[1 − 2β, 1 − β], β of the loss in the text", naturalRange(fit.constants.beta)),
		against("[1 − 2β, 1 − β], β of Heaps (words)", heaps === null ? null : naturalRange(heaps)),
		against("the paper's", paperRange),
	];
}

/** Null for a beta that the law is not made for. */
export function naturalRange(beta: number): Interval | null {
	return beta > 0 && beta < 1 ? natural.exponents(beta) : null;
}
