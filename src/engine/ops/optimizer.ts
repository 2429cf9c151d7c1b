/** The optimiser's step over flat buffers, for update programs: gradient norm, clipping, Adam and AdamW, the weights' moving average. */
import {
	define,
	expect,
	expectAtLeast,
	expectShape,
	f32,
	type Graph,
	get,
	type Matrix,
	type OpCase,
	operands,
	type Shape,
	set,
	shapeOf,
	size,
	type Tensor,
} from "./common.ts";

export const squareSumOp = define({
	name: "squareSum",
	formula: "partials[p] = sum of x^2 over columns [floor(n p / parts), floor(n (p + 1) / parts))",
	inputs: ["x"],
	outputs: ["partials"],
	attributes: {},
	shapeAttributes: ["parts"],
	shape: ([x], attributes) => {
		const [rows, cols] = shapeOf(x);
		expect(rows === 1, "squareSum", "x of one row", `${rows} x ${cols}`);
		expectAtLeast("squareSum", "parts", attributes, 1);
		return [f32(1, attributes.parts)];
	},
	flops: ([x]) => 2 * size(x),
	reference: (call) => {
		const {
			inputs: [x],
			outputs: [partials],
		} = operands<[Matrix], [Matrix]>(call);
		const parts = partials.cols;
		for (let part = 0; part < parts; part++) {
			let sum = 0;
			for (let c = Math.floor((x.cols * part) / parts); c < Math.floor((x.cols * (part + 1)) / parts); c++)
				sum += get(x, 0, c) ** 2;
			set(partials, 0, part, sum);
		}
	},
	parts: (_inputs, [partials]) => (partials as Shape)[1],
	exactParts: true,
	cases: [
		{ name: "one", inputs: [[1, 1]], attributes: { parts: 1 } },
		{ name: "one part", inputs: [[1, 137]], attributes: { parts: 1 } },
		{ name: "five parts", inputs: [[1, 137]], attributes: { parts: 5 } },
		{ name: "more parts than columns", inputs: [[1, 3]], attributes: { parts: 4 } },
	],
});

function clipCase(name: string, parts: number, { max, scale = 1 }: Record<string, number>): OpCase {
	const fill: OpCase["fill"] = (index, _i, random) => (index === 1 ? 0 : scale * random());
	return {
		name,
		inputs: [
			[1, parts],
			[1, 1],
		],
		attributes: { max },
		fill,
	};
}

export const clipFactorOp = define({
	name: "clipFactor",
	formula:
		"norm = sqrt(sum of partials); y = (min(1, max / (norm + 1e-6)), norm); factor 1 where max <= 0, NaN where the norm is not finite " +
		"or `halted` is not 0; halted = 1 where the factor is NaN",
	inputs: ["partials", "halted"],
	outputs: ["y", "halted"],
	attributes: { max: "float" },
	shape: ([partials, halted]) => {
		const [rows, cols] = shapeOf(partials);
		expect(rows === 1, "clipFactor", "partials of one row", `${rows} x ${cols}`);
		expectShape("clipFactor", "halted", halted, 1, 1);
		return [f32(1, 2), f32(1, 1)];
	},
	flops: ([partials]) => size(partials) + 4,
	reference: (call) => {
		const {
			inputs: [partials, halted],
			outputs: [y, haltedNew],
		} = operands<[Matrix, Matrix], [Matrix, Matrix]>(call);
		const { max } = call.attributes;
		let sum = 0;
		for (let c = 0; c < partials.cols; c++) sum += get(partials, 0, c);
		const norm = Math.sqrt(sum);
		const factor = max > 0 ? Math.min(1, max / (norm + 1e-6)) : 1;
		const updates = Number.isFinite(norm) && get(halted, 0, 0) === 0;
		set(y, 0, 0, updates ? factor : Number.NaN);
		set(y, 0, 1, norm);
		set(haltedNew, 0, 0, updates ? 0 : 1);
	},
	updates: [[1, 1]],
	cases: [
		clipCase("clipped", 5, { max: 0.5 }),
		clipCase("not clipped", 1, { max: 5 }),
		clipCase("off", 3, { max: 0, scale: 40 }),
	],
});

/** Positions of the words of `hyper`. */
export const hyperWords = {
	rate: 0,
	beta1: 1,
	beta2: 2,
	eps: 3,
	correction1: 4,
	correction2: 5,
	decay: 6,
	averageRate: 7,
	size: 8,
} as const;

const hyperCase = [1e-2, 0.9, 0.95, 1e-8, 1 - 0.9 ** 3, 1 - 0.95 ** 3, 0.1, 0.3];

function adamCase(n: number, decay: number): OpCase {
	const row: Shape = [1, n];
	return {
		name: `${n} words, decay ${decay}`,
		inputs: [row, row, row, row, [1, hyperWords.size], [1, 2]],
		attributes: { decay },
		fill: (index, i, random) => {
			if (index === 3) return random(); // second moments are positive
			if (index === 4) return hyperCase[i];
			return index === 5 ? 0.7 : undefined;
		},
	};
}

