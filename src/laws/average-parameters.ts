/** Jin et al. 2025, "The Journey Matters": a model pruned while it trains counts with the mean of its parameters. */
import { type AdditiveConstants, additiveLoss, frontier } from "./additive.ts";
import { flopsPerParameterToken, type LossLaw, type Situation, smallestWith } from "./law.ts";

export interface PrunedSituation extends Situation {
	/** N0 is `parameters`; share of them pruned in the end. Default 0. */
	readonly sparsity?: number;
}

/** Mean parameters over N0 for a quarter of the steps dense, half of them pruning without pause, a quarter pruned. */
export function meanShare(sparsity: number): number {
	if (sparsity === 0) return 1;
	return 0.25 + (0.5 * sparsity) / Math.log(1 / (1 - sparsity)) + 0.25 * (1 - sparsity);
}

/** When weights are removed: at step `start`, then `every` steps until `end`, out of `steps`. */
export interface PruningSchedule {
	readonly steps: number;
	readonly start: number;
	readonly end: number;
	readonly every: number;
}

/** Share of the weights kept at a step: after event k of K (from 0) it is (1 - sparsity)^((k + 1) / K). */
export function keptShare(sparsity: number, { start, end, every }: PruningSchedule, step: number): number {
	if (step < start) return 1;
	const events = Math.floor((end - start) / every) + 1;
	const done = Math.min(events, Math.floor((step - start) / every) + 1);
	return (1 - sparsity) ** (done / events);
}

/** Mean parameters over N0 for pruning in steps. */
export function scheduledMeanShare(sparsity: number, schedule: PruningSchedule): number {
	let sum = 0;
	for (let step = 0; step < schedule.steps; step++) sum += keptShare(sparsity, schedule, step);
	return sum / schedule.steps;
}

/** The law, with constants fitted by the caller: the paper prints none. `hoffmann.constants` is a way to begin. */
export function averageParameterLaw(constants: AdditiveConstants): LossLaw<PrunedSituation> {
	const growth = frontier(constants);
	const law: LossLaw<PrunedSituation> = {
		name: "Average parameter count",
		source: "Jin et al. 2025, arXiv 2501.12486; it prints no constants, these are the caller's",
		formula: "L = E + A / mean(N)^alpha + B / D^beta, the mean over the steps of training",
		constants: { ...constants },
		domain: "58 to 468 M parameters, sparsity 0.2 to 0.8, pruning over the middle half of training.",
		loss: ({ parameters, tokens, sparsity = 0 }) => additiveLoss(constants, parameters * meanShare(sparsity), tokens),
		/** Compute is 6 mean(N) D; the parameters returned are those before pruning. */
		allocate(flops, { sparsity = 0 } = {}) {
			const work = flops / flopsPerParameterToken;
			const mean = growth.G * work ** growth.a;
			const parameters = mean / meanShare(sparsity);
			return { parameters, tokens: work / mean, loss: additiveLoss(constants, mean, work / mean) };
		},
		smallestModel(loss, tokens, { sparsity = 0 } = {}) {
			return smallestWith((parameters) => law.loss({ parameters, tokens, sparsity }), loss);
		},
	};
	return law;
}
