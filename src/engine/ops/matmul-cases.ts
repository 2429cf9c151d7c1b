/** Conformance cases of the matrix product: ragged sizes, transpositions, batches, every part of the epilogue. */
import type { Attributes, OpCase, Shape } from "./common.ts";

interface Product {
	name: string;
	rows: number;
	inner: number;
	columns: number;
	attributes?: Attributes;
	bias?: boolean;
	factor?: boolean;
	residual?: boolean;
	/** One b for the whole batch. */
	shared?: boolean;
}

const plain: Attributes = {
	transposeA: 0,
	transposeB: 0,
	batch: 1,
	accumulate: 0,
	activation: 0,
	p: 0,
	dropoutId: 0,
	rowsPerSequence: 1,
	sequences: 1,
};

function caseOf({ name, rows, inner, columns, attributes: given, bias, factor, residual, shared }: Product): OpCase {
	const attributes = { ...plain, ...given };
	const { transposeA, transposeB, batch } = attributes;
	const a: Shape = transposeA ? [batch * inner, rows] : [batch * rows, inner];
	const matrices = shared ? 1 : batch;
	const b: Shape = transposeB ? [matrices * columns, inner] : [matrices * inner, columns];
	const y: Shape = [batch * rows, columns];
	const fused = bias || factor || residual || attributes.activation || attributes.p || attributes.accumulate;
	return {
		name,
		inputs: [a, b, bias ? [1, columns] : null, factor ? y : null, residual ? y : null],
		attributes,
		differentiate: fused ? [] : [0, 1],
	};
}

const transpositions = [0, 1].flatMap((transposeA) => [0, 1].map((transposeB) => ({ transposeA, transposeB })));

/** Sizes with ones, odd numbers and numbers just off the multiples of 4, 8, 16 and 32. */
const sizes = [
	[1, 1, 1],
	[1, 37, 3],
	[5, 1, 19],
	[7, 9, 1],
	[33, 17, 65],
] as const;

const plainProducts: Product[] = transpositions.flatMap((transposition) => {
	const marks = `${transposition.transposeA ? "aT" : "a"} ${transposition.transposeB ? "bT" : "b"}`;
	return [
		...sizes.map(([rows, inner, columns]) => ({
			name: `${marks} ${rows} ${inner} ${columns}`,
			rows,
			inner,
			columns,
			attributes: transposition,
		})),
		{ name: `${marks} batch 3`, rows: 5, inner: 6, columns: 7, attributes: { ...transposition, batch: 3 } },
		{ name: `${marks} accumulate`, rows: 6, inner: 35, columns: 18, attributes: { ...transposition, accumulate: 1 } },
	];
});

const size = { rows: 13, inner: 20, columns: 35 };
const dropout = { p: 0.4, dropoutId: 3, rowsPerSequence: 2, sequences: 3 };
const fusedProducts: Product[] = [
	{ name: "shared b", rows: 5, inner: 6, columns: 7, attributes: { batch: 2 }, shared: true },
	{ name: "bias", ...size, bias: true },
	{ name: "residual", ...size, residual: true },
	{ name: "gelu", ...size, attributes: { activation: 1 } },
	{ name: "relu", ...size, attributes: { activation: 2 } },
	{ name: "times gelu slope", ...size, attributes: { activation: 3 }, factor: true },
	{ name: "times gelu slope, bT", ...size, attributes: { activation: 3, transposeB: 1 }, factor: true },
	{ name: "where factor is positive", ...size, attributes: { activation: 4 }, factor: true },
	{ name: "times factor", ...size, attributes: { activation: 5 }, factor: true },
	{ name: "dropout", ...size, attributes: dropout },
	{
		name: "batch with epilogue",
		rows: 3,
		inner: 5,
		columns: 9,
		attributes: { batch: 4, activation: 2 },
		bias: true,
		residual: true,
	},
	{ name: "everything", ...size, attributes: { ...dropout, activation: 1, accumulate: 1 }, bias: true, residual: true },
	{
		name: "everything, bT",
		...size,
		attributes: { ...dropout, activation: 2, transposeB: 1 },
		bias: true,
		residual: true,
	},
];

export const matmulCases: readonly OpCase[] = [...plainProducts, ...fusedProducts].map(caseOf);
