/** The objective and the fit of Muennighoff's law: first the terms of unique data, by the caller, then how fast repetition loses its worth. */
import { type RepetitionConstants, repeatedLoss } from "../muennighoff.ts";
import { huber } from "./huber.ts";
import type { Runs } from "./runs.ts";

export interface RepeatedRuns extends Runs {
	readonly uniqueTokens: Float64Array;
}

/** Sum of Huber's measure of ln L's residuals. */
export function repeatedObjective(runs: RepeatedRuns, constants: RepetitionConstants): number {
	let sum = 0;
	for (let i = 0; i < runs.losses.length; i++) {
		const situation = {
			parameters: runs.parameters[i],
			tokens: runs.tokens[i],
			uniqueTokens: runs.uniqueTokens[i],
		};
		sum += huber(Math.log(repeatedLoss(constants, situation)) - Math.log(runs.losses[i]));
	}
	return sum;
}

/** The best R_D* and R_N* for the other constants: a grid of logarithms, refined ten times over. */
export function fitRepetition(
	runs: RepeatedRuns,
	constants: RepetitionConstants,
): RepetitionConstants & { readonly objective: number } {
	let best = { ...constants, objective: Number.POSITIVE_INFINITY };
	let [middleD, middleN, reach] = [Math.log(10), Math.log(10), Math.log(100)];
	for (let round = 0; round < 24; round++) {
		for (let i = -5; i <= 5; i++) {
			for (let j = -5; j <= 5; j++) {
				const next = {
					...constants,
					RD: Math.exp(middleD + (reach * i) / 5),
					RN: Math.exp(middleN + (reach * j) / 5),
				};
				const objective = repeatedObjective(runs, next);
				if (objective < best.objective) best = { ...next, objective };
			}
		}
		[middleD, middleN, reach] = [Math.log(best.RD), Math.log(best.RN), reach / 2];
	}
	return best;
}
