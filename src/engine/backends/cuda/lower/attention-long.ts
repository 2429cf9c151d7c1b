/**
 * Attention of long windows in half precision. A forward call and its gradient are known as a pair, so that the gradient finds what the
 * forward call kept for it; a gradient without its forward call, and whatever else does not suit these kernels, is attention.ts's.
 */
import type { Instruction, Operand, Program } from "../../../program.ts";
import {
	firstSequence,
	float,
	int,
	job,
	type LowerContext,
	matrix,
	operand,
	pointer,
	sameOperand,
} from "../lower-context.ts";
import type { Argument, Command, DeviceOperand, Launch } from "../lower-types.ts";
import { neededHalf, results } from "./casts.ts";
import { fits, meet } from "./halves.ts";

/** Rows from which a window is long, of a tile in shared memory, and of a block: queries, keys. */
const longWindow = 64;
const tileRows = 64;
const queryRows = () => 128;
const keyRows = (head: number) => (head <= 64 ? 192 : 128);

/** What a forward call keeps for its gradient: a word for each row of each head, and the result in halves. */
interface Kept {
	readonly log: DeviceOperand;
	readonly result: DeviceOperand;
}

/** A forward call with a gradient; `kept` from its lowering on. */
interface Pair {
	kept?: Kept;
}

/** The calls of a program that are for these kernels; null: a forward call that no gradient follows. */
export type LongAttention = ReadonlyMap<Instruction, Pair | null>;

export function longAttention({ instructions }: Program): LongAttention {
	const found = new Map<Instruction, Pair | null>();
	let forward: Instruction[] = [];
	for (const instruction of instructions) {
		const { op, outputs } = instruction;
		if (op.name === "attentionGrad" && suits(instruction)) {
			const before = forward.find((one) => isForwardOf(one, instruction));
			if (before) {
				const pair = found.get(before) ?? {};
				found.set(before, pair).set(instruction, pair);
			}
		}
		const changed = (read: Operand | null) => outputs.some((output) => meet(read, output));
		forward = forward.filter(({ inputs: [q, kv] }) => !changed(q) && !changed(kv));
		if (op.name === "attention" && suits(instruction)) {
			found.set(instruction, null);
			forward.push(instruction);
		}
	}
	return found;
}

function suits({ inputs, outputs, attributes }: Instruction): boolean {
	const { windows, heads } = attributes;
	const q = operand(inputs, 0);
	const columns = q.cols / heads;
	if (inputs[2] || q.rows / windows < longWindow || columns % 32 !== 0 || columns > 128) return false;
	return [...inputs, ...outputs].every((each) => !each || fits(each));
}

function isForwardOf(forward: Instruction, { inputs, attributes }: Instruction): boolean {
	const same = Object.entries(attributes).every(([name, value]) => forward.attributes[name] === value);
	return same && sameOperand(forward.inputs[0], inputs[0]) && sameOperand(forward.inputs[1], inputs[1]);
}

function keep({ inputs, attributes }: Instruction, context: LowerContext): Kept {
	const { rows, cols } = operand(inputs, 0);
	const words = rows * attributes.heads;
	const log = { space: "scratch", offset: context.keep(words), rows: 1, cols: words, ld: words, dtype: "f32" } as const;
	const place = { space: "scratch", offset: context.keep((rows * cols) / 2), rows, cols, ld: cols } as const;
	return { log, result: { ...place, dtype: "half" } };
}

/** Operands of these calls that are read as halves. */
export function longHalfInputs({ op }: Instruction): readonly number[] {
	return op.name === "attention" ? [0, 1] : [0, 1, 3];
}

/** Keys and values of a matrix of both. */
function halvesOf(kv: DeviceOperand): [DeviceOperand, DeviceOperand] {
	const keys = { ...kv, cols: kv.cols / 2 };
	return [keys, { ...keys, offset: kv.offset + keys.cols / 2 }];
}

function common({ attributes }: Instruction): Argument[] {
	const { windows, heads, p, dropoutId, sequences } = attributes;
	return [int(windows), int(heads), float(p), int(dropoutId), int(sequences), job, firstSequence];
}

/** @param own rows of a block */
function tiled(
	kernel: string,
	own: (head: number) => number,
	args: Argument[],
	{ inputs, attributes, label }: Instruction,
): Launch {
	const { windows, heads, p } = attributes;
	const q = operand(inputs, 0);
	const columns = q.cols / heads;
	const rows = own(columns);
	// Halves of two matrices, the block's rows and two tiles of others; four words a row of a tile; up to 1024 bytes to begin at a multiple.
	const shared = 2 * 2 * (rows + 2 * tileRows) * columns + 4 * 4 * tileRows + 1024;
	const grid = [windows * heads, Math.ceil(q.rows / windows / rows), 1] as const;
	const defines = { HEAD: columns, DROPOUT: Number(p > 0) };
	return {
		kind: "kernel",
		file: "attention_long",
		kernel,
		defines,
		grid,
		block: [2 * rows, 1, 1],
		shared,
		args,
		label,
	};
}

function forward(pair: Pair | null, instruction: Instruction, context: LowerContext): Command[] {
	if (pair) pair.kept = keep(instruction, context);
	const commands: Command[] = [];
	const q = neededHalf(operand(instruction.inputs, 0), commands, instruction, context);
	const [keys, values] = halvesOf(neededHalf(operand(instruction.inputs, 1), commands, instruction, context));
	const given = [matrix(q), matrix(keys), matrix(values), ...results(operand(instruction.outputs, 0), context)];
	const args = [...given, matrix(pair?.kept?.result ?? null), pointer(pair?.kept?.log ?? null)];
	return [...commands, tiled("attentionLong", queryRows, [...args, ...common(instruction)], instruction)];
}

function gradient({ kept }: Pair, instruction: Instruction, context: LowerContext): Command[] {
	if (!kept) throw new Error("[attentionGrad] expected its forward call before it");
	const { log, result } = kept;
	const { outputs } = instruction;
	const commands: Command[] = [];
	const q = neededHalf(operand(instruction.inputs, 0), commands, instruction, context);
	const [keys, values] = halvesOf(neededHalf(operand(instruction.inputs, 1), commands, instruction, context));
	const dout = neededHalf(operand(instruction.inputs, 3), commands, instruction, context);
	const mean = context.scratch(1, log.cols);
	const given = [q, keys, values, dout].map(matrix);
	const [toQueries, toKeys] = [0, 1].map((i) => results(operand(outputs, i), context));
	const rest = [pointer(log), pointer(mean), ...common(instruction)];
	// The first leaves the means for the second.
	commands.push(
		tiled("attentionLongQueries", queryRows, [...given, matrix(result), ...toQueries, ...rest], instruction),
	);
	return [...commands, tiled("attentionLongKeys", keyRows, [...given, ...toKeys, ...rest], instruction)];
}

/** Commands of a call that is in `longAttention`'s table. */
export function longCommands(pair: Pair | null, instruction: Instruction, context: LowerContext): Command[] {
	const isForward = instruction.op.name === "attention";
	return isForward ? forward(pair, instruction, context) : gradient(pair as Pair, instruction, context);
}
