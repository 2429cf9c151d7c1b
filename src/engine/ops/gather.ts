/** Rows picked by number (an embedding) and its gradient; rows written to a cache by number. */
import {
	define,
	expect,
	expectAtLeast,
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
	set,
	shapeOf,
	size,
	type Tensor,
} from "./common.ts";

/** Row numbers 0..n-1, some repeated, the first and the last among them. */
function idsBelow(n: number, input: number): OpCase["fill"] {
	return (index, i, random) => {
		if (index !== input) return undefined;
		return i < 2 ? n - 1 : i === 2 ? 0 : Math.floor(random() * n);
	};
}

export const gatherOp = define({
	name: "gather",
	formula: "y[r] = table[ids[r]]; zeros where the id is out of range",
	inputs: ["table", "ids"],
	outputs: ["y"],
	attributes: {},
	i32Inputs: [1],
	anyType: [0],
	shape: ([table, ids]) => {
		const [rows, cols] = shapeOf(ids);
		expect(cols === 1, "gather", "ids of one column", `${rows} x ${cols}`);
		return [{ shape: [rows, shapeOf(table)[1]], dtype: (table as Tensor).dtype }];
	},
	gradient: (context) => {
		const { graph: g, node, wants } = context;
		const [table, ids] = present(node);
		return [wants(0) ? scatterAdd(g, gradientOf(context), ids, table.shape[0]) : null, null];
	},
	flops: () => 0,
	reference: (call) => {
		const {
			inputs: [table, ids],
			outputs: [y],
		} = operands<[Matrix, Matrix], [Matrix]>(call);
		fill(y, (r, c) => {
			const id = get(ids, r, 0);
			return id >= 0 && id < table.rows ? get(table, id, c) : 0;
		});
	},
	parts: (_inputs, [y]) => (y as Shape)[0],
	cases: [
		{
			name: "one row",
			inputs: [
				[1, 1],
				[1, 1],
			],
			fill: (index) => (index === 1 ? 0 : undefined),
		},
		{
			name: "repeated ids",
			inputs: [
				[11, 37],
				[23, 1],
			],
			fill: idsBelow(11, 1),
		},
		{
			name: "ids out of range",
			inputs: [
				[5, 19],
				[9, 1],
			],
			fill: (index, i) => (index === 1 ? i - 2 : undefined),
		},
	],
});

export const scatterAddOp = define({
	name: "scatterAdd",
	formula: "dtable[ids[r]] += dy[r], rows in order",
	inputs: ["dy", "ids"],
	outputs: ["dtable"],
	attributes: { accumulate: "int" },
	shapeAttributes: ["rows"],
	i32Inputs: [1],
	shape: ([dy, ids], attributes) => {
		expectShape("scatterAdd", "ids", ids, shapeOf(dy)[0], 1);
		expectAtLeast("scatterAdd", "rows", attributes, 1);
		return [f32(attributes.rows, shapeOf(dy)[1])];
	},
	gradient: (context) => [gather(context.graph, gradientOf(context), present(context.node)[1]), null],
	flops: ([dy]) => size(dy),
	reference: (call) => {
		const {
			inputs: [dy, ids],
			outputs: [table],
		} = operands<[Matrix, Matrix], [Matrix]>(call);
		if (!call.attributes.accumulate) fill(table, () => 0);
		for (let r = 0; r < dy.rows; r++) {
			const id = get(ids, r, 0);
			if (id < 0 || id >= table.rows) continue;
			for (let c = 0; c < dy.cols; c++) set(table, id, c, get(table, id, c) + get(dy, r, c));
		}
	},
	rowReduction: [0, 1],
	cases: [
		{
			name: "one row",
			inputs: [
				[1, 1],
				[1, 1],
			],
			attributes: { accumulate: 0, rows: 1 },
			fill: (index) => (index === 1 ? 0 : undefined),
		},
		{
			name: "repeated ids",
			inputs: [
				[23, 37],
				[23, 1],
			],
			attributes: { accumulate: 0, rows: 11 },
			fill: idsBelow(11, 1),
		},
		{
			name: "accumulate",
			inputs: [
				[6, 19],
				[6, 1],
			],
			attributes: { accumulate: 1, rows: 4 },
			fill: idsBelow(4, 1),
		},
		{
			name: "a table larger than what is added",
			inputs: [
				[150, 9],
				[150, 1],
			],
			attributes: { accumulate: 1, rows: 400 },
			fill: (index, i) => (index === 1 ? ((i * 7) % 61) * 7 - 20 : undefined),
		},
		{
			name: "a larger table, written anew",
			inputs: [
				[7, 40],
				[7, 1],
			],
			attributes: { accumulate: 0, rows: 30 },
			fill: idsBelow(30, 1),
		},
		{
			name: "ids out of range",
			inputs: [
				[9, 5],
				[9, 1],
			],
			attributes: { accumulate: 0, rows: 5 },
			fill: (index, i) => (index === 1 ? i - 2 : undefined),
		},
	],
});

export const writeRowsOp = define({
	name: "writeRows",
	formula: "cache[b L + positions[b]] = x[b], L = cache rows / x rows",
	inputs: ["x", "cache", "positions"],
	outputs: ["cache"],
	attributes: {},
	i32Inputs: [2],
	shape: ([x, cache, positions]) => {
		const [streams, cols] = shapeOf(x);
		const [rows, width] = shapeOf(cache);
		const fits = width === cols && rows % streams === 0;
		expect(fits, "writeRows", `a cache of (a multiple of ${streams}) x ${cols}`, `${rows} x ${width}`);
		expectShape("writeRows", "positions", positions, streams, 1);
		return [f32(rows, width)];
	},
	flops: () => 0,
	reference: (call) => {
		const {
			inputs: [x, , positions],
			outputs: [cache],
		} = operands<[Matrix, Matrix, Matrix], [Matrix]>(call);
		const length = cache.rows / x.rows;
		for (let b = 0; b < x.rows; b++) {
			for (let c = 0; c < x.cols; c++) set(cache, b * length + get(positions, b, 0), c, get(x, b, c));
		}
	},
	updates: [[1, 0]],
	cases: [
		{
			name: "one stream",
			inputs: [
				[1, 19],
				[5, 19],
				[1, 1],
			],
			fill: idsBelow(5, 2),
		},
		{
			name: "three streams",
			inputs: [
				[3, 6],
				[21, 6],
				[3, 1],
			],
			fill: idsBelow(7, 2),
		},
	],
});

/** Row ids[r] of `table` as row r; ids: n x 1 of i32. The table may be of either type. */
export function gather(g: Graph, table: Tensor, ids: Tensor): Tensor {
	return g.apply(gatherOp, [table, ids])[0];
}

/** A zero matrix of `rows` rows to whose row ids[r] dy[r] is added. */
export function scatterAdd(g: Graph, dy: Tensor, ids: Tensor, rows: number): Tensor {
	return g.apply(scatterAddOp, [dy, ids], { accumulate: 0, rows })[0];
}

/**
 * Write row b of x (streams x C) to row positions[b] of stream b's part of `cache` (streams L x C), in place.
 * @returns the cache after writing
 */
export function writeRows(g: Graph, x: Tensor, cache: Tensor, positions: Tensor): Tensor {
	return g.apply(writeRowsOp, [x, cache, positions])[0];
}
