/**
 * Values of the arena that are read in half precision: as 16 bits each, of a format that lowering need not know. Each has its copy at the
 * same place of a mirror of the arena, made once: by the kernel that makes the value where that kernel can, else cast before it is first
 * read. A value that nothing reads in single precision need not be written in single precision at all.
 */
import type { Instruction, Operand, Program } from "../../../program.ts";
import type { DeviceOperand } from "../lower-types.ts";

/** A value of the arena, from the instruction that made it (or first wanted a cast of what it is a part of) until it is overwritten. */
interface Value {
	readonly operand: Operand;
	/** Read as halves; by anything in single precision. */
	half: boolean;
	full: boolean;
	/** The copy has been made. */
	made: boolean;
}

/** Which inputs of an instruction are read as halves. */
export interface HalfInputs {
	/** Always, if they can be. */
	readonly always: readonly number[];
	/** Only where nothing needs them in single precision: a copy beside it would not pay. */
	readonly alone: readonly number[];
}

export const noHalves: HalfInputs = { always: [], alone: [] };

/** An input that is to be read as halves if nothing reads its values in single precision. */
interface Undecided {
	readonly read: Map<Operand, Value[]>;
	readonly input: Operand;
	readonly values: Value[];
}

export class Halves {
	/** By instruction: values that inputs read as halves consist of, and the values of its outputs. */
	readonly #read: Map<Operand, Value[]>[] = [];
	readonly #made: Map<Operand, Value>[] = [];
	#at = 0;
	/** 32-bit words of the mirror. */
	readonly words: number;

	constructor({ instructions }: Program, halfInputs: (instruction: Instruction) => HalfInputs) {
		const live = new LiveValues();
		const undecided: Undecided[] = [];
		for (const instruction of instructions) {
			const { always, alone } = halfInputs(instruction);
			const read = new Map<Operand, Value[]>();
			const made = new Map<Operand, Value>();
			this.#read.push(read);
			this.#made.push(made);
			if (instruction.attributes.accumulate) live.readFull(instruction.outputs[0]);
			instruction.inputs.forEach((input, i) => {
				if (input?.space !== "arena") return;
				const values = alone.includes(i) ? live.covering(input) : null;
				if (values) undecided.push({ read, input, values });
				else if (always.includes(i)) read.set(input, live.readHalf(input));
				else live.readFull(input);
			});
			const outputs = instruction.outputs.filter((output) => output?.space === "arena") as Operand[];
			for (const output of outputs) live.overwrite(output);
			for (const output of outputs) made.set(output, live.make(output));
		}
		decide(undecided);
		const ends = live.all.map(({ half, operand }) => (half ? endOf(operand) : 0));
		this.words = Math.ceil(ends.reduce((most, end) => Math.max(most, end), 0) / 2 / 64) * 64;
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

	/** For who can read either: was some of it made in halves alone? */
	madeAlone(operand: Operand): boolean {
		return this.#read[this.#at].get(operand)?.some(({ made, full }) => made && !full) ?? false;
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
	return { space: "scratch", offset: offset / 2, rows, cols, ld, dtype: "half" };
}

/** One reader in single precision is enough for all that read a value, or a value together with it. */
function decide(undecided: readonly Undecided[]): void {
	let open = undecided;
	for (;;) {
		const full = open.filter(({ values }) => values.some((value) => value.full));
		if (full.length === 0) break;
		for (const { values } of full) for (const value of values) value.full = true;
		open = open.filter((each) => !full.includes(each));
	}
	for (const { read, input, values } of open) {
		for (const value of values) value.half = true;
		read.set(input, values);
	}
}

/** What lies where in the arena while a program is read from its beginning. */
class LiveValues {
	readonly all: Value[] = [];
	/** Values that are whole; and those of which only a part has been overwritten, so that the rest may yet be read. */
	#whole: Value[] = [];
	#left: Value[] = [];

	make(operand: Operand): Value {
		const value = { operand, half: false, full: false, made: false };
		this.#whole.push(value);
		this.all.push(value);
		return value;
	}

	overwrite(output: Operand): void {
		const touched = this.#whole.filter(({ operand }) => overlap(operand, output));
		this.#left = [...this.#left, ...touched].filter(({ operand }) => !within(operand, output));
		this.#whole = this.#whole.filter((value) => !touched.includes(value));
	}

	/** The value that `input` is a part of, or values of whose parts it consists; null where it is neither. */
	covering(input: Operand): Value[] | null {
		const whole = this.#whole.find(({ operand }) => within(input, operand));
		if (whole) return [whole];
		const parts = this.#whole.filter(({ operand }) => overlap(operand, input));
		const words = parts.reduce((sum, { operand }) => sum + shared(operand, input), 0);
		return words === input.rows * input.cols ? parts : null;
	}

	readFull(input: Operand | null): void {
		if (input?.space !== "arena") return;
		const values = this.covering(input) ?? [...this.#whole, ...this.#left];
		for (const value of values) if (overlap(value.operand, input)) value.full = true;
	}

	/** @returns the values it consists of; where there are no such, a new one, which is cast from all it covers */
	readHalf(input: Operand): Value[] {
		const known = this.covering(input);
		if (known?.every(({ operand }) => fits(operand))) {
			for (const value of known) value.half = true;
			return known;
		}
		this.readFull(input);
		const value = this.make(input);
		value.half = value.full = true;
		return [value];
	}
}

/** Does an operand have a place in the mirror? Rows of 16 bytes. */
export function fits({ space, offset, cols, ld }: Operand): boolean {
	return space === "arena" && offset % 8 === 0 && cols % 8 === 0 && ld % 8 === 0;
}

function endOf({ offset, rows, cols, ld }: DeviceOperand): number {
	return offset + (rows - 1) * ld + cols;
}

/** Is `a` some rows and columns of `b`? */
function within(a: Operand, b: Operand): boolean {
	const distance = a.offset - b.offset;
	if (distance < 0 || a.ld !== b.ld) return false;
	return (distance % a.ld) + a.cols <= b.cols && Math.floor(distance / a.ld) + a.rows <= b.rows;
}

/** Words that two operands of one space share, if both are rows equally far apart; else 0. */
function shared(a: Operand, b: Operand): number {
	if (a.ld !== b.ld) return 0;
	const common = (at: number, count: number, of: number) => Math.max(0, Math.min(of, at + count) - Math.max(0, at));
	const distance = b.offset - a.offset;
	const row = Math.floor(distance / a.ld);
	const column = distance - row * a.ld;
	// b may begin to the right of a, or to its left.
	const right = common(row, b.rows, a.rows) * common(column, b.cols, a.cols);
	return right + common(row + 1, b.rows, a.rows) * common(column - a.ld, b.cols, a.cols);
}

/** Do two operands share words? */
export function meet(a: DeviceOperand | null, b: DeviceOperand | null): boolean {
	return a !== null && b !== null && a.space === b.space && overlap(a, b);
}

/** Do two operands of one space share words? Columns of one matrix side by side do not. */
function overlap(a: DeviceOperand, b: DeviceOperand): boolean {
	if (endOf(a) <= b.offset || endOf(b) <= a.offset) return false;
	if (a.ld !== b.ld) return true;
	const [before, after] = a.offset <= b.offset ? [a, b] : [b, a];
	const column = (after.offset - before.offset) % a.ld;
	return column < before.cols || column + after.cols > a.ld;
}
