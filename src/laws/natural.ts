/**
 * The natural law of efficient models (Kausik, arXiv 2402.14746): the smallest model that loses nothing grows as N ~ D^gamma.
 * The paper states the exponents; the derivation here, by PAC bounds, is our reading of it. It gives every number of the
 * paper's versions, and is no quotation: U unique sequences among D with an excess loss B / D^beta lie between the agnostic
 * rate sqrt(U/D) and the realizable rate U/D, so U is between B^2 D^(1-2 beta) and B D^(1-beta).
 */
import type { LawCard } from "./law.ts";

export interface Range {
	readonly low: number;
	readonly high: number;
}

/** A model known to be of the right size for its data, from which others are reckoned. */
export interface Reference {
	readonly parameters: number;
	readonly tokens: number;
}

export interface NaturalLaw extends LawCard {
	/** [1 - 2 beta, 1 - beta]; beta is the exponent of the loss in the data. @throws RangeError for beta outside (0, 1) */
	exponents(beta?: number): Range;
	/** 1 - 1.5 beta, the geometric mean of the two bounds. */
	midpoint(beta?: number): number;
	/** N = N_ref (D / D_ref)^gamma for both ends and the middle, low <= high on either side of the reference. */
	parameters(tokens: number, reference: Reference, beta?: number): Range & { readonly middle: number };
	/** Factor of the corpus that doubles the model it deserves. */
	dataToDouble(gamma: number): number;
	/** With C = 6 N D and N ~ D^gamma: N ~ C^model, D ~ C^data. */
	computeExponents(gamma: number): { readonly model: number; readonly data: number };
	/**
	 * Both bounds with their constants. Below D0 = B^(1/beta) tokens the bounds change places and mean nothing, so there
	 * is no range: use `parameters` from a reference point.
	 */
	absolute(tokens: number, data?: { readonly B: number; readonly beta: number }): Absolute;
}

export type Absolute =
	| (Range & { readonly valid: true; readonly excess: number })
	| { readonly valid: false; readonly validFrom: number; readonly warning: string };

/** Hoffmann's data term as the paper uses it. */
const defaults = { B: 410.7, beta: 0.28 };

/** What everybody who sees a number of this law should know. */
export const naturalWarnings = {
	smallCorpora: (validFrom: number) =>
		`with constants the law's bounds change places below ${validFrom.toExponential(2)} tokens; use only ratios to a model known to fit its data`,
	exponent:
		"the exponent range follows from beta and is very sensitive to it: 0.28 gives [0.44, 0.72], Besiroglu's 0.366 gives [0.27, 0.63]; measure your own",
} as const;

export const natural: NaturalLaw = {
	name: "Natural law",
	source: "Kausik, arXiv 2402.14746 (v4 to v6); the derivation of the range is our reconstruction",
	formula: "N ~ D^gamma, 1 - 2 beta <= gamma <= 1 - beta",
	constants: defaults,
	domain:
		"Models that use every parameter. Absolute sizes only above B^(1/beta) tokens (2.2e9 for B = 410.7, beta = 0.28).",
	exponents(beta = defaults.beta) {
		if (!(beta > 0 && beta < 1)) throw new RangeError(`[natural] expected beta in (0, 1), got ${beta}`);
		return { low: 1 - 2 * beta, high: 1 - beta };
	},
	midpoint: (beta = defaults.beta) => 1 - 1.5 * beta,
	parameters(tokens, reference, beta = defaults.beta) {
		const at = (gamma: number) => reference.parameters * (tokens / reference.tokens) ** gamma;
		const { low, high } = natural.exponents(beta);
		return {
			low: Math.min(at(low), at(high)),
			middle: at(natural.midpoint(beta)),
			high: Math.max(at(low), at(high)),
		};
	},
	dataToDouble: (gamma) => 2 ** (1 / gamma),
	computeExponents: (gamma) => ({ model: gamma / (1 + gamma), data: 1 / (1 + gamma) }),
	absolute(tokens, { B, beta } = defaults) {
		const excess = B / tokens ** beta;
		const validFrom = B ** (1 / beta);
		if (excess >= 1) return { valid: false, validFrom, warning: naturalWarnings.smallCorpora(validFrom) };
		return { valid: true, low: excess ** 2 * tokens, high: excess * tokens, excess };
	},
};
