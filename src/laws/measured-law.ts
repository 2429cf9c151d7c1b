/** A law that a sweep measured on the text at hand, and the size that it recommends. */
import { type AdditiveConstants, additiveLoss, smallestWithin } from "./additive.ts";

export interface MeasuredLaw {
	/** Of L(N, D), where D is the different tokens of text and not how often they are read. */
	readonly constants: AdditiveConstants;
	/** Share of the best loss that a model may lose and still be large enough. */
	readonly within: number;
	/** Smallest and largest size that was measured. */
	readonly sizes: { readonly least: number; readonly most: number };
	/** Tokens that the longest run read: what the law's losses take. */
	readonly read: number;
	/** Where it was measured, in words. */
	readonly source: string;
}

/** A size and why it is that. */
export interface MeasuredChoice {
	readonly parameters: number;
	readonly reason: string;
}

/** Beyond this many times the largest size that was measured a law is a guess. */
const reach = 4;

/**
 * The smallest model that is good enough for the text, but none so large that the budget would let it read less than the runs did
 * that the law was measured by, and none far beyond these.
 * @param uniqueTokens of the text
 * @param flops of training; a token takes six for each parameter
 */
export function measuredSize(law: MeasuredLaw, uniqueTokens: number, flops: number): MeasuredChoice {
	const { constants, within, sizes, read, source } = law;
	const deserved = smallestWithin(constants, uniqueTokens, within);
	const affordable = flops / (6 * read);
	const most = reach * sizes.most;
	const parameters = Math.max(sizes.least, Math.min(deserved, affordable, most));
	const figure = (value: number) => String(Math.round(value));
	const deserves = Number.isFinite(deserved)
		? `the law measured here (${source}) gives ${figure(deserved)} parameters for ${Number((100 * within).toFixed(6))} % of the best loss with this text`
		: `the law measured here (${source}) tells no size`;
	const why =
		parameters === deserved
			? ""
			: parameters === affordable
				? `; the budget pays for ${figure(affordable)} to read as much as the sweep's runs`
				: parameters === most
					? `; ${figure(most)} is as far as the measured sizes reach`
					: `; ${figure(parameters)} is the smallest that was measured`;
	const loss = additiveLoss(constants, parameters, uniqueTokens);
	return {
		parameters,
		reason: `${deserves}${why}; it expects a loss of about ${loss.toFixed(3)} of training like the sweep's`,
	};
}
