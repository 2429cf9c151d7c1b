/** Layer norm over the columns of each row, and its gradients. */
import {
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
	refuseGradient,
	type Shape,
	set,
	shapeOf,
	size,
	type Tensor,
} from "./common.ts";
import { columnSum } from "./reduce.ts";

export const layerNormOp = define({
	name: "layerNorm",
	formula: "y = (x - mean) / sqrt(var + eps) weight + bias; stats[r] = (mean, 1 / sqrt(var + eps))",
	inputs: ["x", "weight", "bias?"],
	outputs: ["y", "stats"],
	attributes: { eps: "float" },
	shape: ([x, weight, bias], { eps }) => {
		const [rows, cols] = shapeOf(x);
		expectShape("layerNorm", "weight", weight, 1, cols);
		expectShape("layerNorm", "bias", bias, 1, cols);
		expect(eps > 0, "layerNorm", "eps > 0", String(eps));
		return [f32(rows, cols), f32(rows, 2)];
	},
	gradient: (context) => {
		const { graph: g, node, wants } = context;
		refuseGradient(context, 1);
		const [x, weight] = present(node);
		const dy = gradientOf(context);
		const stats = node.outputs[1];
		return [
			wants(0) ? g.apply(layerNormGradOp, [dy, x, weight, stats, null])[0] : null,
			wants(1) ? g.apply(layerNormWeightGradOp, [dy, x, stats], { accumulate: 0 })[0] : null,
			wants(2) ? columnSum(g, dy) : null,
		];
	},
	flops: ([x, , bias]) => (bias ? 7 : 6) * size(x) + 3 * (x as Shape)[0],
	reference: (call) => {
		const {
			inputs: [x, weight, bias],
			outputs: [y, stats],
		} = operands<[Matrix, Matrix, Matrix | null], [Matrix, Matrix]>(call);
		for (let r = 0; r < x.rows; r++) {
			const mean = meanOf(x.cols, (c) => get(x, r, c));
			const variance = meanOf(x.cols, (c) => (get(x, r, c) - mean) ** 2);
			const rstd = 1 / Math.sqrt(variance + call.attributes.eps);
			for (let c = 0; c < x.cols; c++) {
				set(y, r, c, (get(x, r, c) - mean) * rstd * get(weight, 0, c) + (bias ? get(bias, 0, c) : 0));
			}
			set(stats, r, 0, mean);
			set(stats, r, 1, rstd);
		}
	},
	parts: ([x]) => (x as Shape)[0],
	cases: [
		{
			name: "one column",
			inputs: [
				[3, 1],
				[1, 1],
				[1, 1],
			],
			attributes: { eps: 0.1 },
		},
		{
			name: "5 x 37",
			inputs: [
				[5, 37],
				[1, 37],
				[1, 37],
			],
			attributes: { eps: 1e-5 },
		},
		{ name: "no bias", inputs: [[17, 66], [1, 66], null], attributes: { eps: 1e-5 } },
		{
			name: "far from zero",
			inputs: [[3, 19], [1, 19], null],
			attributes: { eps: 1e-5 },
			fill: (index, _i, random) => (index === 0 ? 50 + random() : undefined),
		},
	],
});

function meanOf(n: number, value: (index: number) => number): number {
	let sum = 0;
	for (let i = 0; i < n; i++) sum += value(i);
	return sum / n;
}

/** Means near 0 and positive rstd, as if the statistics came from some x. */
function statsAt(input: number): OpCase["fill"] {
	return (index, i, random) => (index !== input ? undefined : i % 2 === 0 ? random() - 0.5 : 0.5 + random());
}

