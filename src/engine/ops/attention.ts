/**
 * Causal attention over windows of rows, with an optional prefix of keys and values that every row of its window sees;
 * its gradient; and the form for one new row per stream against a cache.
 */
import { dropoutRow } from "../random.ts";
import { attentionCases, attentionGradCases, decodeAttentionCases } from "./attention-cases.ts";
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
	type OutputSpec,
	operands,
	type Shape,
	set,
	shapeOf,
	size,
	type Tensor,
} from "./common.ts";

const attributes = { windows: "int", heads: "int", p: "float", dropoutId: "int", sequences: "int" } as const;

function checkShapes(op: string, [q, kv, prefix]: (Tensor | null)[], given: Attributes): void {
	const [rows, width] = shapeOf(q);
	const { windows, heads, p } = given;
	for (const name of ["windows", "heads", "sequences"]) expectAtLeast(op, name, given, 1);
	expect(p >= 0 && p <= 1, op, "p in [0, 1]", String(p));
	expect(rows % windows === 0, op, `q's rows to be a multiple of windows ${windows}`, String(rows));
	expect(width % heads === 0, op, `q's columns to be a multiple of heads ${heads}`, String(width));
	expectShape(op, "kv", kv, rows, 2 * width);
	if (!prefix) return;
	const [prefixRows, prefixWidth] = prefix.shape;
	const fits = prefixRows % windows === 0 && prefixWidth === 2 * width;
	expect(fits, op, `prefix of (a multiple of ${windows}) x ${2 * width}`, `${prefixRows} x ${prefixWidth}`);
}

/** Pairs of a row and a row it sees, over all windows. */
function visiblePairs([q, , prefix]: (Shape | null)[], { windows }: Attributes): number {
	const n = (q as Shape)[0] / windows;
	const m = prefix ? prefix[0] / windows : 0;
	return windows * (n * m + (n * (n + 1)) / 2);
}

/** One head of one window. Keys are numbered with the prefix first: 0..m-1, then rows of the window. */
interface Head {
	window: number;
	head: number;
	/** Rows of the window and of its prefix. */
	n: number;
	m: number;
	/** Columns of a head, its first column, and columns of all heads. */
	size: number;
	first: number;
	width: number;
}

function* headsOf(call: Call): Generator<Head> {
	const [q, , prefix] = call.inputs as [Matrix, Matrix, Matrix | null];
	const { windows, heads } = call.attributes;
	const width = q.cols;
	const size = width / heads;
	for (let window = 0; window < windows; window++) {
		for (let head = 0; head < heads; head++) {
			yield {
				window,
				head,
				n: q.rows / windows,
				m: prefix ? prefix.rows / windows : 0,
				size,
				first: head * size,
				width,
			};
		}
	}
}

/** The matrix and its row that hold key (and value) j of a window, or its gradient. */
function keyPlace({ window, n, m }: Head, j: number, kv: Matrix, prefix: Matrix | null): [Matrix, number] {
	return j < m ? [prefix as Matrix, window * m + j] : [kv, window * n + j - m];
}

/** Attention weights of row i over the m + i + 1 keys it sees, and the dropout mask over them (ones without dropout). */
function weightsOf(call: Call, at: Head, i: number): { weights: number[]; mask: ArrayLike<number> } {
	const [q, kv, prefix] = call.inputs as [Matrix, Matrix, Matrix | null];
	const { heads, p, dropoutId, sequences } = call.attributes;
	const scores: number[] = [];
	for (let j = 0; j <= at.m + i; j++) {
		const [keys, row] = keyPlace(at, j, kv, prefix);
		let score = 0;
		for (let c = at.first; c < at.first + at.size; c++) score += get(q, at.window * at.n + i, c) * get(keys, row, c);
		scores.push(score / Math.sqrt(at.size));
	}
	const row = (Math.floor(at.window / sequences) * at.n + i) * heads + at.head;
	const sequence = call.firstSequence + (at.window % sequences);
	const mask = p > 0 ? dropoutRow({ ...call, dropoutId, sequence, row }, at.n + at.m, p) : scores.map(() => 1);
	return { weights: softmaxOf(scores), mask };
}

function softmaxOf(scores: readonly number[]): number[] {
	const largest = Math.max(...scores);
	const exponentials = scores.map((score) => Math.exp(score - largest));
	const total = exponentials.reduce((sum, value) => sum + value, 0);
	return exponentials.map((value) => value / total);
}

