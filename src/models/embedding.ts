/** Both ends of every model: tokens to vectors (with or without positions), and vectors to logits. */
import type { Graph, Tensor } from "../engine/graph.ts";
import { add, gather, layerNorm, matmul } from "../engine/ops/index.ts";
import { layerNormEpsilon } from "../nn/layer.ts";
import { matrixParameter, type ParameterSpec, type ParameterTable, vectorParameter } from "../nn/parameters.ts";
import { type ModelConfig, outputSize } from "./model.ts";

/** Weights of embedding, final norm and head; the head is the token embedding where tied. */
export function endParameters(config: ModelConfig): { before: ParameterSpec[]; after: ParameterSpec[] } {
	const { vocabulary, width, bias, tied, positions } = config;
	const before = [matrixParameter("transformer.wte.weight", vocabulary, width, 0.02)];
	const rows = positions === "absolute" ? config.length : config.window.to;
	if (positions !== "none") before.push(matrixParameter("transformer.wpe.weight", rows, width, 0.02));
	const after = [vectorParameter("transformer.ln_f.weight", width, 1)];
	if (bias) after.push(vectorParameter("transformer.ln_f.bias", width, 0));
	if (!tied) after.push(matrixParameter("lm_head.weight", outputSize(config), width, 0.02));
	return { before, after };
}

/**
 * Token embedding plus position embedding, (n, C).
 * @param ids (n, 1)
 * @param positions (n, 1): of each row, in its sequence (absolute) or in its window
 */
export function embed(g: Graph, config: ModelConfig, table: ParameterTable, ids: Tensor, positions: Tensor): Tensor {
	const tokens = gather(g, table.get(g, "transformer.wte.weight"), ids);
	if (config.positions === "none") return tokens;
	return add(g, tokens, gather(g, table.get(g, "transformer.wpe.weight"), positions));
}

/** Final layer norm and head: (n, C) -> (n, V). */
export function head(g: Graph, config: ModelConfig, table: ParameterTable, hidden: Tensor): Tensor {
	const weight = table.get(g, "transformer.ln_f.weight");
	const normed = layerNorm(g, hidden, weight, table.find(g, "transformer.ln_f.bias"), layerNormEpsilon);
	const matrix = table.get(g, config.tied ? "transformer.wte.weight" : "lm_head.weight");
	return matmul(g, normed, matrix, { transposeB: true });
}

/** Only the rows that are outputs, or all of them as they are. */
export function takeRows(g: Graph, rows: Tensor, take: Int32Array): Tensor {
	if (take.length === rows.shape[0]) return rows;
	return gather(g, rows, g.constant(take, [take.length, 1]));
}
