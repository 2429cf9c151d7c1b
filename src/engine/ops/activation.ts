/** GELU (the exact form, with erf), ReLU and their gradients. */
import {
	type Call,
	define,
	expectShape,
	f32,
	fill,
	type Graph,
	get,
	gradientOf,
	type Matrix,
	type OpCase,
	operands,
	present,
	shapeOf,
	size,
	type Tensor,
} from "./common.ts";

/**
 * erf by its series 2/sqrt(pi) exp(-x^2) sum 2^n x^(2n+1) / (2n+1)!!, whose terms all have one sign, so it is good to the
 * last digits of a double.
 */
export function erf(x: number): number {
	if (Math.abs(x) > 6) return Math.sign(x);
	let term = x;
	let sum = x;
	for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
		term *= (2 * x * x) / (2 * n + 1);
		sum += term;
	}
	return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/** x Phi(x), Phi the distribution function of the normal law. */
export function geluOf(x: number): number {
	return 0.5 * x * (1 + erf(x * Math.SQRT1_2));
}

/** Phi(x) + x phi(x). */
export function geluSlope(x: number): number {
	return 0.5 * (1 + erf(x * Math.SQRT1_2)) + (x * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI);
}

const shapes: OpCase[] = [
	{ name: "1 x 1", inputs: [[1, 1]] },
	{ name: "3 x 37", inputs: [[3, 37]] },
	{ name: "17 x 64", inputs: [[17, 64]] },
	{ name: "large values", inputs: [[5, 19]], fill: (_index, i) => (i % 19) * 1.3 - 11.2 },
];
const gradientShapes = shapes.map((one) => ({ ...one, inputs: [one.inputs[0], one.inputs[0]] }));

function sameShape([x]: (Tensor | null)[]) {
	return [f32(...shapeOf(x))];
}

function gradientShape(name: string) {
	return ([x, dy]: (Tensor | null)[]) => {
		expectShape(name, "dy", dy, ...shapeOf(x));
		return [f32(...shapeOf(x))];
	};
}

function unary(f: (x: number) => number) {
	return (call: Call) => {
		const {
			inputs: [x],
			outputs: [y],
		} = operands<[Matrix], [Matrix]>(call);
		fill(y, (r, c) => f(get(x, r, c)));
	};
}

function slope(f: (x: number) => number) {
	return (call: Call) => {
		const {
			inputs: [x, dy],
			outputs: [dx],
		} = operands<[Matrix, Matrix], [Matrix]>(call);
		fill(dx, (r, c) => get(dy, r, c) * f(get(x, r, c)));
	};
}

export const geluOp = define({
	name: "gelu",
	formula: "y = x/2 (1 + erf(x / sqrt 2))",
	inputs: ["x"],
	outputs: ["y"],
	attributes: {},
	shape: sameShape,
	gradient: (context) => [geluGrad(context.graph, present(context.node)[0], gradientOf(context))],
	flops: ([x]) => 5 * size(x),
	reference: unary(geluOf),
	inPlace: [[0, 0]],
	cases: shapes,
});

export const geluGradOp = define({
	name: "geluGrad",
	formula: "dx = dy (Phi(x) + x phi(x))",
	inputs: ["x", "dy"],
	outputs: ["dx"],
	attributes: {},
	shape: gradientShape("geluGrad"),
	flops: ([x]) => 10 * size(x),
	reference: slope(geluSlope),
	inPlace: [
		[0, 0],
		[1, 0],
	],
	cases: gradientShapes,
});

export const reluOp = define({
	name: "relu",
	formula: "y = max(x, 0)",
	inputs: ["x"],
	outputs: ["y"],
	attributes: {},
	shape: sameShape,
	// The output has the sign that counts, so the input need not be kept.
	gradient: (context) => [reluGrad(context.graph, context.node.outputs[0], gradientOf(context))],
	flops: ([x]) => size(x),
	reference: unary((x) => (x > 0 ? x : 0)),
	inPlace: [[0, 0]],
	cases: shapes,
});

export const reluGradOp = define({
	name: "reluGrad",
	formula: "dx = dy where x > 0, else 0 (x: relu's input or output)",
	inputs: ["x", "dy"],
	outputs: ["dx"],
	attributes: {},
	shape: gradientShape("reluGrad"),
	flops: ([x]) => size(x),
	reference: slope((x) => (x > 0 ? 1 : 0)),
	inPlace: [
		[0, 0],
		[1, 0],
	],
	cases: gradientShapes,
});

/** y = x/2 (1 + erf(x / sqrt 2)), element by element. */
export function gelu(g: Graph, x: Tensor): Tensor {
	return g.apply(geluOp, [x])[0];
}

/** dy times the slope of gelu at x. */
export function geluGrad(g: Graph, x: Tensor, dy: Tensor): Tensor {
	return g.apply(geluGradOp, [x, dy])[0];
}

/** max(x, 0), element by element. */
export function relu(g: Graph, x: Tensor): Tensor {
	return g.apply(reluOp, [x])[0];
}

/** dy where x > 0, else 0; x may be the input or the output of relu. */
export function reluGrad(g: Graph, x: Tensor, dy: Tensor): Tensor {
	return g.apply(reluGradOp, [x, dy])[0];
}