function reference(call: Call): void {
	const {
		inputs: [, kv, prefix],
		outputs: [o],
	} = operands<[Matrix, Matrix, Matrix | null], [Matrix]>(call);
	for (const at of headsOf(call)) {
		for (let i = 0; i < at.n; i++) {
			const { weights, mask } = weightsOf(call, at, i);
			for (let c = at.first; c < at.first + at.size; c++) {
				let sum = 0;
				weights.forEach((weight, j) => {
					const [values, row] = keyPlace(at, j, kv, prefix);
					sum += weight * mask[j] * get(values, row, at.width + c);
				});
				set(o, at.window * at.n + i, c, sum);
			}
		}
	}
}

function referenceGrad(call: Call): void {
	const {
		inputs: [q, kv, prefix, dOut],
		outputs: [dq, dkv, dprefix],
	} = operands<[Matrix, Matrix, Matrix | null, Matrix], [Matrix, Matrix, Matrix | null]>(call);
	const [sumQ, sumKv, sumPrefix] = [zerosLike(q), zerosLike(kv), prefix && zerosLike(prefix)];
	for (const at of headsOf(call)) {
		for (let i = 0; i < at.n; i++) {
			const { weights, mask } = weightsOf(call, at, i);
			const r = at.window * at.n + i;
			const columns = Array.from({ length: at.size }, (_, c) => at.first + c);
			const dWeights = weights.map((_, j) => {
				const [values, row] = keyPlace(at, j, kv, prefix);
				return mask[j] * columns.reduce((sum, c) => sum + get(dOut, r, c) * get(values, row, at.width + c), 0);
			});
			const mean = weights.reduce((sum, weight, j) => sum + weight * dWeights[j], 0);
			weights.forEach((weight, j) => {
				const dScore = (weight * (dWeights[j] - mean)) / Math.sqrt(at.size);
				const [keys, row] = keyPlace(at, j, kv, prefix);
				const [dKeys] = keyPlace(at, j, sumKv, sumPrefix);
				for (const c of columns) {
					addTo(sumQ, r, c, dScore * get(keys, row, c));
					addTo(dKeys, row, c, dScore * get(q, r, c));
					addTo(dKeys, row, at.width + c, weight * mask[j] * get(dOut, r, c));
				}
			});
		}
	}
	fill(dq, (r, c) => get(sumQ, r, c));
	fill(dkv, (r, c) => get(sumKv, r, c));
	if (dprefix) fill(dprefix, (r, c) => get(sumPrefix as Matrix, r, c));
}

function zerosLike({ rows, cols }: Matrix): Matrix {
	return { data: new Float64Array(rows * cols), offset: 0, rows, cols, ld: cols };
}

function addTo(matrix: Matrix, row: number, column: number, value: number): void {
	set(matrix, row, column, get(matrix, row, column) + value);
}

function gradient(context: GradientContext): (Tensor | null)[] {
	const { graph: g, node } = context;
	const [dq, dkv, dprefix] = g.apply(attentionGradOp, [...node.inputs, gradientOf(context)], node.attributes);
	return [dq, dkv, dprefix ?? null];
}

export const attentionOp = define({
	name: "attention",
	formula: "o = dropout(softmax(q k^T / sqrt(C / heads))) v per window and head; row i sees the prefix and rows 0..i",
	inputs: ["q", "kv", "prefix?"],
	outputs: ["o"],
	attributes,
	shape: (inputs, given) => {
		checkShapes("attention", inputs, given);
		return [f32(...shapeOf(inputs[0]))];
	},
	gradient,
	// Per pair and column: a multiply-add for the score and one for the value; per pair and head: scale, exp, sum, divide.
	flops: (inputs, _outputs, given) => visiblePairs(inputs, given) * (4 * (inputs[0] as Shape)[1] + 4 * given.heads),
	reference,
	parts: (_inputs, _outputs, { windows, heads }) => windows * heads,
	cases: attentionCases,
});

