/** What the lowering of one op may use, and the small things that all of them share. */
import type { Instruction, Operand } from "../../program.ts";
import type { Halves } from "./lower/halves.ts";
import type { Argument, Command, DeviceOperand, DeviceSpace, Launch, Target } from "./lower-types.ts";
import type { Group } from "./order.ts";

/** Commands for one instruction. */
export type Lowering = (instruction: Instruction, context: LowerContext) => Command[];

/**
 * Commands for two or more instructions at the beginning of a list together, or null where they are not of its kind. It asks for the halves
 * of the first, then calls `next` before it asks for those of the second, and so on; the last it has come to is the last that is done.
 */
export type Fusion = (instructions: readonly Instruction[], context: LowerContext) => readonly Group[] | null;

export interface LowerContext extends Target {
	/** Within a fusion: `halves` are from now on those of the next instruction. */
	next(): void;
	/** Within a fusion, before `next`: is what one of the first `count` instructions left there read by any behind these? */
	readAfter(operand: Operand, count: number): boolean;
	/** Memory of this instruction alone: `rows` x `cols` f32 words without gaps. */
	scratch(rows: number, cols: number): DeviceOperand;
	/** Offset of scratch that lasts as long as the program runs. To be asked for before any other scratch of an instruction. */
	keep(words: number): number;
	/** Values that are to be had as halves; null where products are not of half precision. */
	readonly halves: Halves | null;
	/** Have weights as halves been asked for? Set by products that read them. */
	useHalf(): void;
}

export const matrix = (operand: DeviceOperand | null): Argument => ({ kind: "matrix", operand });
export const pointer = (operand: DeviceOperand | null): Argument => ({ kind: "pointer", operand });
export const int = (value: number): Argument => ({ kind: "int", value });
export const float = (value: number): Argument => ({ kind: "float", value });
export const job: Argument = { kind: "job" };
export const firstSequence: Argument = { kind: "firstSequence" };

/** A required operand. */
export function operand(list: readonly (Operand | null)[], index: number): Operand {
	const found = list[index];
	if (!found) throw new Error(`[lower] expected operand ${index}, got none`);
	return found;
}

/** Threads of a block that strides over elements. */
const threads = 256;

/** A launch whose threads stride over `count` pieces of work. */
export function strided(
	file: string,
	kernel: string,
	count: number,
	args: readonly Argument[],
	{ label }: Instruction,
	{ multiprocessors }: LowerContext,
): Launch {
	if (count >= 2 ** 31) throw new Error(`[${kernel}] expected fewer than 2^31 pieces of work, got ${count} (${label})`);
	const blocks = Math.max(1, Math.min(Math.ceil(count / threads), 8 * multiprocessors));
	return { kind: "kernel", file, kernel, grid: [blocks, 1, 1], block: [threads, 1, 1], shared: 0, args, label };
}

/** What names an instruction in messages. */
export function labelOf({ op, label }: Instruction): string {
	return label === "" ? op.name : `${op.name}, ${label}`;
}

/** Spaces whose base a job may move by a number of words that is not a multiple of 4. */
const moved: readonly DeviceSpace[] = ["inputs", "outputs", "state"];

/** Can rows be read as vectors of four words? */
export function inFours({ space, offset, cols, ld }: DeviceOperand): boolean {
	return offset % 4 === 0 && cols % 4 === 0 && ld % 4 === 0 && !moved.includes(space);
}

/** Arguments by which a kernel leaves copies of a result as halves: the matrix (or none), and whether that is all that is wanted. */
export function halfOf(y: Operand, { halves }: LowerContext): Argument[] {
	const wanted = halves?.output(y) ?? null;
	return [matrix(wanted?.to ?? null), int(wanted?.only ? 1 : 0)];
}

/** Are two operands the same words? */
export function sameOperand(a: Operand | null, b: Operand | null): boolean {
	if (!a || !b) return false;
	return a.space === b.space && a.offset === b.offset && a.rows === b.rows && a.cols === b.cols && a.ld === b.ld;
}
