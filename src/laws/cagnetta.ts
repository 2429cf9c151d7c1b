/**
 * Cagnetta et al. 2026: the exponent of the loss in the data, from two statistics of the corpus. Correlations at lag n decay as
 * n^-beta, conditional entropies approach their limit as n^-gamma. This beta is not Hoffmann's: the exponent of the data is.
 */
import type { LawCard } from "./law.ts";

export interface CorpusExponents {
	/** ||C(n)|| ~ n^-beta: decay of the co-occurrence norm by lag. */
	readonly correlation: number;
	/** H_n - H_inf ~ n^-gamma: decay of the conditional entropy by order. */
	readonly entropy: number;
}

export interface CagnettaLaw extends LawCard {
	/** alpha_D of L - H_inf ~ P^-alpha_D, for learning limited by the data alone; the analogue of Hoffmann's beta. */
	dataExponent(exponents: CorpusExponents): number;
	/** Factor by which the longest usable lag grows with `factor` times the data: n* ~ P^(1 / 2 beta). */
	horizonGrowth(correlation: number, factor: number): number;
	/** Operator norm under which an empirical C(n) of P tokens is noise, sigma the standard deviation of an entry. */
	noiseFloor(sigma: number, vocabulary: number, tokens: number): number;
}

/** As measured by the authors, BPE of 8,192 tokens. */
export const measuredExponents = {
	tinyStories: { correlation: 0.88, entropy: 0.325 },
	wikiText103: { correlation: 0.94, entropy: 0.265 },
} as const satisfies Record<string, CorpusExponents>;

export const cagnetta: CagnettaLaw = {
	name: "Cagnetta",
	source: "Cagnetta, Raventos, Ganguli, Wyart 2026, arXiv 2602.07488",
	formula: "L(P) - H_inf ~ P^-(gamma / 2 beta); ||C(n)|| ~ n^-beta, H_n - H_inf ~ n^-gamma",
	constants: { "TinyStories beta": 0.88, "TinyStories gamma": 0.325, "WikiText beta": 0.94, "WikiText gamma": 0.265 },
	domain:
		"TinyStories and WikiText-103, up to 1e8 tokens; models large enough that only the data limits. gamma is of trained models' losses, not of counts.",
	dataExponent: ({ correlation, entropy }) => entropy / (2 * correlation),
	horizonGrowth: (correlation, factor) => factor ** (1 / (2 * correlation)),
	noiseFloor: (sigma, vocabulary, tokens) => sigma * Math.sqrt(Math.log(vocabulary) / tokens),
};
