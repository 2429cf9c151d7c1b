/** The matrix product: batched, transposed, accumulating, with the fused epilogue that the fusing pass fills in. */
import { dropoutRow, placeOfRow } from "../random.ts";
import { geluOf, geluSlope } from "./activation.ts";
import {
	type Attributes,
	type Call,
	define,
	expect,
	expectAtLeast,
	expectShape,
	f32,
	type GradientContext,
	type Graph,
	get,
	gradientOf,
	type Matrix,
	operands,
	present,
	type Shape,
	set,
	shapeOf,
	size,
	type Tensor,
} from "./common.ts";
import { matmulCases } from "./matmul-cases.ts";

/** The numbers of the attribute `activation`: what is done to v = a b + bias. */
export const activations = { none: 0, gelu: 1, relu: 2, timesGeluSlope: 3, timesPositive: 4, timesFactor: 5 } as const;

/** A product with nothing fused into it. */
export const plainProduct: Attributes = {
	transposeA: 0,
	transposeB: 0,
	batch: 1,
	accumulate: 0,
	activation: activations.none,
	p: 0,
	dropoutId: 0,
	rowsPerSequence: 1,
	sequences: 1,
};

/** Sizes of each of `batch` products: (rows x inner) times (inner x columns). */
interface Sizes {
	batch: number;
	rows: number;
	inner: number;
	columns: number;
	/** b is one matrix for the whole batch. */
	shared: boolean;
}

/** With transposeB a b of more than one matrix is taken as batched; otherwise its rows tell. */
function sizesOf(a: Shape, b: Shape, { transposeA, transposeB, batch }: Attributes): Sizes {
	const found = `a of ${a.join(" x ")}, b of ${b.join(" x ")}`;
	const rowsA = a[0] / batch;
	expect(Number.isInteger(rowsA), "matmul", `a's rows to be a multiple of batch ${batch}`, String(a[0]));
	const [rows, inner] = transposeA ? [a[1], rowsA] : [rowsA, a[1]];
	const innerB = transposeB ? b[1] : b[0];
	const shared = batch > 1 && !transposeB && innerB === inner;
	const wanted = transposeB || shared ? inner : inner * batch;
	const name = `b with ${wanted} ${transposeB ? "columns" : "rows"} (transposeA ${transposeA}, transposeB ${transposeB}, batch ${batch})`;
	expect(innerB === wanted, "matmul", name, found);
	const columns = transposeB ? b[0] / batch : b[1];
	expect(Number.isInteger(columns), "matmul", `b's rows to be a multiple of batch ${batch}`, found);
	return { batch, rows, inner, columns, shared };
}

function shape([a, b, bias, factor, residual]: (Tensor | null)[], attributes: Attributes) {
	expectAtLeast("matmul", "batch", attributes, 1);
	const { batch, rows, columns } = sizesOf(shapeOf(a), shapeOf(b), attributes);
	const { activation } = attributes;
	expect(activation >= 0 && activation <= 5, "matmul", "activation 0 to 5", String(activation));
	expectShape("matmul", "bias", bias, 1, columns);
	expectShape("matmul", "factor", factor, batch * rows, columns);
	expectShape("matmul", "residual", residual, batch * rows, columns);
	expect(activation < 3 || factor !== null, "matmul", `a factor for activation ${activation}`, "none");
	const y = f32(batch * rows, columns);
	return activation === activations.gelu || activation === activations.relu ? [y, y] : [y];
}

/** da and db of y = op(a) op(b), each one product again. */
function gradient(context: GradientContext): (Tensor | null)[] {
	const { graph: g, node, wants } = context;
	const [a, b, ...epilogue] = present(node);
	const { transposeA, transposeB, activation, p, accumulate } = node.attributes;
	const plain = epilogue.every((operand) => operand === null) && activation === 0 && p === 0 && accumulate === 0;
	expect(plain, "matmul", "a plain product (differentiate before fusing)", "one with an epilogue");
	const dy = gradientOf(context);
	const { batch: count, shared } = sizesOf(a.shape, b.shape, node.attributes);
	expect(!(shared && transposeA), "matmul", "a batched b to differentiate a^T b", "a shared one");
	const batch = shared ? 1 : count; // rows under one another times one b is a single product
	const product = (x: Tensor, transposeX: boolean, y: Tensor, transposeY: boolean) =>
		matmul(g, x, y, { transposeA: transposeX, transposeB: transposeY, batch });
	const da = () => (transposeA ? product(b, !!transposeB, dy, true) : product(dy, false, b, !transposeB));
	const db = () => (transposeB ? product(dy, true, a, !!transposeA) : product(a, !transposeA, dy, false));
	return [wants(0) ? da() : null, wants(1) ? db() : null, null, null, null];
}

