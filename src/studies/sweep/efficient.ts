/** Efficient models: the smallest one whose loss is within a given distance of the best at the same amount of text, and how it grows with the text. */
import { type AdditiveConstants, additiveLaw, smallestWithin } from "../../laws/additive.ts";
import { fitLine } from "../../laws/corpus/heaps.ts";
import type { Runs } from "../../laws/fit/runs.ts";

/** The smallest model that is good enough for an amount of text. */
export interface Efficient {
	readonly tokens: number;
	readonly parameters: number;
	/** Best loss at this amount, which `parameters` come near to. */
	readonly best: number;
	/** Where the sizes that were tried say no more: the smallest is good enough already, or the largest is the best. */
	readonly edge: "smallest" | "largest" | null;
}

/**
 * On a law's surface: A / N^alpha is `within` of the best loss there can be with D tokens, E + B / D^beta.
 * @param within share of the best loss, such as 0.02
 */
export function efficientOnSurface(
	constants: AdditiveConstants,
	tokens: readonly number[],
	within: number,
): Efficient[] {
	const { E, B, beta } = constants;
	return tokens.map((amount) => {
		const parameters = smallestWithin(constants, amount, within);
		return { tokens: amount, parameters, best: E + B / amount ** beta, edge: null };
	});
}

/** From the runs alone: sizes between those tried by a straight line of the loss in ln N. */
export function efficientFromRuns(runs: Runs, within: number): Efficient[] {
	return amountsOf(runs).map((tokens) => {
		const curve = lossBySize(runs, tokens);
		const best = Math.min(...curve.map(({ loss }) => loss));
		const parameters = sizeForLoss(curve, (1 + within) * best) as number;
		const edge = parameters <= curve[0].parameters ? "smallest" : curve.at(-1)!.loss === best ? "largest" : null;
		return { tokens, parameters, best, edge };
	});
}

/** gamma of N ~ D^gamma by least squares of ln N on ln D; NaN for fewer than two amounts. */
export function growthExponent(models: readonly Efficient[]): number {
	const known = models.filter(({ parameters }) => parameters > 0 && Number.isFinite(parameters));
	if (known.length < 2) return Number.NaN;
	return fitLine(
		known.map(({ tokens }) => Math.log(tokens)),
		known.map(({ parameters }) => Math.log(parameters)),
	).slope;
}

/** A size and the mean loss of its runs. */
export interface SizeLoss {
	readonly parameters: number;
	readonly loss: number;
}

/** Different amounts of text, rising. */
export function amountsOf({ tokens }: Runs): number[] {
	return [...new Set(tokens)].sort((a, b) => a - b);
}

/** The losses at one amount of text by size, rising, the mean over seeds. */
export function lossBySize(runs: Runs, tokens: number): SizeLoss[] {
	const bySize = new Map<number, number[]>();
	runs.losses.forEach((loss, i) => {
		if (runs.tokens[i] !== tokens) return;
		bySize.set(runs.parameters[i], [...(bySize.get(runs.parameters[i]) ?? []), loss]);
	});
	return [...bySize]
		.map(([parameters, losses]) => ({ parameters, loss: losses.reduce((a, b) => a + b, 0) / losses.length }))
		.sort((a, b) => a.parameters - b.parameters);
}

/** The smallest size on a curve with this loss or less, between sizes by a line in ln N; the smallest one where it is enough, null where none is. */
export function sizeForLoss(curve: readonly SizeLoss[], loss: number): number | null {
	const first = curve.findIndex((point) => point.loss <= loss);
	if (first < 0) return null;
	if (first === 0) return curve[0].parameters;
	const [below, above] = [curve[first - 1], curve[first]];
	const share = (below.loss - loss) / (below.loss - above.loss);
	return below.parameters * (above.parameters / below.parameters) ** share;
}

/**
 * Parameters that one law needs for the loss another has at the same size and text, over that size: below 1 it needs fewer. The median
 * over a grid of sizes and amounts; infinite where most of the other's losses are out of its reach.
 */
export function ratioOnSurfaces(
	one: AdditiveConstants,
	other: AdditiveConstants,
	sizes: readonly number[],
	amounts: readonly number[],
): number {
	const [law, reference] = [one, other].map((constants) => additiveLaw(noCard, constants));
	const ratios = sizes.flatMap((parameters) =>
		amounts.map((tokens) => {
			const needed = law.smallestModel(reference.loss({ parameters, tokens }), tokens);
			return needed === null ? Number.POSITIVE_INFINITY : needed / parameters;
		}),
	);
	return median(ratios);
}

/** The same from the runs alone: each of the other's runs against the curve through ours; those outside of it are counted apart. */
export function ratiosFromRuns(one: Runs, other: Runs): { ratios: number[]; outside: number } {
	const ratios: number[] = [];
	let outside = 0;
	for (const tokens of amountsOf(other)) {
		const curve = lossBySize(one, tokens);
		if (curve.length === 0) continue;
		for (const { parameters, loss } of lossBySize(other, tokens)) {
			const needed = sizeForLoss(curve, loss);
			if (needed === null || loss >= curve[0].loss) outside++;
			else ratios.push(needed / parameters);
		}
	}
	return { ratios, outside };
}

/** NaN of nothing. */
export function median(values: readonly number[]): number {
	return quantile(values, 0.5);
}

/** The value below which `share` of the values lie; infinite ones count, those that are no numbers do not. */
export function quantile(values: readonly number[], share: number): number {
	const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
	if (sorted.length === 0) return Number.NaN;
	const place = share * (sorted.length - 1);
	const [low, high] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
	return low === high ? low : low + (place - Math.floor(place)) * (high - low);
}

const noCard = { name: "", source: "", domain: "" };
