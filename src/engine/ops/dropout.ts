/** Dropout of matrix elements, drawn from the counter of docs/engine.md; dropout of attention weights is in attention.ts. */
import { dropoutRow, placeOfRow } from "../random.ts";
import {
	define,
	expect,
	expectAtLeast,
	f32,
	type Graph,
	get,
	gradientOf,
	type Matrix,
	type OpCase,
	operands,
	type Shape,
	set,
	shapeOf,
	size,
	type Tensor,
} from "./common.ts";

function caseOf(name: string, shape: Shape, p: number, rowsPerSequence: number, sequences: number): OpCase {
	return { name, inputs: [shape], attributes: { p, dropoutId: 7, rowsPerSequence, sequences } };
}

export const dropoutOp = define({
	name: "dropout",
	formula: "y = x m, m = 0 with probability p, else 1 / (1 - p)",
	inputs: ["x"],
	outputs: ["y"],
	attributes: { p: "float", dropoutId: "int", rowsPerSequence: "int", sequences: "int" },
	shape: ([x], attributes) => {
		const { p } = attributes;
		expect(p >= 0 && p <= 1, "dropout", "p in [0, 1]", String(p));
		expectAtLeast("dropout", "rowsPerSequence", attributes, 1);
		expectAtLeast("dropout", "sequences", attributes, 1);
		return [f32(...shapeOf(x))];
	},
	// The same id draws the same mask again.
	gradient: (context) => [context.graph.apply(dropoutOp, [gradientOf(context)], context.node.attributes)[0]],
	flops: ([x]) => size(x),
	reference: (call) => {
		const {
			inputs: [x],
			outputs: [y],
		} = operands<[Matrix], [Matrix]>(call);
		const { p, dropoutId, rowsPerSequence, sequences } = call.attributes;
		for (let r = 0; r < x.rows; r++) {
			const place = placeOfRow(r, rowsPerSequence, sequences, call.firstSequence);
			const mask = dropoutRow({ ...call, ...place, dropoutId }, x.cols, p);
			for (let c = 0; c < x.cols; c++) set(y, r, c, get(x, r, c) * mask[c]);
		}
	},
	inPlace: [[0, 0]],
	cases: [
		caseOf("1 x 1", [1, 1], 0.5, 1, 1),
		caseOf("groups of sequences", [24, 37], 0.2, 4, 3),
		caseOf("ragged last group", [17, 65], 0.7, 5, 2),
		caseOf("p = 0", [3, 19], 0, 1, 3),
		caseOf("p = 1", [3, 6], 1, 1, 3),
	],
});

/** Probability and place of a dropout: which rows belong to which sequence (docs/engine.md, "Random numbers"). */
export interface DropoutOptions {
	/** Probability of zero. */
	p: number;
	/** Rows of one sequence that stand together, and sequences of the micro-batch: rows are group-major (docs/engine.md). */
	rowsPerSequence: number;
	sequences: number;
}

/** x with elements dropped at random and the rest scaled up to keep the mean; x itself when p = 0. */
export function dropout(g: Graph, x: Tensor, { p, rowsPerSequence, sequences }: DropoutOptions): Tensor {
	if (p === 0) return x;
	return g.apply(dropoutOp, [x], { p, dropoutId: g.nextDropout(), rowsPerSequence, sequences })[0];
}