function reference(call: Call): void {
	const {
		inputs: [a, b, bias, factor, residual],
		outputs: [y, z],
	} = operands<[Matrix, Matrix, Matrix | null, Matrix | null, Matrix | null], [Matrix, Matrix | null]>(call);
	const { transposeA, transposeB, batch, accumulate, activation, p, dropoutId, rowsPerSequence, sequences } =
		call.attributes;
	const rows = y.rows / batch;
	const inner = transposeA ? a.rows / batch : a.cols;
	const rowsA = a.rows / batch;
	const rowsB = transposeB ? y.cols : inner; // of one matrix; b is shared when it holds only one
	for (let r = 0; r < y.rows; r++) {
		const n = Math.floor(r / rows);
		const i = r % rows;
		const firstB = b.rows === rowsB ? 0 : n * rowsB;
		const { sequence, row } = placeOfRow(r, rowsPerSequence, sequences, call.firstSequence);
		const mask = p > 0 ? dropoutRow({ ...call, dropoutId, sequence, row }, y.cols, p) : null;
		for (let c = 0; c < y.cols; c++) {
			let v = 0;
			for (let k = 0; k < inner; k++) {
				const x = transposeA ? get(a, n * rowsA + k, i) : get(a, n * rowsA + i, k);
				v += x * (transposeB ? get(b, firstB + c, k) : get(b, firstB + k, c));
			}
			if (bias) v += get(bias, 0, c);
			if (z) set(z, r, c, v);
			v = activate(v, activation, factor ? get(factor, r, c) : 0);
			if (mask) v *= mask[c];
			if (residual) v += get(residual, r, c);
			set(y, r, c, accumulate ? get(y, r, c) + v : v);
		}
	}
}

function activate(v: number, activation: number, factor: number): number {
	switch (activation) {
		case activations.gelu:
			return geluOf(v);
		case activations.relu:
			return v > 0 ? v : 0;
		case activations.timesGeluSlope:
			return v * geluSlope(factor);
		case activations.timesPositive:
			return factor > 0 ? v : 0;
		case activations.timesFactor:
			return v * factor;
		default:
			return v;
	}
}

function flops([a, b, bias, , residual]: (Shape | null)[], [y]: (Shape | null)[], attributes: Attributes): number {
	const { inner } = sizesOf(a as Shape, b as Shape, attributes);
	const activation = [0, 5, 1, 10, 1, 1][attributes.activation];
	const additions = Number(bias !== null) + Number(residual !== null) + attributes.accumulate;
	return size(y) * (2 * inner + activation + additions + Number(attributes.p > 0));
}

export const matmulOp = define({
	name: "matmul",
	formula: "v = a b + bias; y = dropout(activation(v)) + residual; z = v",
	inputs: ["a", "b", "bias?", "factor?", "residual?"],
	outputs: ["y", "z?"],
	attributes: {
		transposeA: "int",
		transposeB: "int",
		batch: "int",
		accumulate: "int",
		activation: "int",
		p: "float",
		dropoutId: "int",
		rowsPerSequence: "int",
		sequences: "int",
	},
	shape,
	gradient,
	flops,
	reference,
	rowReduction: [0, 1],
	parts: (_inputs, [y]) => (y as Shape)[1],
	cases: matmulCases,
});

/**
 * The product of a and b, each transposed if asked. With batch n > 1, a, b and the result hold n matrices one under the
 * other; a single b (not with transposeB) serves all of them.
 */
export function matmul(
	g: Graph,
	a: Tensor,
	b: Tensor,
	options: { transposeA?: boolean; transposeB?: boolean; batch?: number } = {},
): Tensor {
	const { transposeA = false, transposeB = false, batch = 1 } = options;
	const attributes = { ...plainProduct, transposeA: Number(transposeA), transposeB: Number(transposeB), batch };
	return g.apply(matmulOp, [a, b, null, null, null], attributes)[0];
}
