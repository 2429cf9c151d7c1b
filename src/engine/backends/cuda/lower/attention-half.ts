/** Attention of small windows where products are of halves; whatever does not suit these kernels is attention.ts's. */
import type { Instruction, Operand } from "../../../program.ts";
import { firstSequence, float, inFours, int, job, type LowerContext, matrix, operand } from "../lower-context.ts";
import type { Argument, Command, Launch } from "../lower-types.ts";
import { neededHalf, results } from "./casts.ts";
import { fits, type HalfInputs, noHalves } from "./halves.ts";

/** Rows of a warp. */
const tile = 16;
/** What a lane's registers and a block's shared memory can hold: columns of a head, rows of a window, keys, bytes. */
const mostColumns = 128;
const mostRows = 64;
const mostKeys = 128;
const mostShared = 200 << 10;
/** Halves of padding of a row in shared memory. */
const padding = 8;
/** Windows of a block, where a warp has one alone. */
const mostTogether = 4;

interface Sizes {
	readonly columns: number;
	readonly rows: number;
	readonly keys: number;
}

/** Of an instruction that suits these kernels. */
function sizesOf({ op, inputs, outputs, attributes }: Instruction): Sizes | null {
	if (op.name !== "attention" && op.name !== "attentionGrad") return null;
	const { windows, heads } = attributes;
	const q = operand(inputs, 0);
	const rows = q.rows / windows;
	const sizes = { columns: q.cols / heads, rows, keys: rows + (inputs[2]?.rows ?? 0) / windows };
	const { columns, keys } = sizes;
	const whole = [columns, rows, keys].every((each) => each % tile === 0);
	if (!whole || columns > mostColumns || rows > mostRows || keys > mostKeys) return null;
	if (gradShared(sizes, true) > mostShared) return null;
	const able = inputs.every((each) => !each || fits(each)) && outputs.every((each) => !each || inFours(each));
	return able ? sizes : null;
}

/** Operands of these calls that are read as halves: all. */
export function attentionHalves(instruction: Instruction): HalfInputs {
	return sizesOf(instruction) ? { always: instruction.inputs.map((_, i) => i), alone: [] } : noHalves;
}

/** The gradient's warps: those of its tiles of 16 rows of results, or half as many where each then has two. */
function gradWarps({ rows, keys }: Sizes): number {
	const tiles = (rows + 2 * keys) / tile;
	return tiles <= 5 ? tiles : Math.ceil(tiles / 2);
}

function gradShared(sizes: Sizes, adds: boolean): number {
	const { columns, rows, keys } = sizes;
	const stride = columns + padding;
	const added = adds ? 4 * (keys - rows) * stride : 0;
	return 2 * ((2 * (rows + keys) + tile * gradWarps(sizes)) * stride + 2 * rows * (keys + padding) + added);
}

function definesOf(sizes: Sizes): Record<string, number> {
	return { HEAD: sizes.columns, ROWS: sizes.rows, KEYS: sizes.keys, WARPS: gradWarps(sizes) };
}

function dropoutOf({ attributes: { p, dropoutId, sequences } }: Instruction): Argument[] {
	return [float(p), int(dropoutId), int(sequences), job, firstSequence];
}

/** The operands as halves, and the casts that it takes. */
function given(instruction: Instruction, context: LowerContext): { commands: Command[]; args: Argument[] } {
	const commands: Command[] = [];
	const args = instruction.inputs.map((each) => matrix(each && neededHalf(each, commands, instruction, context)));
	return { commands, args };
}

/** The forward call; null where it does not suit. */
export function attentionHalf(instruction: Instruction, context: LowerContext): Command[] | null {
	const sizes = context.halves && sizesOf(instruction);
	if (!sizes) return null;
	const { windows, heads } = instruction.attributes;
	const { columns, rows, keys } = sizes;
	const alone = rows === tile;
	const filling = Math.floor((windows * heads) / (2 * context.multiprocessors));
	const together = alone ? Math.max(1, Math.min(mostTogether, filling)) : 1;
	const { commands, args } = given(instruction, context);
	args.push(...results(operand(instruction.outputs, 0), context), int(windows), ...dropoutOf(instruction));
	const launch: Launch = {
		...{ kind: "kernel", file: "attention_half", kernel: "attentionHalf", defines: definesOf(sizes) },
		...{ grid: [Math.ceil(windows / together), heads, 1], block: [2 * rows, together, 1] },
		...{ shared: together * 2 * (rows + 2 * keys) * (columns + padding), args, label: instruction.label },
	};
	return [...commands, launch];
}

/** The gradient, likewise; `sum`: what is added to the prefix's by the next instruction, and where that goes. */
export function attentionHalfGrad(
	instruction: Instruction,
	sum: { addend: Operand; y: Operand } | null,
	context: LowerContext,
): Command[] | null {
	const sizes = context.halves && sizesOf(instruction);
	if (!sizes) return null;
	const { outputs, attributes } = instruction;
	const { commands, args } = given(instruction, context);
	args.push(...[0, 1].flatMap((i) => results(operand(outputs, i), context)));
	if (sum) context.next();
	const prefix = sum?.y ?? outputs[2] ?? null;
	args.push(...(prefix ? results(prefix, context) : [matrix(null), matrix(null)]));
	args.push(matrix(sum?.addend ?? null), ...dropoutOf(instruction));
	const launch: Launch = {
		...{ kind: "kernel", file: "attention_half", kernel: "attentionHalfGrad", defines: definesOf(sizes) },
		...{ grid: [attributes.windows, attributes.heads, 1], block: [32 * gradWarps(sizes), 1, 1] },
		...{ shared: gradShared(sizes, sum !== null), args, label: instruction.label },
	};
	return [...commands, launch];
}
