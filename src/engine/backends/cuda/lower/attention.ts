/** Attention over windows and its gradient on tensor cores, and of one new row per stream. */
import type { Instruction, Operand } from "../../../program.ts";
import {
	firstSequence,
	float,
	halfOf,
	inFours,
	int,
	job,
	type LowerContext,
	type Lowering,
	matrix,
	operand,
	pointer,
} from "../lower-context.ts";
import type { Argument, Launch } from "../lower-types.ts";

/** Columns of a head that the kernels can hold, and rows of a warp. */
const mostColumns = 128;
const tile = 16;

/** What the attention kernels have in common. */
interface Sizes {
	readonly units: number;
	/** Rows of a window, and keys that its last row sees. */
	readonly rows: number;
	readonly keys: number;
	readonly defines: Readonly<Record<string, number>>;
}

function sizesOf({ op, inputs, outputs, attributes }: Instruction, context: LowerContext): Sizes {
	const { windows, heads } = attributes;
	const q = operand(inputs, 0);
	const columns = q.cols / heads;
	if (columns > mostColumns) {
		throw new Error(`[${op.name}] expected heads of at most ${mostColumns} columns on this backend, got ${columns}`);
	}
	const head = columns <= 8 ? 8 : columns <= 16 ? 16 : Math.ceil(columns / 32) * 32;
	const whole = head === columns && [...inputs, ...outputs].every((each) => each === null || inFours(each));
	const rows = q.rows / windows;
	return {
		units: windows * heads,
		rows,
		keys: rows + (inputs[2] ? inputs[2].rows / windows : 0),
		defines: { HEAD: head, WHOLE: Number(whole), PASSES: context.precision === "fp32" ? 3 : 1 },
	};
}

/** A warp for each tile of `rows` rows, of every head of every window. */
function tiled(
	kernel: string,
	rows: number,
	{ units, defines }: Sizes,
	args: Launch["args"],
	{ label }: Instruction,
): Launch {
	const tiles = Math.ceil(rows / tile);
	const warps = Math.min(4, tiles);
	const grid = [units, Math.ceil(tiles / warps), 1] as const;
	return {
		kind: "kernel",
		file: "attention",
		kernel,
		defines,
		grid,
		block: [32 * warps, 1, 1],
		shared: 0,
		args,
		label,
	};
}

function dropoutOf({ p, dropoutId, sequences }: Instruction["attributes"]): Launch["args"] {
	return [float(p), int(dropoutId), int(sequences), job, firstSequence];
}

/** A result, its bf16 copy if one is wanted, and whether that is all. */
function resultOf(y: Operand, context: LowerContext): Argument[] {
	return [matrix(y), ...halfOf(y, context)];
}

const attention: Lowering = (instruction, context) => {
	const { inputs, outputs, attributes } = instruction;
	const sizes = sizesOf(instruction, context);
	const args = [...inputs.map(matrix), ...resultOf(operand(outputs, 0), context)];
	const rest = [int(attributes.windows), int(attributes.heads), ...dropoutOf(attributes)];
	return [tiled("attention", sizes.rows, sizes, [...args, ...rest], instruction)];
};

const attentionGrad: Lowering = (instruction, context) => {
	const { inputs, outputs, attributes } = instruction;
	const sizes = sizesOf(instruction, context);
	const given = inputs.map(matrix);
	const [dq, dkv] = [0, 1].map((i) => resultOf(operand(outputs, i), context));
	const dprefix = matrix(outputs[2] ?? null);
	const split = [int(attributes.windows), int(attributes.heads)];
	const dropout = dropoutOf(attributes);
	const stride = Math.ceil(sizes.keys / 32) * 32 + 4;
	const shared = 4 * 2 * Math.ceil(sizes.rows / tile) * tile * stride;
	if (shared <= 48 << 10) {
		const warps = Math.min(8, Math.ceil(sizes.keys / tile));
		const args = [...given, ...dq, ...dkv, dprefix, ...split, int(stride), ...dropout];
		const { units, defines } = sizes;
		const [grid, block] = [[units, 1, 1] as const, [32 * warps, 1, 1] as const];
		const { label } = instruction;
		return [
			{ kind: "kernel", file: "attention", kernel: "attentionGradSmall", defines, grid, block, shared, args, label },
		];
	}
	const [log, mean] = [0, 1].map(() => pointer(context.scratch(sizes.units, sizes.rows)));
	const queries = [...given, ...dq, log, mean, ...split, ...dropout];
	const keys = [...given, ...dkv, dprefix, log, mean, ...split, ...dropout];
	return [
		tiled("attentionGradQueries", sizes.rows, sizes, queries, instruction),
		tiled("attentionGradKeys", sizes.keys, sizes, keys, instruction),
	];
};

const decodeAttention: Lowering = ({ op, inputs, outputs, attributes, label }) => {
	const q = operand(inputs, 0);
	const columns = q.cols / attributes.heads;
	if (columns > mostColumns) {
		throw new Error(`[${op.name}] expected heads of at most ${mostColumns} columns on this backend, got ${columns}`);
	}
	const args = [...[...inputs, ...outputs].map(matrix), int(attributes.heads)];
	const grid = [q.rows * attributes.heads, 1, 1] as const;
	return [
		{ kind: "kernel", file: "decode", kernel: "decodeAttention", grid, block: [256, 1, 1], shared: 0, args, label },
	];
};

export const attentionLowerings: Readonly<Record<string, Lowering>> = { attention, attentionGrad, decodeAttention };