export const adamOp = define({
	name: "adam",
	formula:
		"g' = g clip; p -= rate weightDecay decay p; m, v: means of g', g'^2; p -= rate (m / bc1) / (sqrt(v / bc2) + eps); nothing changes where clip is NaN",
	inputs: ["p", "g", "m", "v", "hyper", "clip"],
	outputs: ["p", "m", "v"],
	attributes: { decay: "float" },
	shape: ([p, g, m, v, hyper, clip]) => {
		const [rows, cols] = shapeOf(p);
		expect(rows === 1, "adam", "p of one row", `${rows} x ${cols}`);
		expectShape("adam", "g", g, 1, cols);
		expectShape("adam", "m", m, 1, cols);
		expectShape("adam", "v", v, 1, cols);
		expectShape("adam", "hyper", hyper, 1, hyperWords.size);
		expectShape("adam", "clip", clip, 1, 2);
		return [f32(1, cols), f32(1, cols), f32(1, cols)];
	},
	flops: ([p]) => 16 * size(p),
	reference: (call) => {
		const {
			inputs: [p, g, m, v, hyper, clip],
			outputs: [pNew, mNew, vNew],
		} = operands<[Matrix, Matrix, Matrix, Matrix, Matrix, Matrix], [Matrix, Matrix, Matrix]>(call);
		const [rate, beta1, beta2, eps, correction1, correction2, weightDecay] = Array.from({ length: 7 }, (_, i) =>
			get(hyper, 0, i),
		);
		if (Number.isNaN(get(clip, 0, 0))) return;
		for (let c = 0; c < p.cols; c++) {
			const gradient = get(g, 0, c) * get(clip, 0, 0);
			const mean = beta1 * get(m, 0, c) + (1 - beta1) * gradient;
			const square = beta2 * get(v, 0, c) + (1 - beta2) * gradient ** 2;
			const decayed = get(p, 0, c) * (1 - rate * weightDecay * call.attributes.decay);
			set(pNew, 0, c, decayed - (rate * (mean / correction1)) / (Math.sqrt(square / correction2) + eps));
			set(mNew, 0, c, mean);
			set(vNew, 0, c, square);
		}
	},
	updates: [
		[0, 0],
		[2, 1],
		[3, 2],
	],
	parts: ([p]) => (p as Shape)[1],
	cases: [adamCase(1, 0), adamCase(37, 1), adamCase(130, 0), adamCase(66, 0.5)],
});

export const movingAverageOp = define({
	name: "movingAverage",
	formula: "average += (p - average) averageRate; nothing changes where clip is NaN",
	inputs: ["average", "p", "hyper", "clip"],
	outputs: ["average"],
	attributes: {},
	shape: ([average, p, hyper, clip]) => {
		const [rows, cols] = shapeOf(average);
		expect(rows === 1, "movingAverage", "average of one row", `${rows} x ${cols}`);
		expectShape("movingAverage", "p", p, 1, cols);
		expectShape("movingAverage", "hyper", hyper, 1, hyperWords.size);
		expectShape("movingAverage", "clip", clip, 1, 2);
		return [f32(1, cols)];
	},
	flops: ([average]) => 3 * size(average),
	reference: (call) => {
		const {
			inputs: [average, p, hyper, clip],
			outputs: [averageNew],
		} = operands<[Matrix, Matrix, Matrix, Matrix], [Matrix]>(call);
		if (Number.isNaN(get(clip, 0, 0))) return;
		const rate = get(hyper, 0, hyperWords.averageRate);
		for (let c = 0; c < average.cols; c++) {
			const value = get(average, 0, c);
			set(averageNew, 0, c, value + (get(p, 0, c) - value) * rate);
		}
	},
	updates: [[0, 0]],
	parts: ([average]) => (average as Shape)[1],
	cases: [1, 37, 130].map((n) => ({
		name: `${n} words`,
		inputs: [
			[1, n],
			[1, n],
			[1, hyperWords.size],
			[1, 2],
		],
		fill: (index: number, i: number) => (index === 2 ? hyperCase[i] : undefined),
	})),
});

/** Sums of squares of `parts` equal chunks of x (1 x n): 1 x parts. */
export function squareSum(g: Graph, x: Tensor, parts: number): Tensor {
	return g.apply(squareSumOp, [x], { parts })[0];
}

/**
 * (factor, norm): what to multiply the gradient by so that its norm is at most `max` (factor 1 where max <= 0), and its norm. 1 x 2.
 *
 * @param halted 1 x 1, updated in place: from the first norm that is not finite on no step changes anything, until the host writes 0
 */
export function clipFactor(g: Graph, partials: Tensor, halted: Tensor, max: number): Tensor {
	return g.apply(clipFactorOp, [partials, halted], { max })[0];
}

/**
 * One step of Adam on flat buffers, all 1 x n: the parameter p and the means m, v of the gradient and its square are
 * updated in place. Weight decay is decoupled (AdamW); `decay` multiplies the decay of `hyper`, so that one hyper serves
 * decayed (1) and undecayed (0) stretches.
 *
 * @param hyper 1 x 8, see hyperWords; correction1 = 1 - beta1^t, correction2 = 1 - beta2^t at step t = 1, 2, ..
 * @param clip 1 x 2, from clipFactor
 */
export function adam(
	g: Graph,
	p: Tensor,
	gradient: Tensor,
	m: Tensor,
	v: Tensor,
	hyper: Tensor,
	clip: Tensor,
	{ decay }: { decay: number },
): { p: Tensor; m: Tensor; v: Tensor } {
	const outputs = g.apply(adamOp, [p, gradient, m, v, hyper, clip], { decay });
	return { p: outputs[0], m: outputs[1], v: outputs[2] };
}

/** Moves `average` (1 x n, in place) towards p by the share averageRate of `hyper` (1 x 8, see hyperWords). @param clip 1 x 2, from clipFactor */
export function movingAverage(g: Graph, average: Tensor, p: Tensor, hyper: Tensor, clip: Tensor): Tensor {
	return g.apply(movingAverageOp, [average, p, hyper, clip])[0];
}
