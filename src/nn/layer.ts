/**
 * The pre-norm GPT-2 layer T that every architecture here is made of: x + attn(ln1(x)), then x + mlp(ln2(x)), cut into the
 * three pieces that a recurrence runs at different times.
 */
import type { Graph, Tensor } from "../engine/graph.ts";
import { add, addRow, gelu, layerNorm, matmul, relu } from "../engine/ops/index.ts";
import { type Blocks, dropoutBlocks } from "./blocks.ts";
import { matrixParameter, type ParameterSpec, type ParameterTable, vectorParameter } from "./parameters.ts";

export const layerNormEpsilon = 1e-5;

export interface LayerConfig {
	/** C */
	readonly width: number;
	/** H */
	readonly heads: number;
	readonly layers: number;
	readonly activation: "gelu" | "relu";
	readonly bias: boolean;
	/** Probability, used only in training. */
	readonly dropout: number;
}

/** What mixes the rows of a sequence, between the norm and the residual: its projection in, (in, C), and out, (C, out). */
export interface Mixer {
	readonly into: { readonly name: string; readonly rows: number };
	readonly out: { readonly name: string; readonly cols: number };
}

/** Queries, keys and values; and what the heads found. */
export function attentionMixer(width: number): Mixer {
	return { into: { name: "attn.c_attn", rows: 3 * width }, out: { name: "attn.c_proj", cols: width } };
}

/** Weights of layer `index`: normal(0, 0.02), output projections normal(0, 0.02 / sqrt(2 layers)); norms one, biases zero. */
export function layerParameters(
	index: number,
	{ width, layers, bias }: LayerConfig,
	{ into, out }: Mixer = attentionMixer(width),
): ParameterSpec[] {
	const at = `transformer.h.${index}`;
	const output = 0.02 / Math.sqrt(2 * layers);
	const biased = (spec: ParameterSpec, name: string, length: number) =>
		bias ? [spec, vectorParameter(`${at}.${name}.bias`, length, 0)] : [spec];
	const norm = (name: string) => biased(vectorParameter(`${at}.${name}.weight`, width, 1), name, width);
	const linear = (name: string, rows: number, cols: number, deviation: number) =>
		biased(matrixParameter(`${at}.${name}.weight`, rows, cols, deviation), name, rows);
	return [
		...norm("ln_1"),
		...linear(into.name, into.rows, width, 0.02),
		...linear(out.name, width, out.cols, output),
		...norm("ln_2"),
		...linear("mlp.c_fc", 4 * width, width, 0.02),
		...linear("mlp.c_proj", width, 4 * width, output),
	];
}

/** One layer bound to its weights. */
export class Layer {
	readonly config: LayerConfig;
	readonly #table: ParameterTable;
	readonly #at: string;
	readonly #dropout: number;

	/** @param train dropout is applied only where true */
	constructor(index: number, config: LayerConfig, table: ParameterTable, train: boolean) {
		this.config = config;
		this.#table = table;
		this.#at = `transformer.h.${index}`;
		this.#dropout = train ? config.dropout : 0;
	}

	get dropout(): number {
		return this.#dropout;
	}

	/** Queries, keys and values of ln1(x): (rows, C) -> (rows, 3C). */
	queriesKeysValues(g: Graph, x: Tensor): Tensor {
		return this.linear(g, this.norm(g, x, "ln_1"), "attn.c_attn");
	}

	/** What follows attention, or another mixer: h = x + projection(mixed), then h + mlp(ln2(h)). x and result (rows, C). */
	finish(g: Graph, x: Blocks, mixed: Tensor, projection = "attn.c_proj"): Tensor {
		const projected = this.linear(g, mixed, projection);
		const h = add(g, x.rows, dropoutBlocks(g, { ...x, rows: projected }, this.#dropout));
		const hidden = this.linear(g, this.norm(g, h, "ln_2"), "mlp.c_fc");
		const active = this.config.activation === "gelu" ? gelu(g, hidden) : relu(g, hidden);
		const output = this.linear(g, active, "mlp.c_proj");
		return add(g, h, dropoutBlocks(g, { ...x, rows: output }, this.#dropout));
	}

	norm(g: Graph, x: Tensor, name: string): Tensor {
		const weight = this.#table.get(g, `${this.#at}.${name}.weight`);
		return layerNorm(g, x, weight, this.#table.find(g, `${this.#at}.${name}.bias`), layerNormEpsilon);
	}

	/** x W^T + b; W is stored (out, in). */
	linear(g: Graph, x: Tensor, name: string): Tensor {
		const product = matmul(g, x, this.#table.get(g, `${this.#at}.${name}.weight`), { transposeB: true });
		const bias = this.#table.find(g, `${this.#at}.${name}.bias`);
		return bias ? addRow(g, product, bias) : product;
	}
}
