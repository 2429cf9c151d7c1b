/**
 * Values of the arena that are read as bf16. Each has its copy at the same place of a mirror of the arena, made once: by the kernel that
 * makes the value where that kernel can, else cast before it is first read. A value that nothing reads in single precision need not be
 * written in single precision at all.
 */
import type { Instruction, Operand, Program } from "../../../program.ts";
import type { DeviceOperand } from "../lower-types.ts";

/** A value of the arena, from the instruction that made it (or first wanted a cast of what it is a part of) until it is overwritten. */
interface Value {
	readonly operand: Operand;
	/** Read as bf16; by anything in single precision. */
	half: boolean;
	full: boolean;
	/** The copy has been made. */
	made: boolean;
}

/** Which inputs of an instruction are read as bf16, if they can be. */
export type HalfInputs = (instruction: Instruction) => readonly number[];

export class Halves {
	/** By instruction: values that inputs read as bf16 consist of, and the values of its outputs. */
	readonly #read: Map<Operand, Value[]>[] = [];
	readonly #made: Map<Operand, Value>[] = [];
	#at = 0;
	/** 32-bit words of the mirror. */
	readonly words: number;

	constructor({ instructions }: Program, halfInputs: HalfInputs) {
		let live: Value[] = [];
		let end = 0;
		for (const instruction of instructions) {
			const half = halfInputs(instruction);
			const read = new Map<Operand, Value[]>();
			const made = new Map<Operand, Value>();
			this.#read.push(read);
			this.#made.push(made);
			if (instruction.attributes.accumulate) markFull(live, instruction.outputs[0]);
			instruction.inputs.forEach((input, i) => {
				if (input?.space !== "arena") return;
				if (!half.includes(i)) return markFull(live, input);
				const values = valuesOf(live, input);
				for (const value of values) {
					value.half = true;
					end = Math.max(end, endOf(value.operand));
				}
				read.set(input, values);
			});
			for (const output of instruction.outputs) {
				if (output?.space !== "arena") continue;
				// Where only a part is overwritten, the rest may yet be read.
				markFull(
					live.filter(({ operand }) => !within(operand, output)),
					output,
				);
				live = live.filter(({ operand }) => !overlap(operand, output));
			}
			for (const output of instruction.outputs) {
				if (output?.space !== "arena") continue;
				const value = { operand: output, half: false, full: false, made: false };
				live.push(value);
				made.set(output, value);
			}
		}
		this.words = Math.ceil(end / 2 / 64) * 64;
	}

	/** Go to an instruction: what follows is asked for it. */
	at(instruction: number): void {
		this.#at = instruction;
	}

	/** For who makes a value: where its copy goes, if one is wanted, and whether the value itself is. Having asked, make it. */
	output(operand: Operand): { to: DeviceOperand; only: boolean } | null {
		const value = this.#made[this.#at].get(operand);
		if (!value?.half || !fits(operand)) return null;
		value.made = true;
		return { to: mirror(operand), only: !value.full };
	}

	/** For who can make either but not both: where the copy goes if it is all that is wanted. */
	outputAlone(operand: Operand): DeviceOperand | null {
		const value = this.#made[this.#at].get(operand);
		return value?.half && !value.full ? (this.output(operand)?.to ?? null) : null;
	}

	/** For who reads one: its copy, and of what a cast must be made first; null where it is none of these values. */
	input(operand: Operand): { from: DeviceOperand; missing: Operand[] } | null {
		const values = this.#read[this.#at].get(operand);
		if (!values) return null;
		const missing = values.filter(({ made }) => !made);
		for (const value of missing) value.made = true;
		const none = values.length > 1 && missing.length === values.length;
		return { from: mirror(operand), missing: none ? [operand] : missing.map((value) => value.operand) };
	}
}

/** The copy of an operand of the arena. */
function mirror({ offset, rows, cols, ld }: Operand): DeviceOperand {
	return { space: "scratch", offset: offset / 2, rows, cols, ld, dtype: "bf16" };
}

/** The values that `input` is a part of or consists of; where there are no such, a new one, which is cast from all it covers. */
function valuesOf(live: Value[], input: Operand): Value[] {
	const whole = live.find(({ operand }) => within(input, operand));
	if (whole) return [whole];
	const parts = live.filter(({ operand }) => overlap(operand, input));
	const words = parts.reduce((sum, { operand }) => sum + operand.rows * operand.cols, 0);
	if (parts.every(({ operand }) => within(operand, input) && fits(operand)) && words === input.rows * input.cols) {
		return parts;
	}
	markFull(live, input);
	const value = { operand: input, half: true, full: true, made: false };
	live.push(value);
	return [value];
}

function markFull(live: readonly Value[], read: Operand | null): void {
	for (const value of live) if (read?.space === "arena" && overlap(value.operand, read)) value.full = true;
}

/** Does an operand have a place in the mirror? Rows of 16 bytes. */
export function fits({ space, offset, cols, ld }: Operand): boolean {
	return space === "arena" && offset % 8 === 0 && cols % 8 === 0 && ld % 8 === 0;
}

function endOf({ offset, rows, cols, ld }: Operand): number {
	return offset + (rows - 1) * ld + cols;
}

/** Is `a` some rows and columns of `b`? */
function within(a: Operand, b: Operand): boolean {
	const distance = a.offset - b.offset;
	if (distance < 0 || a.ld !== b.ld) return false;
	return (distance % a.ld) + a.cols <= b.cols && Math.floor(distance / a.ld) + a.rows <= b.rows;
}

/** Do two operands of one space share words? Columns of one matrix side by side do not. */
export function overlap(a: Operand, b: Operand): boolean {
	if (endOf(a) <= b.offset || endOf(b) <= a.offset) return false;
	if (a.ld !== b.ld) return true;
	const [before, after] = a.offset <= b.offset ? [a, b] : [b, a];
	const column = (after.offset - before.offset) % a.ld;
	return column < before.cols || column + after.cols > a.ld;
}
