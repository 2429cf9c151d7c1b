/** What the lowering of one op may use, and the small things that all of them share. */
import type { Instruction, Operand } from "../../program.ts";
import type { Argument, Command, DeviceOperand, DeviceSpace, Launch, Target } from "./lower-types.ts";

/** Commands for one instruction. */
export type Lowering = (instruction: Instruction, context: LowerContext) => Command[];

export interface LowerContext extends Target {
	/** Memory of this instruction alone: `rows` x `cols` f32 words without gaps. */
	scratch(rows: number, cols: number): DeviceOperand;
	/** Has bf16 weights been asked for? Set by products that read them. */
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
