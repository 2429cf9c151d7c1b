/**
 * Values of the arena that products read as bf16. Each has its copy at the same place of a mirror of the arena, made once: by the
 * kernel that makes the value where that kernel can, else cast before the first product that reads it. A value that nothing reads in
 * single precision need not be written in single precision at all.
 */
import type { Instruction, Operand, Program } from "../../../program.ts";
import type { DeviceOperand } from "../lower-types.ts";

/** A value of the arena from the instruction that made it, or from the product that wanted it cast, until it is overwritten. */
interface Value {
	readonly operand: Operand;
	/** Read by products in bf16; by anything in single precision. */
	half: boolean;
	full: boolean;
	/** The copy has been made. */
	made: boolean;
}

/** Which inputs of an instruction may be read as bf16. */
export type HalfInputs = (instruction: Instruction) => readonly number[];

export class Halves {
	/** By instruction: values of its inputs that are read as bf16, and of its outputs. */
	readonly #read: Map<Operand, Value>[] = [];
	readonly #made: Map<Operand, Value>[] = [];
	#at = 0;
	/** 32-bit words of the mirror. */
	readonly words: number;

	constructor({ instructions }: Program, halfInputs: HalfInputs) {
		let live: Value[] = [];
		let end = 0;
		for (const instruction of instructions) {
			const half = halfInputs(instruction);
			const read = new Map<Operand, Value>();
			const made = new Map<Operand, Value>();
			this.#read.push(read);
			this.#made.push(made);
			if (instruction.attributes.accumulate) markFull(live, instruction.outputs[0]);
			instruction.inputs.forEach((input, i) => {
				if (input?.space !== "arena") return;
				const mirrored = half.includes(i) && fits(input);
				if (!mirrored) {
					markFull(live, input);
					return;
				}
				let value = live.find(({ operand }) => same(operand, input));
				if (!value) {
					// A part or a union of values: the cast reads all of them.
					markFull(live, input);
					value = { operand: input, half: true, full: true, made: false };
					live.push(value);
				}
				value.half = true;
				end = Math.max(end, endOf(input));
				read.set(input, value);
			});
			for (const output of instruction.outputs) {
				if (output?.space !== "arena") continue;
				// Where only a part is overwritten, the rest may yet be read.
				markFull(
					live.filter(({ operand }) => !same(operand, output)),
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
		if (!value?.half) return null;
		value.made = true;
		return { to: mirror(operand), only: !value.full };
	}

	/** For who reads one: its copy, and whether that must be made first; null where it is none of these values. */
	input(operand: Operand): { from: DeviceOperand; missing: boolean } | null {
		const value = this.#read[this.#at].get(operand);
		if (!value) return null;
		const missing = !value.made;
		value.made = true;
		return { from: mirror(operand), missing };
	}
}

function markFull(live: readonly Value[], read: Operand | null): void {
	for (const value of live) if (read?.space === "arena" && overlap(value.operand, read)) value.full = true;
}

function mirror({ offset, rows, cols, ld }: Operand): DeviceOperand {
	return { space: "scratch", offset: offset / 2, rows, cols, ld, dtype: "bf16" };
}

/** Rows of 16 bytes. */
function fits({ offset, cols, ld }: Operand): boolean {
	return offset % 8 === 0 && cols % 8 === 0 && ld % 8 === 0;
}

function same(a: Operand, b: Operand): boolean {
	return a.offset === b.offset && a.rows === b.rows && a.cols === b.cols && a.ld === b.ld;
}

function endOf({ offset, rows, cols, ld }: Operand): number {
	return offset + (rows - 1) * ld + cols;
}

/** Do the two share words? Columns of one matrix side by side do not. */
function overlap(a: Operand, b: Operand): boolean {
	if (endOf(a) <= b.offset || endOf(b) <= a.offset) return false;
	if (a.ld !== b.ld) return true;
	const [first, second] = [a.offset % a.ld, b.offset % b.ld];
	const wraps = first + a.cols > a.ld || second + b.cols > b.ld;
	return wraps || (first < second + b.cols && second < first + a.cols);
}
