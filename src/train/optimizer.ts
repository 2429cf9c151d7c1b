/** The update of the weights as a program: sum the slices' gradients, clip by global norm, Adam or AdamW, the weights' moving average. */
import { Graph } from "../engine/graph.ts";
import { adam, clipFactor, columnSum, movingAverage, sliceColumns, squareSum } from "../engine/ops/index.ts";
import { type Layout, plan } from "../engine/plan.ts";
import type { Program } from "../engine/program.ts";
import type { ParameterLayout } from "../engine/session.ts";

export interface OptimizerConfig {
	/** adamw decays weights apart from the gradient (decoupled); adam decays nothing. */
	readonly kind: "adamw" | "adam";
	readonly betas: readonly [number, number];
	readonly epsilon: number;
	readonly weightDecay: number;
	/** Largest global norm of the gradient; 0: no clipping. */
	readonly clip: number;
	/** Decay rate of an exponential moving average of the weights; 0 or absent: none is kept. */
	readonly ema?: number;
}

/** Place of the moving average among the optimiser's tensors, behind Adam's moments. */
export const averageIndex = 2;

/** The shared scalars of a step, 1 x 8, as op `adam` reads them. @param step 1 for the first */
export function hyperparameters(
	{ kind, betas, epsilon, weightDecay, ema = 0 }: OptimizerConfig,
	learningRate: number,
	step: number,
): Float32Array {
	const corrections = betas.map((beta) => 1 - beta ** step);
	// Early on the average reaches back over about a ninth of the steps so far: the first weights are no part of a mean worth having.
	const averageRate = 1 - Math.min(ema, (1 + step) / (10 + step));
	const decay = kind === "adamw" ? weightDecay : 0;
	return Float32Array.of(learningRate, ...betas, epsilon, ...corrections, decay, averageRate);
}

/** Words of the space `optimizer`: moments, the average where one is kept, and whether updates are halted. @param words of the weights */
export function optimizerWords(words: number, ema?: number): number {
	return haltedOffset(words, ema) + 16;
}

/** Where the space `optimizer` says that updates are halted (not 0). */
export function haltedOffset(words: number, ema = 0): number {
	return (ema > 0 ? 3 : 2) * words;
}

/**
 * Output `norm`, 1 x 2: the factor applied by clipping, NaN where nothing was updated, and the global norm of the gradient before it. A norm that is
 * not finite halts the updates: nothing changes any more, also by steps that were on their way already.
 */
export function optimizerProgram(
	parameters: ParameterLayout,
	slices: number,
	{ clip, ema = 0 }: Pick<OptimizerConfig, "clip" | "ema">,
	layout: Layout,
): Program {
	const g = new Graph();
	const { words, decayWords } = parameters;
	const perSlice = g.buffer("gradients", "slices", 0, [slices, words]);
	const gradient = slices > 1 ? columnSum(g, perSlice) : perSlice;
	const parts = Math.max(1, Math.min(64, Math.floor(words / 8192)));
	const halted = g.buffer("halted", "optimizer", haltedOffset(words, ema), [1, 1]);
	const norm = clipFactor(g, squareSum(g, gradient, parts), halted, clip);
	const hyper = g.sharedInput("hyper", [1, 8]);
	for (const [start, end, decay] of [
		[0, decayWords, 1],
		[decayWords, words, 0],
	]) {
		if (start === end) continue;
		const weights = g.buffer("weights", "parameters", start, [1, end - start]);
		const moments = [0, 1].map((index) =>
			g.buffer(`moment ${index}`, "optimizer", index * words + start, [1, end - start]),
		);
		adam(g, weights, sliceColumns(g, gradient, start, end), moments[0], moments[1], hyper, norm, { decay });
	}
	if (ema > 0) {
		const average = g.buffer("average", "optimizer", averageIndex * words, [1, words]);
		movingAverage(g, average, g.buffer("weights", "parameters", 0, [1, words]), hyper, norm);
	}
	return plan(g, { kind: "update", layout, outputs: new Map([["norm", norm]]) });
}
