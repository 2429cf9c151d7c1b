/**
 * The scan of a minGRU (Feng et al. 2024, "Were RNNs all we needed?", arXiv 2410.01201) and its gradient. The state is computed
 * in the order of the rows, as the equations have it. The paper takes logarithms, log h_t = A_t + logcumsumexp(log(z_t g_t) - A_t)
 * with A_t = the cumulative sum of log(1 - z_t), so that a parallel scan neither over- nor underflows. In order there is nothing
 * to guard against: each step is a mean of two positive numbers. test/engine/min-gru.test.ts holds the two to one another.
 */
import {
	type Attributes,
	type Call,
	define,
	expect,
	expectAtLeast,
	expectShape,
	f32,
	fill,
	type GradientContext,
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

const attributes = { sequences: "int" } as const;

function checkShapes(op: string, [gate, candidate, initial]: (Tensor | null)[], given: Attributes): void {
	const [rows, width] = shapeOf(gate);
	const { sequences } = given;
	expectAtLeast(op, "sequences", given, 1);
	expect(rows % sequences === 0, op, `gate's rows to be a multiple of sequences ${sequences}`, String(rows));
	expectShape(op, "candidate", candidate, rows, width);
	expectShape(op, "initial", initial, sequences, width);
}

function sigmoid(x: number): number {
	return 1 / (1 + Math.exp(-x));
}

/** g: positive, continuous, the identity but for a constant where x is positive. */
function positive(x: number): number {
	return x >= 0 ? x + 0.5 : sigmoid(x);
}

function positiveSlope(x: number): number {
	return x >= 0 ? 1 : sigmoid(x) * sigmoid(-x);
}

function reference(call: Call): void {
	const {
		inputs: [gate, candidate, initial],
		outputs: [h],
	} = operands<[Matrix, Matrix, Matrix | null], [Matrix]>(call);
	const length = h.rows / call.attributes.sequences;
	fill(h, (r, c) => {
		const before = stateBefore(h, initial, r, c, length);
		const k = get(gate, r, c);
		return sigmoid(-k) * before + sigmoid(k) * positive(get(candidate, r, c));
	});
}

/** Row r - 1 of h; before the first row of a sequence its initial state, or zero. */
function stateBefore(h: Matrix, initial: Matrix | null, r: number, c: number, length: number): number {
	if (r % length > 0) return get(h, r - 1, c);
	return initial ? get(initial, r / length, c) : 0;
}

function referenceGrad(call: Call): void {
	const {
		inputs: [dh, gate, candidate, h, initial],
		outputs: [dGate, dCandidate, dInitial],
	} = operands<[Matrix, Matrix, Matrix, Matrix, Matrix | null], [Matrix, Matrix, Matrix | null]>(call);
	const { sequences } = call.attributes;
	const length = h.rows / sequences;
	for (let b = 0; b < sequences; b++) {
		for (let c = 0; c < h.cols; c++) {
			let carried = 0;
			for (let r = (b + 1) * length - 1; r >= b * length; r--) {
				const d = get(dh, r, c) + carried;
				const k = get(gate, r, c);
				const x = get(candidate, r, c);
				const before = stateBefore(h, initial, r, c, length);
				set(dGate, r, c, d * (positive(x) - before) * sigmoid(k) * sigmoid(-k));
				set(dCandidate, r, c, d * sigmoid(k) * positiveSlope(x));
				carried = d * sigmoid(-k);
			}
			if (dInitial) set(dInitial, b, c, carried);
		}
	}
}

function gradient(context: GradientContext): (Tensor | null)[] {
	const { graph: g, node } = context;
	const [gate, candidate, initial] = node.inputs;
	const inputs = [gradientOf(context), gate, candidate, node.outputs[0], initial];
	const [dGate, dCandidate, dInitial] = g.apply(minGruGradOp, inputs, node.attributes);
	return [dGate, dCandidate, dInitial ?? null];
}

/** Shapes of gate, candidate and initial state. Gates that are nearly shut or open come with `wide`. */
function cases(also: (rows: number, cols: number, sequences: number) => Shape[], at: number): OpCase[] {
	const one = (name: string, length: number, cols: number, sequences: number, initial: boolean): OpCase => ({
		name,
		inputs: [
			...also(length * sequences, cols, sequences).slice(0, at),
			[length * sequences, cols],
			[length * sequences, cols],
			...also(length * sequences, cols, sequences).slice(at),
			initial ? [sequences, cols] : null,
		],
		attributes: { sequences },
	});
	return [
		one("one row", 1, 1, 1, false),
		one("three sequences of 5", 5, 19, 3, false),
		{ ...one("gates far open and shut", 7, 37, 2, false), fill: (i, n) => (i === at ? (n % 37) * 5 - 90 : undefined) },
		one("from an initial state", 4, 66, 3, true),
	];
}

export const minGruOp = define({
	name: "minGru",
	formula:
		"h_t = (1 - z_t) h_(t-1) + z_t g(candidate_t), z = sigmoid(gate), g(x) = x + 1/2 for x >= 0, else sigmoid(x)",
	inputs: ["gate", "candidate", "initial?"],
	outputs: ["h"],
	attributes,
	shape: (inputs, given) => {
		checkShapes("minGru", inputs, given);
		return [f32(...shapeOf(inputs[0]))];
	},
	gradient,
	// Each sigmoid: exp, sum, division; one more product for 1 - z; g: a comparison and a sum; then two products and a sum.
	flops: ([gate]) => 12 * size(gate),
	reference,
	parts: (_inputs, _outputs, { sequences }) => sequences,
	cases: cases(() => [], 0),
});

export const minGruGradOp = define({
	name: "minGruGrad",
	formula: "gradients of minGru to gate, candidate and initial; z and g are computed again, h is minGru's result",
	inputs: ["dh", "gate", "candidate", "h", "initial?"],
	outputs: ["dgate", "dcandidate", "dinitial?"],
	attributes,
	shape: ([dh, gate, candidate, h, initial], given) => {
		checkShapes("minGruGrad", [gate, candidate, initial], given);
		const shape = shapeOf(gate);
		expectShape("minGruGrad", "dh", dh, ...shape);
		expectShape("minGruGrad", "h", h, ...shape);
		return initial ? [f32(...shape), f32(...shape), f32(...initial.shape)] : [f32(...shape), f32(...shape)];
	},
	// As minGru to have z, 1 - z and g again (9), g's slope (3), the sum that is carried (2), and the two gradients (6).
	flops: ([dh]) => 20 * size(dh),
	reference: referenceGrad,
	cases: cases(
		(rows, cols) => [
			[rows, cols],
			[rows, cols],
		],
		1,
	),
});

/**
 * The states of a minGRU, row by row inside each sequence.
 * @param gate (sequences n) x D, before the sigmoid; sequence after sequence
 * @param candidate likewise, before g
 * @param initial sequences x D, the state before the first row; null: zero
 * @returns (sequences n) x D
 */
export function minGru(
	g: Graph,
	gate: Tensor,
	candidate: Tensor,
	initial: Tensor | null,
	{ sequences }: { sequences: number },
): Tensor {
	return g.apply(minGruOp, [gate, candidate, initial], { sequences })[0];
}
