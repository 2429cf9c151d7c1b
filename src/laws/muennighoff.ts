/** Muennighoff et al. 2023: what repeated tokens, and parameters beyond what the unique ones can use, are still worth. */
import { type AdditiveConstants, additiveLoss, frontier } from "./additive.ts";
import { flopsPerParameterToken, type LossLaw, lowest, type Situation, smallestWith } from "./law.ts";

export interface RepeatedSituation extends Situation {
	/** U_D: different tokens; the rest of `tokens` are repetitions. Default: all are different. */
	readonly uniqueTokens?: number;
}

export interface RepetitionConstants extends AdditiveConstants {
	/** R_D*: repetitions after which a token has lost 1 - 1/e of its worth. */
	readonly RD: number;
	/** R_N*: the same for excess parameters. */
	readonly RN: number;
}

/** A count of which `useful` are new and the others decay in worth: useful + useful R* (1 - exp(-R / R*)). */
export function worth(count: number, useful: number, decay: number): number {
	const repetitions = Math.max(count / useful - 1, 0);
	return useful + useful * decay * (1 - Math.exp(-repetitions / decay));
}

/** U_N: parameters that make the best of so many unique tokens. */
export function usefulParameters(constants: AdditiveConstants, uniqueTokens: number): number {
	const { alpha, beta } = constants;
	const { G } = frontier(constants);
	return (uniqueTokens * G) ** (beta / alpha) * G;
}

export function repeatedLoss(constants: RepetitionConstants, situation: RepeatedSituation): number {
	const { parameters, tokens } = situation;
	const uniqueTokens = Math.min(situation.uniqueTokens ?? tokens, tokens);
	const useful = Math.min(parameters, usefulParameters(constants, uniqueTokens));
	return additiveLoss(constants, worth(parameters, useful, constants.RN), worth(tokens, uniqueTokens, constants.RD));
}

export function repeatedDataLaw(
	name: string,
	source: string,
	constants: RepetitionConstants,
): LossLaw<RepeatedSituation> {
	const loss = (situation: RepeatedSituation) => repeatedLoss(constants, situation);
	return {
		name,
		source,
		formula: "L = E + A / N'^alpha + B / D'^beta; x' = U + U R* (1 - exp(-(x/U - 1) / R*)) for x = N, D",
		constants: { ...constants },
		domain: "C4, GPT-2 tokens, 7 M to 9 G parameters, up to 900 G tokens, up to 1,500 epochs.",
		loss,
		/** Without `uniqueTokens`, data is unlimited. */
		allocate(flops, { uniqueTokens } = {}) {
			const work = flops / flopsPerParameterToken;
			const at = (parameters: number) => loss({ parameters, tokens: work / parameters, uniqueTokens });
			const parameters = lowest(at, 1, work);
			return { parameters, tokens: work / parameters, loss: at(parameters) };
		},
		smallestModel(wanted, tokens, { uniqueTokens } = {}) {
			return smallestWith((parameters) => loss({ parameters, tokens, uniqueTokens }), wanted);
		},
	};
}

export const muennighoffConstants: RepetitionConstants = {
	E: Math.exp(0.6254804),
	A: Math.exp(6.255414),
	B: Math.exp(7.3049974),
	alpha: 0.3526596,
	beta: 0.3526596,
	RD: 15.387756,
	RN: 5.309743,
};

export const muennighoff = repeatedDataLaw(
	"Muennighoff (repeated data)",
	"Muennighoff et al. 2023, arXiv 2305.16264, unrounded constants",
	muennighoffConstants,
);
