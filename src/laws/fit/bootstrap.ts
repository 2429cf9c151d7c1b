/** Bootstrap over runs: the same fit to samples of the runs, drawn with repetition. Every sample's constants are kept, for whatever is derived from them. */
import { RandomSequence } from "../../base/random.ts";
import { type AdditiveConstants, frontier } from "../additive.ts";
import { natural } from "../natural.ts";
import { chooseRuns, type Runs } from "./runs.ts";

/** What the constants of a fit say beside themselves. */
export interface Derived extends AdditiveConstants {
	/** Exponents of the best N and D in compute. */
	readonly a: number;
	readonly b: number;
	/** The natural law's exponent range for this beta. */
	readonly gammaLow: number;
	readonly gammaHigh: number;
}

export type Quantity = keyof Derived;
export const quantities = [
	"E",
	"A",
	"B",
	"alpha",
	"beta",
	"a",
	"b",
	"gammaLow",
	"gammaHigh",
] as const satisfies Quantity[];

export function derive(constants: AdditiveConstants): Derived {
	const { a, b } = frontier(constants);
	const { beta } = constants;
	const range = beta > 0 && beta < 1 ? natural.exponents(beta) : { low: Number.NaN, high: Number.NaN };
	return { ...constants, a, b, gammaLow: range.low, gammaHigh: range.high };
}

const bootstrapStream = 0x1a350001;

/** @param refit the fit, begun where the whole table's ended. @param onSample called after each, may throw to stop */
export function bootstrap(
	runs: Runs,
	count: number,
	refit: (sample: Runs) => AdditiveConstants,
	{ seed = 1, onSample }: { readonly seed?: number; readonly onSample?: (done: number) => void } = {},
): Derived[] {
	const size = runs.losses.length;
	return Array.from({ length: count }, (_, index) => {
		const random = new RandomSequence(seed, bootstrapStream, index);
		const rows = Array.from({ length: size }, () => random.below(size));
		const derived = derive(refit(chooseRuns(runs, rows)));
		onSample?.(index + 1);
		return derived;
	});
}

/** The value below which `share` of the values lie, by linear interpolation; values that are no numbers are left out. */
export function percentile(values: readonly number[], share: number): number {
	const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
	if (sorted.length === 0) return Number.NaN;
	const place = share * (sorted.length - 1);
	const below = Math.floor(place);
	const above = Math.min(below + 1, sorted.length - 1);
	return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

export interface Interval {
	readonly low: number;
	readonly high: number;
}

/** The middle `share` of a quantity. */
export function interval(samples: readonly Derived[], quantity: Quantity, share = 0.95): Interval {
	const values = samples.map((sample) => sample[quantity]);
	return { low: percentile(values, (1 - share) / 2), high: percentile(values, (1 + share) / 2) };
}

export function standardError(samples: readonly Derived[], quantity: Quantity): number {
	const values = samples.map((sample) => sample[quantity]).filter(Number.isFinite);
	const mean = values.reduce((a, b) => a + b, 0) / values.length;
	return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}
