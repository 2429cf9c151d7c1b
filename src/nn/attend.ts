/** Attention over the blocks of a layer, with or without a state in front of them. */
import type { Graph, Tensor } from "../engine/graph.ts";
import { attention, sliceColumns } from "../engine/ops/index.ts";
import type { Blocks } from "./blocks.ts";
import type { Layer } from "./layer.ts";

/**
 * Causal attention inside each block, every row seeing the whole prefix besides.
 * @param projected blocks of equal length of queries, keys and values side by side, (rows, 3C)
 * @param prefix (B m, 2C) keys and values that stand before each block, or null
 * @returns (rows, C)
 */
export function attend(g: Graph, layer: Layer, projected: Blocks, prefix: Tensor | null): Tensor {
	const { width, heads } = layer.config;
	const { rows, sequences, lengths } = projected;
	const queries = sliceColumns(g, rows, 0, width);
	const windows = sequences * lengths.length;
	return attention(g, queries, keysValues(g, rows), prefix, { windows, heads, dropout: layer.dropout, sequences });
}

/** Columns C..3C of (rows, 3C). */
export function keysValues(g: Graph, projected: Tensor): Tensor {
	const width = projected.shape[1] / 3;
	return sliceColumns(g, projected, width, 3 * width);
}

/** T(x) for blocks of equal length, each seeing nothing but itself. */
export function wholeLayer(g: Graph, layer: Layer, x: Blocks): Tensor {
	const projected: Blocks = { ...x, rows: layer.queriesKeysValues(g, x.rows) };
	return layer.finish(g, x, attend(g, layer, projected, null));
}
