/** Softmax, the cross-entropy of targets with ignored positions, and accuracy. */
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
	refuseGradient,
	type Shape,
	set,
	shapeOf,
	size,
	type Tensor,
} from "./common.ts";

/** Log of the sum of exponentials of row r. */
function logSumExp(x: Matrix, r: number): number {
	let largest = Number.NEGATIVE_INFINITY;
	for (let c = 0; c < x.cols; c++) largest = Math.max(largest, get(x, r, c));
	let sum = 0;
	for (let c = 0; c < x.cols; c++) sum += Math.exp(get(x, r, c) - largest);
	return largest + Math.log(sum);
}

const sizes: Shape[] = [
	[1, 1],
	[7, 37],
	[18, 65],
];

/** Targets in range, every third one ignored, logits of some size. */
function targetsOf(classes: number): OpCase["fill"] {
	return (index, i, random) => {
		if (index === 0) return 8 * (random() - 0.5);
		if (index === 1) return i % 3 === 2 ? -1 : Math.floor(random() * classes);
		return undefined;
	};
}

const cases: OpCase[] = sizes.map(([rows, classes]) => ({
	name: `${rows} x ${classes}`,
	inputs: [
		[rows, classes],
		[rows, 1],
	],
	fill: targetsOf(classes),
}));

export const softmaxOp = define({
	name: "softmax",
	formula: "y[r] = exp(x[r]) / sum of exp(x[r])",
	inputs: ["x"],
	outputs: ["y"],
	attributes: {},
	shape: ([x]) => [f32(...shapeOf(x))],
	flops: ([x]) => 4 * size(x),
	reference: (call) => {
		const {
			inputs: [x],
			outputs: [y],
		} = operands<[Matrix], [Matrix]>(call);
		const totals = Array.from({ length: x.rows }, (_, r) => logSumExp(x, r));
		fill(y, (r, c) => Math.exp(get(x, r, c) - totals[r]));
	},
	inPlace: [[0, 0]],
	cases: [
		...sizes.map((shape) => ({ name: shape.join(" x "), inputs: [shape] })),
		{ name: "large values", inputs: [[3, 19]], fill: (_index, i) => 90 * ((i % 5) - 2) },
	],
});

export const crossEntropyOp = define({
	name: "crossEntropy",
	formula: "lse[r] = log sum of exp(logits[r]); nll[r] = lse[r] - logits[r, target], 0 where target < 0",
	inputs: ["logits", "targets"],
	outputs: ["nll", "lse"],
	attributes: {},
	i32Inputs: [1],
	shape: ([logits, targets]) => {
		const [rows] = shapeOf(logits);
		expectShape("crossEntropy", "targets", targets, rows, 1);
		return [f32(rows, 1), f32(rows, 1)];
	},
	gradient: (context) => {
		const { graph: g, node, wants } = context;
		refuseGradient(context, 1);
		const [logits, targets] = present(node);
		const inputs = [logits, targets, node.outputs[1], gradientOf(context)];
		return [wants(0) ? g.apply(crossEntropyGradOp, inputs)[0] : null, null];
	},
	flops: ([logits]) => 3 * size(logits),
	reference: (call) => {
		const {
			inputs: [logits, targets],
			outputs: [nll, lse],
		} = operands<[Matrix, Matrix], [Matrix, Matrix]>(call);
		for (let r = 0; r < logits.rows; r++) {
			const total = logSumExp(logits, r);
			const target = get(targets, r, 0);
			set(nll, r, 0, target < 0 ? 0 : total - get(logits, r, target));
			set(lse, r, 0, total);
		}
	},
	cases,
});

export const crossEntropyGradOp = define({
	name: "crossEntropyGrad",
	formula: "dlogits[r] = (softmax(logits[r]) - onehot(target)) dnll[r], 0 where target < 0",
	inputs: ["logits", "targets", "lse", "dnll"],
	outputs: ["dlogits"],
	attributes: {},
	i32Inputs: [1],
	shape: ([logits, targets, lse, dnll]) => {
		const [rows, classes] = shapeOf(logits);
		expectShape("crossEntropyGrad", "targets", targets, rows, 1);
		expectShape("crossEntropyGrad", "lse", lse, rows, 1);
		expectShape("crossEntropyGrad", "dnll", dnll, rows, 1);
		return [f32(rows, classes)];
	},
	flops: ([logits]) => 4 * size(logits),
	reference: (call: Call) => {
		const {
			inputs: [logits, targets, lse, dnll],
			outputs: [dlogits],
		} = operands<[Matrix, Matrix, Matrix, Matrix], [Matrix]>(call);
		fill(dlogits, (r, c) => {
			const target = get(targets, r, 0);
			if (target < 0) return 0;
			return (Math.exp(get(logits, r, c) - get(lse, r, 0)) - (c === target ? 1 : 0)) * get(dnll, r, 0);
		});
	},
	inPlace: [[0, 0]],
	cases: cases.map(({ name, inputs, fill: targets }) => ({
		name,
		inputs: [...inputs, [inputs[0]?.[0] ?? 1, 1], [inputs[0]?.[0] ?? 1, 1]],
		// A lse of the order of what such logits have.
		fill: (index, i, random) => (index === 2 ? 4 + random() : targets?.(index, i, random)),
	})),
});

export const correctOp = define({
	name: "correct",
	formula: "y[r] = 1 where the first largest logit of row r is the target, else 0",
	inputs: ["logits", "targets"],
	outputs: ["y"],
	attributes: {},
	i32Inputs: [1],
	shape: ([logits, targets]) => {
		const [rows] = shapeOf(logits);
		expectShape("correct", "targets", targets, rows, 1);
		return [f32(rows, 1)];
	},
	flops: ([logits]) => size(logits),
	reference: (call) => {
		const {
			inputs: [logits, targets],
			outputs: [y],
		} = operands<[Matrix, Matrix], [Matrix]>(call);
		for (let r = 0; r < logits.rows; r++) {
			let best = 0;
			for (let c = 1; c < logits.cols; c++) if (get(logits, r, c) > get(logits, r, best)) best = c;
			set(y, r, 0, best === get(targets, r, 0) ? 1 : 0);
		}
	},
	cases: [
		...cases,
		{
			// Four classes of few different values, so that the first of several largest must be taken.
			name: "ties",
			inputs: [
				[40, 4],
				[40, 1],
			],
			fill: (index, i, random) => (index === 0 ? Math.floor(random() * 2) : (i % 5) - 1),
		},
	],
});

/** Each row of x to positive numbers of sum 1. Not differentiable: the loss is crossEntropy. */
export function softmax(g: Graph, x: Tensor): Tensor {
	return g.apply(softmaxOp, [x])[0];
}

/**
 * Negative log-likelihood of each row's target under softmax(logits), 0 where the target is negative, and the rows' log-sum-exp.
 * logits: n x classes; targets: n x 1 of i32, below the number of classes. Both results are n x 1; only nll has a gradient.
 */
export function crossEntropy(g: Graph, logits: Tensor, targets: Tensor): { nll: Tensor; lse: Tensor } {
	const [nll, lse] = g.apply(crossEntropyOp, [logits, targets]);
	return { nll, lse };
}

/** 1 where the first largest logit of a row is its target, else 0: n x 1. */
export function correct(g: Graph, logits: Tensor, targets: Tensor): Tensor {
	return g.apply(correctOp, [logits, targets])[0];
}
