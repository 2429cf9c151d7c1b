/**
 * A minGRU (Feng et al. 2024, "Were RNNs all we needed?", arXiv 2410.01201) as a baseline: the transformer's layer with its attention
 * exchanged, so that a comparison is one of mixers:
 *
 *     k, v = halves of W ln1(x);   h_t = (1 - z_t) h_(t-1) + z_t g(v_t),  z = sigmoid(k);   x + W' h,  then x + mlp(ln2(x))
 *
 * k, v and h have D = expansion C columns. g(v) = v + 1/2 where v >= 0, else sigmoid(v); h_0 = 0 (the scan: engine/ops/min-gru.ts).
 */
import type { Graph, Tensor } from "../engine/graph.ts";
import { minGru, sliceColumns } from "../engine/ops/index.ts";
import { type Blocks, blockOrder, dropoutBlocks } from "../nn/blocks.ts";
import { Layer, layerParameters } from "../nn/layer.ts";
import { type ParameterSpec, ParameterTable } from "../nn/parameters.ts";
import { embed, endParameters, head, takeRows } from "./embedding.ts";
import { type ForwardShape, type LogitsPiece, type Model, type ModelConfig, outputRows, stateWidth } from "./model.ts";

const into = "gru.c_in";
const out = "gru.c_proj";

/** Embedding, `config.layers` layers over the whole sequence, head. */
export class MinGru implements Model {
	readonly config: ModelConfig;
	readonly parameters: readonly ParameterSpec[];
	readonly #table: ParameterTable;

	constructor(config: ModelConfig) {
		this.config = config;
		const { before, after } = endParameters(config);
		const columns = stateWidth(config);
		const mixer = { into: { name: into, rows: 2 * columns }, out: { name: out, cols: columns } };
		const layers = Array.from({ length: config.layers }, (_, index) => layerParameters(index, config, mixer)).flat();
		this.parameters = [...before, ...layers, ...after];
		this.#table = new ParameterTable(this.parameters);
	}

	forward(g: Graph, ids: Tensor, { sequences, length, train }: ForwardShape): LogitsPiece[] {
		const { config } = this;
		const lengths = [length];
		const { positions } = blockOrder(lengths, 0, 1, sequences);
		const embedded = embed(g, config, this.#table, ids, g.constant(positions, [positions.length, 1]));
		let x: Blocks = { rows: embedded, lengths, sequences };
		x = { ...x, rows: dropoutBlocks(g, x, train ? config.dropout : 0) };
		for (let index = 0; index < config.layers; index++) {
			g.scope = { label: `layer ${index + 1}`, segment: -1 };
			x = { ...x, rows: minGruLayer(g, new Layer(index, config, this.#table, train), x, null).rows };
		}
		g.scope = { label: "head", segment: -1 };
		const { take, rows } = outputRows(config, lengths, 0, 1, sequences);
		return [{ logits: head(g, config, this.#table, takeRows(g, x.rows, take)), rows }];
	}
}

/**
 * One layer over whole sequences, or over a stretch of them.
 * @param x one block, (B n, C)
 * @param initial (B, D): the state before the first row; null: zero
 * @returns the layer's rows, (B n, C), and all states, (B n, D)
 */
export function minGruLayer(
	g: Graph,
	layer: Layer,
	x: Blocks,
	initial: Tensor | null,
): { rows: Tensor; states: Tensor } {
	const projected = layer.linear(g, layer.norm(g, x.rows, "ln_1"), into);
	const columns = projected.shape[1] / 2;
	const gate = sliceColumns(g, projected, 0, columns);
	const candidate = sliceColumns(g, projected, columns, 2 * columns);
	const states = minGru(g, gate, candidate, initial, { sequences: x.sequences });
	return { rows: layer.finish(g, x, states, out), states };
}
