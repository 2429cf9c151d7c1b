/** What every architecture offers: its weights, and its forward pass as a graph. */
import type { Graph, Tensor } from "../engine/graph.ts";
import { blockOrder } from "../nn/blocks.ts";
import type { LayerConfig } from "../nn/layer.ts";
import type { ParameterSpec } from "../nn/parameters.ts";

/** Which positions of a sequence have an output. */
export type Outputs =
	/** every position (next token) */
	| { readonly kind: "language" }
	/** the last `count` positions (recall) */
	| { readonly kind: "last"; readonly count: number }
	/** one of `classes` at the last position */
	| { readonly kind: "class"; readonly classes: number };

/** Everything that decides a model's weights and graphs, with what `LayerConfig` says of one layer. */
export interface ModelConfig extends LayerConfig {
	readonly kind: "recurrent" | "transformer" | "mingru";
	/** V */
	readonly vocabulary: number;
	/** N: the length of a training sequence; the table of absolute positions has this many rows. */
	readonly length: number;
	readonly outputs: Outputs;
	/** Head tied to the token embedding. */
	readonly tied: boolean;
	readonly positions: "absolute" | "window" | "none";
	/** w, or the range that random windows are drawn from. Recurrent only. */
	readonly window: { readonly from: number; readonly to: number };
	readonly variant: "forget" | "accumulate";
	/** Initial or fixed value of alpha; accumulate only. */
	readonly alpha: { readonly value: number; readonly learned: boolean };
	/** State columns of a minGRU over the width; mingru only, 2 where it is not said. */
	readonly expansion?: number;
	/** `naive`: the equations as they stand, the specification that `fast` is tested against. */
	readonly form: "fast" | "naive";
}

/** A micro-batch to build a graph for. */
export interface ForwardShape {
	/** b: sequences in the micro-batch. */
	readonly sequences: number;
	/** N of this batch, at most `config.length` where positions are absolute. */
	readonly length: number;
	/** w of this step; evaluation uses the middle of the range. */
	readonly window: number;
	/** Windows per recomputation segment; 0: store everything. */
	readonly segment: number;
	readonly train: boolean;
}

/** Some rows of logits, (rows.length, V), and which outputs they are: b * M + m in natural order, M outputs a sequence. */
export interface LogitsPiece {
	readonly logits: Tensor;
	readonly rows: Int32Array;
}

/** An architecture with a configuration: what its weights are, and its forward pass as a graph. */
export interface Model {
	readonly config: ModelConfig;
	readonly parameters: readonly ParameterSpec[];
	/** @param ids (b * N, 1) token ids, sequence after sequence */
	forward(g: Graph, ids: Tensor, shape: ForwardShape): LogitsPiece[];
}

/** M: outputs per sequence. */
export function outputLength(config: ModelConfig, length: number): number {
	const { outputs } = config;
	if (outputs.kind === "language") return length;
	return outputs.kind === "last" ? outputs.count : 1;
}

/** Number of columns of the logits. */
export function outputSize(config: ModelConfig): number {
	return config.outputs.kind === "class" ? config.outputs.classes : config.vocabulary;
}

/** D: columns of what one layer carries from row to row, or from block to block. */
export function stateWidth({ kind, width, expansion = 2 }: ModelConfig): number {
	return kind === "mingru" ? Math.max(1, Math.round(expansion * width)) : width;
}

/** The window that evaluation and streaming use: the middle of the range. */
export function evaluationWindow({ window }: ModelConfig): number {
	return Math.round((window.from + window.to) / 2);
}

/**
 * Of the rows of blocks [first, last): which are outputs (`take`, row numbers among those blocks' rows) and where they belong
 * (`rows`, in natural order of the outputs).
 */
export function outputRows(
	config: ModelConfig,
	lengths: readonly number[],
	first: number,
	last: number,
	sequences: number,
) {
	const length = lengths.reduce((sum, n) => sum + n, 0);
	const count = outputLength(config, length);
	const { positions, rows } = blockOrder(lengths, first, last, sequences);
	const take: number[] = [];
	const places: number[] = [];
	positions.forEach((position, row) => {
		const output = position - (length - count);
		if (output < 0) return;
		take.push(row);
		places.push(Math.floor(rows[row] / length) * count + output);
	});
	return { take: Int32Array.from(take), rows: Int32Array.from(places) };
}
