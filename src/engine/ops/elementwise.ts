/** Sums, products and scalings element by element, and `dot`, whose gradient is a scaling and theirs a dot. Other sums over elements: reduce.ts; rows, columns and pieces: views.ts. */
import {
	type Call,
	define,
	expect,
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
	type Shape,
	shapeOf,
	size,
	type Tensor,
} from "./common.ts";
import { columnSum } from "./reduce.ts";

const sizes: Shape[] = [
	[1, 1],
	[3, 37],
	[17, 64],
];
const rowsOf = (_inputs: (Shape | null)[], [y]: (Shape | null)[]) => (y as Shape)[0];

function casesOf(inputs: (shape: Shape) => Shape[], attributes?: Record<string, number>): OpCase[] {
	return sizes.map((shape) => ({ name: shape.join(" x "), inputs: inputs(shape), attributes }));
}

/** The shape rule of two operands of one shape. */
function sameShape(op: string) {
	return ([a, b]: (Tensor | null)[]) => {
		expectShape(op, "b", b, ...shapeOf(a));
		return [f32(...shapeOf(a))];
	};
}

function binary(f: (a: number, b: number) => number) {
	return (call: Call) => {
		const {
			inputs: [a, b],
			outputs: [y],
		} = operands<[Matrix, Matrix], [Matrix]>(call);
		fill(y, (r, c) => f(get(a, r, c), get(b, r, c)));
	};
}

const pair = {
	inputs: ["a", "b"],
	outputs: ["y"],
	attributes: {},
	flops: ([a]: (Shape | null)[]) => size(a),
	inPlace: [
		[0, 0],
		[1, 0],
	],
	parts: rowsOf,
	cases: casesOf((shape) => [shape, shape]),
} as const;

export const addOp = define({
	...pair,
	name: "add",
	formula: "y = a + b",
	shape: sameShape("add"),
	gradient: (context) => [gradientOf(context), gradientOf(context)],
	reference: binary((a, b) => a + b),
});

export const subOp = define({
	...pair,
	name: "sub",
	formula: "y = a - b",
	shape: sameShape("sub"),
	gradient: (context) => {
		const dy = gradientOf(context);
		return [dy, context.wants(1) ? scale(context.graph, dy, -1) : null];
	},
	reference: binary((a, b) => a - b),
});

export const mulOp = define({
	...pair,
	name: "mul",
	formula: "y = a b, element by element",
	shape: sameShape("mul"),
	gradient: (context) => {
		const { graph: g, node, wants } = context;
		const [a, b] = present(node);
		const dy = gradientOf(context);
		return [wants(0) ? mul(g, dy, b) : null, wants(1) ? mul(g, dy, a) : null];
	},
	reference: binary((a, b) => a * b),
});

export const addRowOp = define({
	name: "addRow",
	formula: "y[r] = x[r] + row",
	inputs: ["x", "row"],
	outputs: ["y"],
	attributes: {},
	shape: ([x, row]) => {
		expectShape("addRow", "row", row, 1, shapeOf(x)[1]);
		return [f32(...shapeOf(x))];
	},
	gradient: (context) => {
		const dy = gradientOf(context);
		return [dy, context.wants(1) ? columnSum(context.graph, dy) : null];
	},
	flops: ([x]) => size(x),
	reference: (call) => {
		const {
			inputs: [x, row],
			outputs: [y],
		} = operands<[Matrix, Matrix], [Matrix]>(call);
		fill(y, (r, c) => get(x, r, c) + get(row, 0, c));
	},
	inPlace: [[0, 0]],
	parts: rowsOf,
	cases: casesOf((shape) => [shape, [1, shape[1]]]),
});

export const scaleOp = define({
	name: "scale",
	formula: "y = c x",
	inputs: ["x"],
	outputs: ["y"],
	attributes: { c: "float" },
	shape: ([x]) => [f32(...shapeOf(x))],
	gradient: (context) => [scale(context.graph, gradientOf(context), context.node.attributes.c)],
	flops: ([x]) => size(x),
	reference: (call) => {
		const {
			inputs: [x],
			outputs: [y],
		} = operands<[Matrix], [Matrix]>(call);
		fill(y, (r, c) => call.attributes.c * get(x, r, c));
	},
	inPlace: [[0, 0]],
	cases: casesOf((shape) => [shape], { c: -1.75 }),
});

