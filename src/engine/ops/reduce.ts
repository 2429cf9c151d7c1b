/** Sums over rows or over all elements, and their counterpart, a value spread over a matrix. */

import {
	define,
	expectAtLeast,
	expectShape,
	f32,
	fill,
	type Graph,
	get,
	gradientOf,
	type Matrix,
	operands,
	present,
	type Shape,
	shapeOf,
	size,
	type Tensor,
} from "./common.ts";
import { gather } from "./gather.ts";

export const columnSumOp = define({
	name: "columnSum",
	formula: "y[c] = sum over r of x[r, c]",
	inputs: ["x"],
	outputs: ["y"],
	attributes: { accumulate: "int" },
	shape: ([x]) => [f32(1, shapeOf(x)[1])],
	gradient: (context) => {
		const { graph: g, node } = context;
		const [rows] = present(node)[0].shape;
		return [gather(g, gradientOf(context), g.constant(new Int32Array(rows), [rows, 1]))]; // dy in every row
	},
	flops: ([x]) => size(x),
	reference: (call) => {
		const {
			inputs: [x],
			outputs: [y],
		} = operands<[Matrix], [Matrix]>(call);
		const column = (c: number) => {
			let sum = 0;
			for (let r = 0; r < x.rows; r++) sum += get(x, r, c);
			return sum;
		};
		fill(y, (_r, c) => column(c), call.attributes.accumulate);
	},
	rowReduction: [0],
	parts: (_inputs, [y]) => (y as Shape)[1],
	cases: [
		{ name: "1 x 1", inputs: [[1, 1]], attributes: { accumulate: 0 } },
		{ name: "7 x 37", inputs: [[7, 37]], attributes: { accumulate: 0 } },
		{ name: "33 x 5", inputs: [[33, 5]], attributes: { accumulate: 0 } },
		{ name: "accumulate", inputs: [[9, 66]], attributes: { accumulate: 1 } },
	],
});

export const sumOp = define({
	name: "sum",
	formula: "y = sum of x",
	inputs: ["x"],
	outputs: ["y"],
	attributes: { accumulate: "int" },
	shape: () => [f32(1, 1)],
	gradient: (context) => [broadcast(context.graph, gradientOf(context), present(context.node)[0].shape)],
	flops: ([x]) => size(x),
	reference: (call) => {
		const {
			inputs: [x],
			outputs: [y],
		} = operands<[Matrix], [Matrix]>(call);
		let sum = 0;
		for (let r = 0; r < x.rows; r++) for (let c = 0; c < x.cols; c++) sum += get(x, r, c);
		fill(y, () => sum, call.attributes.accumulate);
	},
	rowReduction: [0],
	cases: [
		{ name: "1 x 1", inputs: [[1, 1]], attributes: { accumulate: 0 } },
		{ name: "13 x 37", inputs: [[13, 37]], attributes: { accumulate: 0 } },
		{ name: "column", inputs: [[35, 1]], attributes: { accumulate: 0 } },
		{ name: "accumulate", inputs: [[3, 17]], attributes: { accumulate: 1 } },
	],
});

export const broadcastOp = define({
	name: "broadcast",
	formula: "y = s everywhere, s 1 x 1",
	inputs: ["s"],
	outputs: ["y"],
	attributes: {},
	shapeAttributes: ["rows", "cols"],
	shape: ([s], attributes) => {
		expectShape("broadcast", "s", s, 1, 1);
		expectAtLeast("broadcast", "rows", attributes, 1);
		expectAtLeast("broadcast", "cols", attributes, 1);
		return [f32(attributes.rows, attributes.cols)];
	},
	gradient: (context) => [sum(context.graph, gradientOf(context))],
	flops: () => 0,
	reference: (call) => {
		const {
			inputs: [s],
			outputs: [y],
		} = operands<[Matrix], [Matrix]>(call);
		fill(y, () => get(s, 0, 0));
	},
	cases: [
		{ name: "1 x 1", inputs: [[1, 1]], attributes: { rows: 1, cols: 1 } },
		{ name: "7 x 37", inputs: [[1, 1]], attributes: { rows: 7, cols: 37 } },
	],
});

/** Sum over the rows of x (R x C): 1 x C. */
export function columnSum(g: Graph, x: Tensor): Tensor {
	return g.apply(columnSumOp, [x], { accumulate: 0 })[0];
}

/** Sum of all elements: 1 x 1. */
export function sum(g: Graph, x: Tensor): Tensor {
	return g.apply(sumOp, [x], { accumulate: 0 })[0];
}

/** The value s (1 x 1) in every element of a matrix of the given shape. */
export function broadcast(g: Graph, s: Tensor, [rows, cols]: Shape): Tensor {
	return g.apply(broadcastOp, [s], { rows, cols })[0];
}