export const layerNormGradOp = define({
	name: "layerNormGrad",
	formula: "n = (x - mean) rstd, u = dy weight; dx = rstd (u - mean(u) - n mean(u n)) + residual",
	inputs: ["dy", "x", "weight", "stats", "residual?"],
	outputs: ["dx"],
	attributes: {},
	shape: ([dy, x, weight, stats, residual]) => {
		const [rows, cols] = shapeOf(x);
		expectShape("layerNormGrad", "dy", dy, rows, cols);
		expectShape("layerNormGrad", "weight", weight, 1, cols);
		expectShape("layerNormGrad", "stats", stats, rows, 2);
		expectShape("layerNormGrad", "residual", residual, rows, cols);
		return [f32(rows, cols)];
	},
	flops: ([, x, , , residual]) => (residual ? 12 : 11) * size(x),
	reference: (call) => {
		const {
			inputs: [dy, x, weight, stats, residual],
			outputs: [dx],
		} = operands<[Matrix, Matrix, Matrix, Matrix, Matrix | null], [Matrix]>(call);
		for (let r = 0; r < x.rows; r++) {
			const mean = get(stats, r, 0);
			const rstd = get(stats, r, 1);
			const normal = (c: number) => (get(x, r, c) - mean) * rstd;
			const u = (c: number) => get(dy, r, c) * get(weight, 0, c);
			const meanU = meanOf(x.cols, u);
			const meanProduct = meanOf(x.cols, (c) => u(c) * normal(c));
			const row = Array.from({ length: x.cols }, (_, c) => rstd * (u(c) - meanU - normal(c) * meanProduct));
			row.forEach((value, c) => {
				set(dx, r, c, value + (residual ? get(residual, r, c) : 0));
			});
		}
	},
	inPlace: [
		[0, 0],
		[4, 0],
	],
	cases: [
		{ name: "one column", inputs: [[3, 1], [3, 1], [1, 1], [3, 2], null], fill: statsAt(3) },
		{
			name: "residual",
			inputs: [
				[5, 37],
				[5, 37],
				[1, 37],
				[5, 2],
				[5, 37],
			],
			fill: statsAt(3),
		},
		{ name: "17 x 66", inputs: [[17, 66], [17, 66], [1, 66], [17, 2], null], fill: statsAt(3) },
	],
});

export const layerNormWeightGradOp = define({
	name: "layerNormWeightGrad",
	formula: "dweight = sum over rows of dy (x - mean) rstd",
	inputs: ["dy", "x", "stats"],
	outputs: ["dweight"],
	attributes: { accumulate: "int" },
	shape: ([dy, x, stats]) => {
		const [rows, cols] = shapeOf(x);
		expectShape("layerNormWeightGrad", "dy", dy, rows, cols);
		expectShape("layerNormWeightGrad", "stats", stats, rows, 2);
		return [f32(1, cols)];
	},
	flops: ([, x]) => 4 * size(x),
	reference: (call) => {
		const {
			inputs: [dy, x, stats],
			outputs: [y],
		} = operands<[Matrix, Matrix, Matrix], [Matrix]>(call);
		const normal = (r: number, c: number) => (get(x, r, c) - get(stats, r, 0)) * get(stats, r, 1);
		fill(y, (_r, c) => x.rows * meanOf(x.rows, (r) => get(dy, r, c) * normal(r, c)), call.attributes.accumulate);
	},
	rowReduction: [0, 1, 2],
	cases: [
		{
			name: "one row",
			inputs: [
				[1, 5],
				[1, 5],
				[1, 2],
			],
			attributes: { accumulate: 0 },
			fill: statsAt(2),
		},
		{
			name: "35 x 37",
			inputs: [
				[35, 37],
				[35, 37],
				[35, 2],
			],
			attributes: { accumulate: 0 },
			fill: statsAt(2),
		},
		{
			name: "accumulate",
			inputs: [
				[6, 66],
				[6, 66],
				[6, 2],
			],
			attributes: { accumulate: 1 },
			fill: statsAt(2),
		},
	],
});

/** Each row of x (R x C) to mean 0 and variance 1, times `weight` (1 x C), plus `bias` (1 x C) if there is one. */
export function layerNorm(g: Graph, x: Tensor, weight: Tensor, bias: Tensor | null, eps: number): Tensor {
	return g.apply(layerNormOp, [x, weight, bias], { eps })[0];
}
