/** Figures of a model before or after it is trained: weights, work per token, state, memory of a training step. */

import type { Layout } from "../engine/plan.ts";
import { ParameterLayout } from "../engine/session.ts";
import {
	createModel,
	evaluationProgram,
	evaluationWindow,
	type ForwardShape,
	type ModelConfig,
	stateWidth,
	trainingProgram,
} from "../models/index.ts";
import { parameterCount } from "../nn/parameters.ts";
import { cutBatch, rowsPerSequence } from "./slices.ts";

export interface ModelFigures {
	readonly parameters: number;
	/** Forward pass, per token: as the paper counts it (paper.md 1.5), and exactly, from the graph. */
	readonly flopsPerToken: { readonly paper: number; readonly exact: number };
	/** Forward and backward, exactly. */
	readonly trainingFlopsPerToken: number;
	/** Bytes carried from block to block, the partial block included; null where it grows with the position. */
	readonly stateBytes: number | null;
	/** Memory of a training step, by use. */
	readonly memory: readonly { readonly what: string; readonly bytes: number }[];
}

export interface StepShape {
	/** B */
	readonly batch: number;
	/** N */
	readonly length: number;
	readonly slices: number;
	readonly threads: number;
	/** A moving average of the weights is kept. */
	readonly averages?: boolean;
}

export function modelFigures(
	config: ModelConfig,
	{ batch, length, slices, threads, averages }: StepShape,
): ModelFigures {
	const model = createModel(config);
	const parameters = new ParameterLayout(model.parameters);
	const layout = layoutOf(parameters);
	const window = evaluationWindow(config);
	const cuts = cutBatch(batch, slices, rowsPerSequence(config.kind, length, window));
	const sequences = Math.max(...cuts.map(({ count }) => count));
	const shape = stepShape(config, length, sequences);
	const training = trainingProgram(model, shape, layout);
	const forward = evaluationProgram(model, shape, { logits: true }, layout);
	const words = parameters.words * 4;
	return {
		parameters: parameterCount(model.parameters),
		flopsPerToken: { paper: paperFlops(config, length) / length, exact: forward.flops / (sequences * length) },
		trainingFlopsPerToken: training.flops / (sequences * length),
		stateBytes: stateBytes(config),
		memory: [
			{ what: "weights", bytes: words },
			{ what: "moments of the optimiser", bytes: 2 * words },
			...(averages ? [{ what: "moving average of the weights", bytes: words }] : []),
			{
				what: `gradients, one set for each of ${Math.min(slices, batch)} slices`,
				bytes: Math.min(slices, batch) * words,
			},
			{
				what: `activations of ${sequences} sequences, for each of ${threads} threads`,
				bytes: threads * training.arenaWords * 4,
			},
		],
	};
}

/**
 * Forward and backward of one sequence, exactly, per token. The optimiser is not in it: its work does not depend on the batch.
 * @param length N
 */
export function trainingFlopsPerToken(config: ModelConfig, length: number): number {
	const model = createModel(config);
	const layout = layoutOf(new ParameterLayout(model.parameters));
	return trainingProgram(model, stepShape(config, length, 1), layout).flops / length;
}

function stepShape(config: ModelConfig, length: number, sequences: number): ForwardShape {
	return { sequences, length, window: evaluationWindow(config), segment: 0, train: true };
}

/** FLOPs per sample as the author's note counts them (paper.md 1.5): orders, not exact counts. It has no minGRU: counted alike. */
export function paperFlops(config: ModelConfig, N: number, w = evaluationWindow(config)): number {
	const { layers: L, width: D, kind, variant } = config;
	if (kind === "transformer") return L * (N * N * D + N * D * D);
	if (kind === "mingru") return L * N * (D + D * D);
	if (variant === "forget" && w === 1) return L * N * (4 * D + 2 * D * D);
	return L * (N / w) * (4 * D * w * w + 2 * w * D * D + (variant === "accumulate" ? 2 : 0));
}

function stateBytes(config: ModelConfig): number | null {
	if (config.kind === "transformer") return null;
	if (config.kind === "mingru") return 4 * config.layers * stateWidth(config);
	const window = evaluationWindow(config);
	const blocks = config.variant === "accumulate" ? 2 : 1;
	return 4 * (config.layers * blocks * window * config.width + window);
}

function layoutOf(parameters: ParameterLayout): Layout {
	return { parameter: (name) => parameters.offsets.get(name) as number, shared: () => 0 };
}
