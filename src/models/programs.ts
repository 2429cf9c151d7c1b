/** A model's graphs made into Programs: forward and backward for training, forward alone for evaluation. */
import { gradientTerms } from "../engine/gradient.ts";
import { Graph, type Tensor } from "../engine/graph.ts";
import { add, concatRows, copy, correct, crossEntropy, gather, scaleBy, sum } from "../engine/ops/index.ts";
import { fuseEpilogues } from "../engine/passes/fuse-epilogues.ts";
import { recompute } from "../engine/passes/recompute.ts";
import { sumWeightGradients } from "../engine/passes/sum-weight-gradients.ts";
import { type Binding, type Layout, plan } from "../engine/plan.ts";
import type { Program } from "../engine/program.ts";
import { type ForwardShape, type LogitsPiece, type Model, outputLength } from "./model.ts";

/** Positions without a target are ignored: `ids` (b * N) and `targets` (b * M) are inputs of these names, i32. */
function openGraph(model: Model, shape: ForwardShape): { g: Graph; pieces: LogitsPiece[]; targets: Tensor } {
	const g = new Graph();
	const ids = g.input("ids", [shape.sequences * shape.length, 1], "i32");
	const count = shape.sequences * outputLength(model.config, shape.length);
	const targets = g.input("targets", [count, 1], "i32");
	return { g, pieces: model.forward(g, ids, shape), targets };
}

/** -log p of every target of a piece, (rows, 1). */
function losses(g: Graph, { logits, rows }: LogitsPiece, targets: Tensor): Tensor {
	return crossEntropy(g, logits, pieceTargets(g, rows, targets)).nll;
}

function pieceTargets(g: Graph, rows: Int32Array, targets: Tensor): Tensor {
	const inOrder = rows.length === targets.shape[0] && rows.every((row, index) => row === index);
	return inOrder ? targets : gather(g, targets, g.constant(rows, [rows.length, 1]));
}

/** Values of all pieces, put into natural order: row b * M + m. */
function inNaturalOrder(g: Graph, pieces: readonly LogitsPiece[], values: readonly Tensor[]): Tensor {
	const rows = pieces.flatMap((piece) => [...piece.rows]);
	const inverse = new Int32Array(rows.length);
	rows.forEach((row, index) => {
		inverse[row] = index;
	});
	const joined = values.length === 1 ? values[0] : concatRows(g, [...values]);
	return gather(g, joined, g.constant(inverse, [inverse.length, 1]));
}

/**
 * Forward and backward over one micro-batch. Adds the gradient of lossScale * (sum of losses) to the slice's gradients;
 * `lossScale` is a shared scalar (one over the number of targets of the whole batch). Output `loss`: the sum of losses, 1 x 1.
 */
export function trainingProgram(model: Model, shape: ForwardShape, layout: Layout): Program {
	const { g, pieces, targets } = openGraph(model, shape);
	const totals = pieces.map((piece) => sum(g, losses(g, piece, targets)));
	const total = totals.reduce((a, b) => add(g, a, b));
	const loss = scaleBy(g, g.sharedInput("lossScale", [1, 1]), total);
	const forwardEnd = g.nodes.length;
	const leaves = [...g.parameters.values()];
	const terms = sumWeightGradients(g, gradientTerms(g, loss, leaves));
	if (shape.segment > 0) recompute(g, forwardEnd);
	const bindings = bindGradients(g, terms, layout);
	const outputs = new Map([["loss", total]]);
	fuseEpilogues(g, new Set([...outputs.values(), ...bindings.keys()]));
	return plan(g, { kind: "body", layout, outputs, bindings });
}

/** Every term is added to its parameter's place in the gradients, by its own kernel where that can accumulate. */
function bindGradients(g: Graph, terms: ReadonlyMap<Tensor, Tensor[]>, layout: Layout): Map<Tensor, Binding> {
	const bindings = new Map<Tensor, Binding>();
	for (const [leaf, list] of terms) {
		if (leaf.source.kind !== "parameter") continue;
		const offset = layout.parameter(leaf.source.name);
		for (const term of list) bindings.set(accumulating(g, term), { space: "gradients", offset });
	}
	return bindings;
}

function accumulating(g: Graph, term: Tensor): Tensor {
	const { source } = term;
	if (source.kind === "intermediate" && source.node.op.attributes.accumulate === "int") {
		(source.node as { attributes: Record<string, number> }).attributes = { ...source.node.attributes, accumulate: 1 };
		return term;
	}
	return copy(g, term, { accumulate: true });
}

/** Which values an evaluation program gives, all in natural order (row b * M + m). */
export interface EvaluationOutputs {
	/** (b M, V) */
	readonly logits?: boolean;
	/** (b M, 1): -log p of each target, 0 where it is ignored. */
	readonly losses?: boolean;
	/** (b M, 1): 1 where the target has the largest logit. */
	readonly correct?: boolean;
}

/** Forward only. Outputs `logits`, `losses`, `correct` as asked. */
export function evaluationProgram(model: Model, shape: ForwardShape, want: EvaluationOutputs, layout: Layout): Program {
	const { g, pieces, targets } = openGraph(model, { ...shape, train: false });
	const outputs = new Map<string, Tensor>();
	const collect = (name: string, value: (piece: LogitsPiece) => Tensor) =>
		outputs.set(name, inNaturalOrder(g, pieces, pieces.map(value)));
	if (want.logits) collect("logits", ({ logits }) => logits);
	if (want.losses) collect("losses", (piece) => losses(g, piece, targets));
	if (want.correct) collect("correct", ({ logits, rows }) => correct(g, logits, pieceTargets(g, rows, targets)));
	fuseEpilogues(g, new Set(outputs.values()));
	return plan(g, { kind: "body", layout, outputs });
}
