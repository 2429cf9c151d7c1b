/** Attention over windows and its gradient on tensor cores, and of one new row per stream. */
import type { Instruction, Operand } from "../../../program.ts";
import {
	type Fusion,
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
	sameOperand,
} from "../lower-context.ts";
import type { Argument, Command, Launch } from "../lower-types.ts";
import { groupOf } from "../order.ts";
import { attentionHalf, attentionHalfGrad } from "./attention-half.ts";
import { meet } from "./halves.ts";

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

/** A result, its copy in halves if one is wanted, and whether that is all. */
function resultOf(y: Operand, context: LowerContext): Argument[] {
	return [matrix(y), ...halfOf(y, context)];
}

/** Keys of a window that a block can hold, and bytes that leave room for two blocks or more. */
const mostKeys = 128;
const mostShared = 96 << 10;

/** One block for each head of each window, if it can hold so many matrices of queries, keys and values, and so many of scores. */
function small(
	kernel: string,
	[queries, scores]: readonly [number, number],
	threads: number,
	{ units, rows, keys, defines }: Sizes,
	args: () => Launch["args"],
	{ label }: Instruction,
): Launch | null {
	const [heldRows, heldKeys] = [rows, keys].map((count) => Math.ceil(count / tile) * tile);
	const { HEAD: head } = defines;
	const stride = head === 8 ? 8 : head + 8;
	const shared = 4 * ((queries * heldRows + 2 * heldKeys) * stride + scores * heldRows * (heldKeys + 4));
	if (keys > mostKeys || shared > mostShared) return null;
	const turns = Math.ceil(Math.ceil(keys / 4) / 8);
	const [grid, block] = [[units, 1, 1] as const, [threads, 1, 1] as const];
	const all = { ...defines, TURNS: turns };
	return { kind: "kernel", file: "attention_small", kernel, defines: all, grid, block, shared, args: args(), label };
}

const attention: Lowering = (instruction, context) => {
	const half = attentionHalf(instruction, context);
	if (half) return half;
	const { inputs, outputs, attributes } = instruction;
	const sizes = sizesOf(instruction, context);
	const args = [...inputs.map(matrix), ...resultOf(operand(outputs, 0), context)];
	args.push(int(attributes.windows), int(attributes.heads), ...dropoutOf(attributes));
	return [
		small("attentionSmall", [1, 1], sizes.defines.HEAD < 32 ? 128 : 256, sizes, () => args, instruction) ??
			tiled("attention", sizes.rows, sizes, args, instruction),
	];
};

/** A gradient in one block for each head, or null; `sum`: what is added to the prefix's, and where that goes. */
function gradInOne(
	instruction: Instruction,
	sizes: Sizes,
	sum: { addend: Operand; y: Operand } | null,
	context: LowerContext,
): Command[] | null {
	const half = attentionHalfGrad(instruction, sum, context);
	if (half) return half;
	const { inputs, outputs, attributes } = instruction;
	const args = (): Argument[] => {
		const own = [0, 1].flatMap((i) => resultOf(operand(outputs, i), context));
		const prefix = outputs[2] ?? null;
		if (sum) context.next();
		const y = sum?.y ?? prefix;
		const ofPrefix = y ? resultOf(y, context) : [matrix(null), matrix(null), int(0)];
		const split = [int(attributes.windows), int(attributes.heads)];
		return [
			...inputs.map(matrix),
			...own,
			...ofPrefix,
			matrix(sum?.addend ?? null),
			...split,
			...dropoutOf(attributes),
		];
	};
	const launch = small("attentionSmallGrad", [2, 2], 256, sizes, args, instruction);
	return launch && [launch];
}

const attentionGrad: Lowering = (instruction, context) => {
	const { inputs, outputs, attributes } = instruction;
	const sizes = sizesOf(instruction, context);
	const together = gradInOne(instruction, sizes, null, context);
	if (together) return together;
	const given = inputs.map(matrix);
	const [dq, dkv] = [0, 1].map((i) => resultOf(operand(outputs, i), context));
	const dprefix = matrix(outputs[2] ?? null);
	const split = [int(attributes.windows), int(attributes.heads)];
	const dropout = dropoutOf(attributes);
	const [log, mean] = [0, 1].map(() => pointer(context.scratch(sizes.units, sizes.rows)));
	const queries = [...given, ...dq, log, mean, ...split, ...dropout];
	const keys = [...given, ...dkv, dprefix, log, mean, ...split, ...dropout];
	return [
		tiled("attentionGradQueries", sizes.rows, sizes, queries, instruction),
		tiled("attentionGradKeys", sizes.keys, sizes, keys, instruction),
	];
};

/** A gradient, and the sum of the prefix's with another: in a recurrence, that of the window which had it as its own keys. */
const gradThenAdd: Fusion = ([first, second], context) => {
	const prefix = first.outputs[2];
	if (first.op.name !== "attentionGrad" || second.op.name !== "add" || !prefix) return null;
	const [a, b] = second.inputs;
	const addend = sameOperand(a, prefix) ? b : sameOperand(b, prefix) ? a : null;
	const y = operand(second.outputs, 0);
	if (!addend || !inFours(addend) || !inFours(y) || context.readAfter(prefix, 2)) return null;
	// A block must not write what another has yet to read, or another result.
	const touched = [...first.inputs, ...first.outputs.slice(0, 2)];
	const apart = touched.every((each) => !meet(each, y));
	const own = first.outputs.every((each) => !meet(each, addend));
	if (!apart || !own || (meet(addend, y) && !sameOperand(addend, y))) return null;
	const commands = gradInOne(first, sizesOf(first, context), { addend, y }, context);
	return commands && [groupOf([first, second], commands)];
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

export const attentionFusions: readonly Fusion[] = [gradThenAdd];
export const attentionLowerings: Readonly<Record<string, Lowering>> = { attention, attentionGrad, decodeAttention };
