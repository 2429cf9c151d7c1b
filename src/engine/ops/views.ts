/**
 * Slices and concatenations. The plan turns them into names for parts of a buffer; gradient.ts treats them itself, so
 * they have no gradient rule, and no kernel.
 */
import {
	define,
	expect,
	fill,
	type Graph,
	get,
	type Matrix,
	type OutputSpec,
	operands,
	set,
	shapeOf,
	type Tensor,
} from "./common.ts";

function sliceShape(op: string, axis: 0 | 1) {
	return ([x]: (Tensor | null)[], { start, end }: Readonly<Record<string, number>>): OutputSpec[] => {
		const [rows, cols] = shapeOf(x);
		const length = axis === 0 ? rows : cols;
		const valid = start >= 0 && start < end && end <= length;
		expect(valid, op, `0 <= start < end <= ${length}`, `start ${start}, end ${end}`);
		return [{ shape: axis === 0 ? [end - start, cols] : [rows, end - start], dtype: (x as Tensor).dtype }];
	};
}

const slice = {
	inputs: ["x"],
	outputs: ["y"],
	attributes: { start: "int", end: "int" },
	anyType: [0],
	flops: () => 0,
} as const;

export const sliceRowsOp = define({
	...slice,
	name: "sliceRows",
	formula: "y = rows [start, end) of x",
	shape: sliceShape("sliceRows", 0),
	reference: (call) => {
		const {
			inputs: [x],
			outputs: [y],
		} = operands<[Matrix], [Matrix]>(call);
		fill(y, (r, c) => get(x, call.attributes.start + r, c));
	},
	view: "rows",
	cases: [
		{ name: "middle", inputs: [[7, 19]], attributes: { start: 2, end: 5 } },
		{ name: "all", inputs: [[3, 5]], attributes: { start: 0, end: 3 } },
	],
});

export const sliceColumnsOp = define({
	...slice,
	name: "sliceColumns",
	formula: "y = columns [start, end) of x",
	shape: sliceShape("sliceColumns", 1),
	reference: (call) => {
		const {
			inputs: [x],
			outputs: [y],
		} = operands<[Matrix], [Matrix]>(call);
		fill(y, (r, c) => get(x, r, call.attributes.start + c));
	},
	view: "columns",
	cases: [
		{ name: "middle", inputs: [[7, 19]], attributes: { start: 3, end: 16 } },
		{ name: "one", inputs: [[1, 5]], attributes: { start: 4, end: 5 } },
	],
});

function concatShape(op: string, axis: 0 | 1) {
	return (inputs: (Tensor | null)[]): OutputSpec[] => {
		expect(inputs.length > 0, op, "at least one part", "none");
		const [first] = inputs;
		const across = shapeOf(first)[1 - axis];
		let length = 0;
		for (const part of inputs) {
			const shape = shapeOf(part);
			const same = shape[1 - axis] === across && part?.dtype === first?.dtype;
			const expected = `parts of ${across} ${axis === 0 ? "columns" : "rows"} and type ${first?.dtype}`;
			expect(same, op, expected, `${shape.join(" x ")} of ${part?.dtype}`);
			length += shape[axis];
		}
		return [{ shape: axis === 0 ? [length, across] : [across, length], dtype: (first as Tensor).dtype }];
	};
}

const concat = { inputs: ["...parts"], outputs: ["y"], attributes: {}, flops: () => 0 } as const;

export const concatRowsOp = define({
	...concat,
	name: "concatRows",
	formula: "y = [x1; x2; ..], one under the other",
	shape: concatShape("concatRows", 0),
	reference: ({ inputs, outputs }) => {
		const y = outputs[0] as Matrix;
		let row = 0;
		for (const x of inputs as Matrix[]) {
			for (let r = 0; r < x.rows; r++, row++) for (let c = 0; c < x.cols; c++) set(y, row, c, get(x, r, c));
		}
	},
	view: "concatRows",
	cases: [
		{
			name: "three",
			inputs: [
				[1, 19],
				[4, 19],
				[2, 19],
			],
		},
		{ name: "one", inputs: [[3, 5]] },
	],
});

export const concatColumnsOp = define({
	...concat,
	name: "concatColumns",
	formula: "y = [x1, x2, ..], side by side",
	shape: concatShape("concatColumns", 1),
	reference: ({ inputs, outputs }) => {
		const y = outputs[0] as Matrix;
		let column = 0;
		for (const x of inputs as Matrix[]) {
			for (let c = 0; c < x.cols; c++, column++) for (let r = 0; r < x.rows; r++) set(y, r, column, get(x, r, c));
		}
	},
	view: "concatColumns",
	cases: [
		{
			name: "three",
			inputs: [
				[5, 1],
				[5, 7],
				[5, 16],
			],
		},
		{ name: "one", inputs: [[3, 5]] },
	],
});

/** Rows [start, end) of x. */
export function sliceRows(g: Graph, x: Tensor, start: number, end: number): Tensor {
	return g.apply(sliceRowsOp, [x], { start, end })[0];
}

/** Columns [start, end) of x. */
export function sliceColumns(g: Graph, x: Tensor, start: number, end: number): Tensor {
	return g.apply(sliceColumnsOp, [x], { start, end })[0];
}

/** The parts one under the other; all of one width and type. */
export function concatRows(g: Graph, parts: readonly Tensor[]): Tensor {
	return g.apply(concatRowsOp, [...parts])[0];
}

/** The parts side by side; all of as many rows and of one type. */
export function concatColumns(g: Graph, parts: readonly Tensor[]): Tensor {
	return g.apply(concatColumnsOp, [...parts])[0];
}
