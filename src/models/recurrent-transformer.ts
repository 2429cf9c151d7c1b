/**
 * The recurrent transformer of "Scaling Efficient LLMs" (arXiv 2402.14746): one layer T applied step after step to a window
 * that slides over the sequence. This file embeds, cuts into blocks and segments, runs one scan per layer and reads out;
 * the recurrences are in forget-scan.ts and accumulate-scan.ts, their plain form in recurrent-transformer-naive.ts.
 */
import type { Graph, Tensor } from "../engine/graph.ts";
import { gather } from "../engine/ops/index.ts";
import { type Blocks, blockLengths, blockOrder, dropoutBlocks, joinBlocks } from "../nn/blocks.ts";
import { Layer, layerParameters } from "../nn/layer.ts";
import { type ParameterSpec, ParameterTable, vectorParameter } from "../nn/parameters.ts";
import { AccumulateScan, alphaOf } from "./accumulate-scan.ts";
import { embed, endParameters, head, takeRows } from "./embedding.ts";
import { ForgetScan } from "./forget-scan.ts";
import {
	type ForwardShape,
	type LogitsPiece,
	type Model,
	type ModelConfig,
	outputLength,
	outputRows,
} from "./model.ts";
import { naiveForward } from "./recurrent-transformer-naive.ts";
import type { Scan } from "./scan.ts";

/** The model of paper.md section 1, forget or accumulate; `config.form` chooses between the fast and the naive graph. */
export class RecurrentTransformer implements Model {
	readonly config: ModelConfig;
	readonly parameters: readonly ParameterSpec[];
	readonly #table: ParameterTable;

	constructor(config: ModelConfig) {
		this.config = config;
		const { before, after } = endParameters(config);
		const layers = Array.from({ length: config.layers }, (_, index) => layerParameters(index, config)).flat();
		const alpha =
			config.variant === "accumulate" && config.alpha.learned ? [vectorParameter("alpha", 1, config.alpha.value)] : [];
		this.parameters = [...before, ...layers, ...after, ...alpha];
		this.#table = new ParameterTable(this.parameters);
	}

	forward(g: Graph, ids: Tensor, shape: ForwardShape): LogitsPiece[] {
		if (this.config.form === "naive") return naiveForward(g, this.config, this.#table, ids, shape);
		const lengths = blockLengths(shape.length, shape.window);
		const wanted = this.#firstWanted(lengths);
		const scans = this.#scans(g, shape, wanted);
		const pieces: LogitsPiece[] = [];
		let emitted = this.config.variant === "forget" ? wanted : 0;
		const emit = (blocks: Blocks | null) => {
			if (!blocks) return;
			const first = emitted;
			emitted += blocks.lengths.length;
			const { take, rows } = outputRows(this.config, lengths, first, emitted, shape.sequences);
			if (take.length > 0)
				pieces.push({ logits: head(g, this.config, this.#table, takeRows(g, blocks.rows, take)), rows });
		};
		const size = shape.segment > 0 ? shape.segment : lengths.length;
		for (let start = 0; start < lengths.length; start += size) {
			const end = Math.min(start + size, lengths.length);
			g.scope = { label: `windows ${start + 1} to ${end}`, segment: shape.segment > 0 ? start / size : -1 };
			let blocks: Blocks | null = this.#embed(g, ids, lengths, start, end, shape);
			for (const scan of scans) blocks = blocks && scan.push(g, blocks);
			emit(blocks);
		}
		emit(finishAll(g, scans));
		return pieces;
	}

	#scans(g: Graph, shape: ForwardShape, wanted: number): Scan[] {
		const { config } = this;
		return Array.from({ length: config.layers }, (_, index) => {
			const layer = new Layer(index, config, this.#table, shape.train);
			if (config.variant === "accumulate") return new AccumulateScan(layer, alphaOf(g, config, this.#table));
			return new ForgetScan(layer, index === config.layers - 1 ? wanted : 0);
		});
	}

	/** The first block that has an output: earlier ones need no readout. */
	#firstWanted(lengths: readonly number[]): number {
		const length = lengths.reduce((sum, n) => sum + n, 0);
		const first = length - outputLength(this.config, length);
		let start = 0;
		for (let k = 0; ; k++) {
			start += lengths[k];
			if (start > first) return k;
		}
	}

	#embed(g: Graph, ids: Tensor, lengths: readonly number[], first: number, last: number, shape: ForwardShape): Blocks {
		const { sequences, window, train } = shape;
		const { positions, rows } = blockOrder(lengths, first, last, sequences);
		const blockIds = gather(g, ids, g.constant(rows, [rows.length, 1]));
		const places = this.config.positions === "window" ? positions.map((position) => position % window) : positions;
		const embedded = embed(g, this.config, this.#table, blockIds, g.constant(places, [places.length, 1]));
		const blocks: Blocks = { rows: embedded, lengths: lengths.slice(first, last), sequences };
		return { ...blocks, rows: dropoutBlocks(g, blocks, train ? this.config.dropout : 0) };
	}
}

/** What the scans still owe: the end of one layer is fed to the next before that one ends. */
function finishAll(g: Graph, scans: readonly Scan[]): Blocks | null {
	let tail: Blocks | null = null;
	for (const scan of scans) {
		const pushed: Blocks | null = tail && scan.push(g, tail);
		const rest = scan.finish(g);
		tail = pushed && rest ? joinBlocks(g, [pushed, rest]) : (pushed ?? rest);
	}
	return tail;
}
