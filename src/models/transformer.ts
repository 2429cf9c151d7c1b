/** The plain causal transformer (GPT-2): the baseline. Every layer sees the whole sequence. */
import type { Graph, Tensor } from "../engine/graph.ts";
import { wholeLayer } from "../nn/attend.ts";
import { type Blocks, blockOrder, dropoutBlocks } from "../nn/blocks.ts";
import { Layer, layerParameters } from "../nn/layer.ts";
import { type ParameterSpec, ParameterTable } from "../nn/parameters.ts";
import { embed, endParameters, head, takeRows } from "./embedding.ts";
import { type ForwardShape, type LogitsPiece, type Model, type ModelConfig, outputRows } from "./model.ts";

/** Embedding, `config.layers` layers over the whole sequence, head. */
export class Transformer implements Model {
	readonly config: ModelConfig;
	readonly parameters: readonly ParameterSpec[];
	readonly #table: ParameterTable;

	constructor(config: ModelConfig) {
		this.config = config;
		const { before, after } = endParameters(config);
		const layers = Array.from({ length: config.layers }, (_, index) => layerParameters(index, config)).flat();
		this.parameters = [...before, ...layers, ...after];
		this.#table = new ParameterTable(this.parameters);
	}

	forward(g: Graph, ids: Tensor, { sequences, length, train }: ForwardShape): LogitsPiece[] {
		const { config } = this;
		const lengths = [length];
		const { positions } = blockOrder(lengths, 0, 1, sequences);
		let x: Blocks = {
			rows: embed(g, config, this.#table, ids, g.constant(positions, [positions.length, 1])),
			lengths,
			sequences,
		};
		x = { ...x, rows: dropoutBlocks(g, x, train ? config.dropout : 0) };
		for (let index = 0; index < config.layers; index++) {
			g.scope = { label: `layer ${index + 1}`, segment: -1 };
			x = { ...x, rows: wholeLayer(g, new Layer(index, config, this.#table, train), x) };
		}
		g.scope = { label: "head", segment: -1 };
		const { take, rows } = outputRows(config, lengths, 0, 1, sequences);
		return [{ logits: head(g, config, this.#table, takeRows(g, x.rows, take)), rows }];
	}
}