export const dotOp = define({
	name: "dot",
	formula: "y = sum of a b",
	inputs: ["a", "b"],
	outputs: ["y"],
	attributes: { accumulate: "int" },
	shape: ([a, b]) => {
		expectShape("dot", "b", b, ...shapeOf(a));
		return [f32(1, 1)];
	},
	gradient: (context) => {
		const { graph: g, node, wants } = context;
		const [a, b] = present(node);
		const dy = gradientOf(context);
		return [wants(0) ? scaleBy(g, dy, b) : null, wants(1) ? scaleBy(g, dy, a) : null];
	},
	flops: ([a]) => 2 * size(a),
	reference: (call) => {
		const {
			inputs: [a, b],
			outputs: [y],
		} = operands<[Matrix, Matrix], [Matrix]>(call);
		let sum = 0;
		for (let r = 0; r < a.rows; r++) for (let c = 0; c < a.cols; c++) sum += get(a, r, c) * get(b, r, c);
		fill(y, () => sum, call.attributes.accumulate);
	},
	rowReduction: [0, 1],
	cases: [
		{
			name: "1 x 1",
			inputs: [
				[1, 1],
				[1, 1],
			],
			attributes: { accumulate: 0 },
		},
		{
			name: "13 x 37",
			inputs: [
				[13, 37],
				[13, 37],
			],
			attributes: { accumulate: 0 },
		},
		{
			name: "accumulate",
			inputs: [
				[3, 17],
				[3, 17],
			],
			attributes: { accumulate: 1 },
		},
	],
});

export const scaleByOp = define({
	name: "scaleBy",
	formula: "y = s x, s 1 x 1",
	inputs: ["s", "x"],
	outputs: ["y"],
	attributes: {},
	shape: ([s, x]) => {
		expectShape("scaleBy", "s", s, 1, 1);
		return [f32(...shapeOf(x))];
	},
	gradient: (context) => {
		const { graph: g, node, wants } = context;
		const [s, x] = present(node);
		const dy = gradientOf(context);
		return [wants(0) ? dot(g, dy, x) : null, wants(1) ? scaleBy(g, s, dy) : null];
	},
	flops: ([, x]) => size(x),
	reference: (call) => {
		const {
			inputs: [s, x],
			outputs: [y],
		} = operands<[Matrix, Matrix], [Matrix]>(call);
		fill(y, (r, c) => get(s, 0, 0) * get(x, r, c));
	},
	inPlace: [[1, 0]],
	cases: casesOf((shape) => [[1, 1], shape]),
});

export const addScaledOp = define({
	name: "addScaled",
	formula: "y = s x + y0, s 1 x 1",
	inputs: ["s", "x", "y0"],
	outputs: ["y"],
	attributes: {},
	shape: ([s, x, y0]) => {
		expectShape("addScaled", "s", s, 1, 1);
		expectShape("addScaled", "y0", y0, ...shapeOf(x));
		return [f32(...shapeOf(x))];
	},
	gradient: (context) => {
		const { graph: g, node, wants } = context;
		const [s, x] = present(node);
		const dy = gradientOf(context);
		return [wants(0) ? dot(g, dy, x) : null, wants(1) ? scaleBy(g, s, dy) : null, dy];
	},
	flops: ([, x]) => 2 * size(x),
	reference: (call) => {
		const {
			inputs: [s, x, y0],
			outputs: [y],
		} = operands<[Matrix, Matrix, Matrix], [Matrix]>(call);
		fill(y, (r, c) => get(s, 0, 0) * get(x, r, c) + get(y0, r, c));
	},
	inPlace: [
		[1, 0],
		[2, 0],
	],
	parts: rowsOf,
	cases: casesOf((shape) => [[1, 1], shape, shape]),
});

export const lerpOp = define({
	name: "lerp",
	formula: "y = a + t (b - a), t 1 x 1",
	inputs: ["a", "b", "t"],
	outputs: ["y"],
	attributes: {},
	shape: ([a, b, t]) => {
		expectShape("lerp", "b", b, ...shapeOf(a));
		expectShape("lerp", "t", t, 1, 1);
		return [f32(...shapeOf(a))];
	},
	gradient: (context) => {
		const { graph: g, node, wants } = context;
		const [a, b, t] = present(node);
		const dy = gradientOf(context);
		const db = wants(0) || wants(1) ? scaleBy(g, t, dy) : null;
		return [wants(0) ? sub(g, dy, db as Tensor) : null, db, wants(2) ? dot(g, dy, sub(g, b, a)) : null];
	},
	flops: ([a]) => 3 * size(a),
	reference: (call) => {
		const {
			inputs: [a, b, t],
			outputs: [y],
		} = operands<[Matrix, Matrix, Matrix], [Matrix]>(call);
		fill(y, (r, c) => get(a, r, c) + get(t, 0, 0) * (get(b, r, c) - get(a, r, c)));
	},
	inPlace: [
		[0, 0],
		[1, 0],
	],
	cases: casesOf((shape) => [shape, shape, [1, 1]]),
});

/** Values on a grid that meets neither bound of the cases, where the slope would not exist. */
const clampFill: OpCase["fill"] = (index, i) => (index === 0 ? ((i * 7) % 11) * 0.31 - 1.2 : undefined);
const bounds = { lo: -0.5, hi: 1 };

function expectBounds(op: string, { lo, hi }: Readonly<Record<string, number>>): void {
	expect(lo <= hi, op, "lo <= hi", `${lo} and ${hi}`);
}

