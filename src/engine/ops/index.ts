/** The table of all ops, and the functions that apply them to a graph. One op is one entry here and one kernel per backend. */
import { geluGradOp, geluOp, reluGradOp, reluOp } from "./activation.ts";
import { attentionGradOp, attentionOp, decodeAttentionOp } from "./attention.ts";
import type { OpDefinition } from "./common.ts";
import { dropoutOp } from "./dropout.ts";
import {
	addOp,
	addRowOp,
	addScaledOp,
	clampGradOp,
	clampOp,
	copyOp,
	dotOp,
	lerpOp,
	mulOp,
	scaleByOp,
	scaleOp,
	subOp,
} from "./elementwise.ts";
import { gatherOp, scatterAddOp, writeRowsOp } from "./gather.ts";
import { correctOp, crossEntropyGradOp, crossEntropyOp, softmaxOp } from "./loss.ts";
import { matmulOp } from "./matmul.ts";
import { minGruGradOp, minGruOp } from "./min-gru.ts";
import { layerNormGradOp, layerNormOp, layerNormWeightGradOp } from "./norm.ts";
import { adamOp, clipFactorOp, movingAverageOp, squareSumOp } from "./optimizer.ts";
import { broadcastOp, columnSumOp, sumOp } from "./reduce.ts";
import { concatColumnsOp, concatRowsOp, sliceColumnsOp, sliceRowsOp } from "./views.ts";

export { gelu, geluGrad, relu, reluGrad } from "./activation.ts";
export { type AttentionOptions, attention, decodeAttention } from "./attention.ts";
export { type DropoutOptions, dropout } from "./dropout.ts";
export { add, addRow, addScaled, clamp, copy, dot, lerp, mul, scale, scaleBy, sub } from "./elementwise.ts";
export { gather, scatterAdd, writeRows } from "./gather.ts";
export { correct, crossEntropy, softmax } from "./loss.ts";
export { activations, matmul } from "./matmul.ts";
export { minGru } from "./min-gru.ts";
export { layerNorm } from "./norm.ts";
export { adam, clipFactor, hyperWords, movingAverage, squareSum } from "./optimizer.ts";
export { broadcast, columnSum, sum } from "./reduce.ts";
export { concatColumns, concatRows, sliceColumns, sliceRows } from "./views.ts";

/** All ops, in the order of the docs. */
export const ops: readonly OpDefinition[] = [
	matmulOp,
	attentionOp,
	attentionGradOp,
	decodeAttentionOp,
	minGruOp,
	minGruGradOp,
	layerNormOp,
	layerNormGradOp,
	layerNormWeightGradOp,
	geluOp,
	geluGradOp,
	reluOp,
	reluGradOp,
	addOp,
	subOp,
	mulOp,
	addRowOp,
	scaleOp,
	scaleByOp,
	addScaledOp,
	lerpOp,
	clampOp,
	clampGradOp,
	dropoutOp,
	gatherOp,
	scatterAddOp,
	writeRowsOp,
	columnSumOp,
	sumOp,
	dotOp,
	broadcastOp,
	copyOp,
	softmaxOp,
	crossEntropyOp,
	crossEntropyGradOp,
	correctOp,
	squareSumOp,
	clipFactorOp,
	adamOp,
	movingAverageOp,
	sliceRowsOp,
	sliceColumnsOp,
	concatRowsOp,
	concatColumnsOp,
];

const byName = new Map(ops.map((op) => [op.name, op]));

/** The op of that name; throws where there is none. */
export function opNamed(name: string): OpDefinition {
	const op = byName.get(name);
	if (!op) throw new Error(`[ops] expected the name of an op, got "${name}"`);
	return op;
}