export const attentionGradOp = define({
	name: "attentionGrad",
	formula: "gradients of attention to q, kv and prefix; the weights are computed again",
	inputs: ["q", "kv", "prefix?", "do"],
	outputs: ["dq", "dkv", "dprefix?"],
	attributes,
	shape: (inputs, given) => {
		checkShapes("attentionGrad", inputs, given);
		const [q, kv, prefix, dOut] = inputs;
		expectShape("attentionGrad", "do", dOut, ...shapeOf(q));
		const outputs: OutputSpec[] = [f32(...shapeOf(q)), f32(...shapeOf(kv))];
		return prefix ? [...outputs, f32(...prefix.shape)] : outputs;
	},
	flops: (inputs, _outputs, given) => visiblePairs(inputs, given) * (10 * (inputs[0] as Shape)[1] + 8 * given.heads),
	reference: referenceGrad,
	cases: attentionGradCases,
});

export const decodeAttentionOp = define({
	name: "decodeAttention",
	formula: "o[b] = attention of row q[b] over the first lengths[b] rows of stream b's keys and values",
	inputs: ["q", "kv", "lengths"],
	outputs: ["o"],
	attributes: { heads: "int" },
	i32Inputs: [2],
	shape: ([q, kv, lengths], given) => {
		const [streams, width] = shapeOf(q);
		const [rows, columns] = shapeOf(kv);
		expectAtLeast("decodeAttention", "heads", given, 1);
		expect(
			width % given.heads === 0,
			"decodeAttention",
			`q's columns to be a multiple of heads ${given.heads}`,
			String(width),
		);
		const fits = rows % streams === 0 && columns === 2 * width;
		expect(fits, "decodeAttention", `kv of (a multiple of ${streams}) x ${2 * width}`, `${rows} x ${columns}`);
		expectShape("decodeAttention", "lengths", lengths, streams, 1);
		return [f32(streams, width)];
	},
	// Counted as if every row of the cache were seen: how many are is known only when it runs.
	flops: ([q, kv], _outputs, { heads }) => 2 * size(kv) + 4 * heads * (q as Shape)[0],
	reference: (call) => {
		const {
			inputs: [q, kv, lengths],
			outputs: [o],
		} = operands<[Matrix, Matrix, Matrix], [Matrix]>(call);
		const { heads } = call.attributes;
		const columns = q.cols / heads;
		const length = kv.rows / q.rows;
		for (let b = 0; b < q.rows; b++) {
			for (let first = 0; first < q.cols; first += columns) {
				const scores = Array.from({ length: get(lengths, b, 0) }, (_, j) => {
					let score = 0;
					for (let c = first; c < first + columns; c++) score += get(q, b, c) * get(kv, b * length + j, c);
					return score / Math.sqrt(columns);
				});
				const weights = softmaxOf(scores);
				for (let c = first; c < first + columns; c++) {
					set(
						o,
						b,
						c,
						weights.reduce((sum, weight, j) => sum + weight * get(kv, b * length + j, q.cols + c), 0),
					);
				}
			}
		}
	},
	parts: ([q], _outputs, { heads }) => (q as Shape)[0] * heads,
	cases: decodeAttentionCases,
});

/** How the rows of q fall into windows and heads. */
export interface AttentionOptions {
	/** Number of windows; rows of q, kv and prefix are divided equally among them. */
	windows: number;
	heads: number;
	/** Probability of dropping an attention weight; default 0. */
	dropout?: number;
	/** Sequences in the micro-batch; windows are group-major. Counts only for dropout; default: each window its own sequence. */
	sequences?: number;
}

/**
 * Causal attention in each window of n = rows / windows rows. q: (windows n) x C; kv: (windows n) x 2C, keys then values; prefix:
 * (windows m) x 2C, keys and values that every row of its window sees. Returns (windows n) x C.
 */
export function attention(g: Graph, q: Tensor, kv: Tensor, prefix: Tensor | null, options: AttentionOptions): Tensor {
	const { windows, heads, dropout: p = 0, sequences = windows } = options;
	const dropoutId = p > 0 ? g.nextDropout() : 0;
	return g.apply(attentionOp, [q, kv, prefix], { windows, heads, p, dropoutId, sequences })[0];
}

/**
 * Attention of one new row per stream. q: streams x C; kv: (streams L) x 2C, the caches one under the other; lengths:
 * streams x 1 of i32, how many rows of its cache a stream sees (at least 1). Returns streams x C.
 */
export function decodeAttention(
	g: Graph,
	q: Tensor,
	kv: Tensor,
	lengths: Tensor,
	{ heads }: { heads: number },
): Tensor {
	return g.apply(decodeAttentionOp, [q, kv, lengths], { heads })[0];
}