export const clampOp = define({
	name: "clamp",
	formula: "y = min(max(x, lo), hi)",
	inputs: ["x"],
	outputs: ["y"],
	attributes: { lo: "float", hi: "float" },
	shape: ([x], attributes) => {
		expectBounds("clamp", attributes);
		return [f32(...shapeOf(x))];
	},
	gradient: (context) => [
		context.graph.apply(clampGradOp, [present(context.node)[0], gradientOf(context)], context.node.attributes)[0],
	],
	flops: ([x]) => 2 * size(x),
	reference: (call) => {
		const {
			inputs: [x],
			outputs: [y],
		} = operands<[Matrix], [Matrix]>(call);
		fill(y, (r, c) => Math.min(Math.max(get(x, r, c), call.attributes.lo), call.attributes.hi));
	},
	inPlace: [[0, 0]],
	cases: casesOf((shape) => [shape], bounds).map((one) => ({ ...one, fill: clampFill })),
});

export const clampGradOp = define({
	name: "clampGrad",
	formula: "dx = dy where lo <= x <= hi, else 0",
	inputs: ["x", "dy"],
	outputs: ["dx"],
	attributes: { lo: "float", hi: "float" },
	shape: ([x, dy], attributes) => {
		expectBounds("clampGrad", attributes);
		expectShape("clampGrad", "dy", dy, ...shapeOf(x));
		return [f32(...shapeOf(x))];
	},
	flops: ([x]) => 2 * size(x),
	reference: (call) => {
		const {
			inputs: [x, dy],
			outputs: [dx],
		} = operands<[Matrix, Matrix], [Matrix]>(call);
		const { lo, hi } = call.attributes;
		fill(dx, (r, c) => (get(x, r, c) >= lo && get(x, r, c) <= hi ? get(dy, r, c) : 0));
	},
	inPlace: [
		[0, 0],
		[1, 0],
	],
	cases: casesOf((shape) => [shape, shape], bounds).map((one) => ({ ...one, fill: clampFill })),
});

export const copyOp = define({
	name: "copy",
	formula: "y = x",
	inputs: ["x"],
	outputs: ["y"],
	attributes: { accumulate: "int" },
	anyType: [0],
	shape: ([x], { accumulate }) => {
		const dtype = (x as Tensor).dtype;
		expect(!(accumulate && dtype === "i32"), "copy", "x of type f32 to accumulate", dtype);
		return [{ shape: shapeOf(x), dtype }];
	},
	gradient: (context) => [gradientOf(context)],
	flops: ([x], _outputs, { accumulate }) => accumulate * size(x),
	reference: (call) => {
		const {
			inputs: [x],
			outputs: [y],
		} = operands<[Matrix], [Matrix]>(call);
		fill(y, (r, c) => get(x, r, c), call.attributes.accumulate);
	},
	parts: rowsOf,
	cases: [
		...casesOf((shape) => [shape], { accumulate: 0 }),
		{ name: "accumulate", inputs: [[5, 19]], attributes: { accumulate: 1 } },
	],
});

/** a + b, of one shape. */
export function add(g: Graph, a: Tensor, b: Tensor): Tensor {
	return g.apply(addOp, [a, b])[0];
}

/** a - b, of one shape. */
export function sub(g: Graph, a: Tensor, b: Tensor): Tensor {
	return g.apply(subOp, [a, b])[0];
}

/** a times b, element by element, of one shape. */
export function mul(g: Graph, a: Tensor, b: Tensor): Tensor {
	return g.apply(mulOp, [a, b])[0];
}

/** x (R x C) with `row` (1 x C) added to every row. */
export function addRow(g: Graph, x: Tensor, row: Tensor): Tensor {
	return g.apply(addRowOp, [x, row])[0];
}

/** x times a number known now. */
export function scale(g: Graph, x: Tensor, c: number): Tensor {
	return g.apply(scaleOp, [x], { c })[0];
}

/** x times the value s (1 x 1). */
export function scaleBy(g: Graph, s: Tensor, x: Tensor): Tensor {
	return g.apply(scaleByOp, [s, x])[0];
}

/** s x + y, s a value of 1 x 1. */
export function addScaled(g: Graph, s: Tensor, x: Tensor, y: Tensor): Tensor {
	return g.apply(addScaledOp, [s, x, y])[0];
}

/** a + t (b - a), t a value of 1 x 1. */
export function lerp(g: Graph, a: Tensor, b: Tensor, t: Tensor): Tensor {
	return g.apply(lerpOp, [a, b, t])[0];
}

/** x held between two numbers; its gradient is zero outside them. */
export function clamp(g: Graph, x: Tensor, lo: number, hi: number): Tensor {
	return g.apply(clampOp, [x], { lo, hi })[0];
}

/** The same words in a place of their own; with `accumulate`, added to what that place holds (f32 only). */
export function copy(g: Graph, x: Tensor, options: { accumulate?: boolean } = {}): Tensor {
	return g.apply(copyOp, [x], { accumulate: Number(options.accumulate ?? false) })[0];
}

/** Sum of all products of elements of a and b (one shape): 1 x 1. */
export function dot(g: Graph, a: Tensor, b: Tensor): Tensor {
	return g.apply(dotOp, [a, b], { accumulate: 0 })[0];
}
