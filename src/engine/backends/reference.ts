/**
 * The engine in plain TypeScript: every instruction runs through its op's reference, on one thread. It is the specification
 * that the other backends are compared with, and the last resort where neither of them works. Not meant to be fast.
 */
import { type Backend, processorRowsPerStep, type Runtime } from "../backend.ts";
import { type Matrix, type Space, spaces } from "../op.ts";
import type { Instruction, Job, MicroBatch, Operand, Program, ProgramHandle } from "../program.ts";

export interface ReferenceOptions {
	/** "double" keeps every f32 value in double precision, for finite differences; default "single". */
	precision?: "single" | "double";
	/** Called after every instruction with what it read and wrote: to find where a NaN came from. */
	onInstruction?: InstructionHook;
}

export type InstructionHook = (
	instruction: Instruction,
	inputs: readonly (Matrix | null)[],
	outputs: readonly (Matrix | null)[],
) => void;

/** Words of one space. In single precision both arrays are views of the same words. */
class Memory {
	floats: Float32Array | Float64Array = new Float32Array(0);
	ints: Int32Array = new Int32Array(0);
	readonly #double: boolean;

	constructor(double: boolean) {
		this.#double = double;
	}

	reserve(words: number): void {
		if (words <= this.ints.length) return;
		const { floats, ints } = this;
		this.floats = this.#double ? new Float64Array(words) : new Float32Array(words);
		this.ints = this.#double ? new Int32Array(words) : new Int32Array(this.floats.buffer);
		this.ints.set(ints);
		this.floats.set(floats);
	}

	/** Take words whose type is not known: each is both the integer and the float of its bits. */
	setBits(words: Int32Array): void {
		this.reserve(words.length);
		this.ints.set(words);
		if (this.#double) this.floats.set(new Float32Array(words.buffer, words.byteOffset, words.length));
	}

	get bytes(): number {
		return this.floats.byteLength + (this.#double ? this.ints.byteLength : 0);
	}
}

/** What a run of one program adds to its operands' offsets, and what it draws random numbers from. */
interface Frame {
	handle: ProgramHandle;
	bases: Partial<Record<Space, number>>;
	firstSequence: number;
}

export class ReferenceRuntime implements Runtime {
	readonly backend = "reference";
	readonly description: string;
	readonly threads = 1;
	readonly rowsPerStep = processorRowsPerStep;
	readonly mostSlices = Number.POSITIVE_INFINITY;
	readonly #double: boolean;
	readonly #onInstruction: InstructionHook | undefined;
	readonly #memories = new Map<Space, Memory>();
	/** By the id of the loaded program. */
	readonly #constants = new Map<number, Memory>();
	#nextId = 0;
	#running = false;

	constructor({ precision = "single", onInstruction }: ReferenceOptions = {}) {
		this.#double = precision === "double";
		this.#onInstruction = onInstruction;
		this.description = `reference, plain TypeScript, ${precision} precision, 1 thread`;
		for (const space of spaces) this.#memories.set(space, new Memory(this.#double));
	}

	reserve(space: Space, words: number): void {
		this.#memory(space).reserve(words);
	}

	/** In double precision a Float64Array is taken as it is. */
	write(space: Space, offset: number, words: Float32Array | Float64Array | Int32Array): void {
		this.#stretch(space, offset, words).set(words);
	}

	/** In double precision a Float64Array receives all digits. */
	read(space: Space, offset: number, words: Float32Array | Float64Array | Int32Array): void {
		words.set(this.#stretch(space, offset, words));
	}

	load(program: Program): ProgramHandle {
		const constants = new Memory(this.#double);
		constants.setBits(program.constants);
		const id = this.#nextId++;
		this.#constants.set(id, constants);
		return { id, program };
	}

	forget({ id }: ProgramHandle): void {
		this.#constants.delete(id);
	}

	async run(job: Job): Promise<void> {
		for (const _ of this.#steps(job)) await new Promise((resolve) => setTimeout(resolve));
	}

	runSync(job: Job): void {
		for (const _ of this.#steps(job));
	}

	async peak(): Promise<number> {
		return Number.NaN;
	}

	memory(): number {
		return [...this.#memories.values(), ...this.#constants.values()].reduce((sum, { bytes }) => sum + bytes, 0);
	}

	async close(): Promise<void> {
		this.#memories.clear();
		this.#constants.clear();
	}

	/** The job, program by program; the caller may do other things between them. */
	*#steps(job: Job): Generator<void> {
		if (this.#running) throw new Error("[run] expected one job at a time, got a second one");
		this.#running = true;
		try {
			if (job.microBatches.length > 0) this.#zeroGradients(job);
			for (const microBatch of job.microBatches) {
				this.#execute(frameOf(microBatch, job), job);
				yield;
			}
			for (const { program, stateOffset } of job.updates) {
				this.#execute({ handle: program, bases: { state: stateOffset }, firstSequence: 0 }, job);
				yield;
			}
		} finally {
			this.#running = false;
		}
	}

	#zeroGradients({ slices, gradientWords }: Job): void {
		this.reserve("slices", slices * gradientWords);
		this.#memory("slices").floats.fill(0, 0, slices * gradientWords);
	}

	#execute(frame: Frame, { seed, step }: Job): void {
		const { handle, firstSequence } = frame;
		const { program } = handle;
		if (!this.#constants.has(handle.id))
			throw new Error(`[run] expected a loaded program, got ${handle.id}, not there`);
		this.reserve("arena", program.arenaWords);
		for (const instruction of program.instructions) {
			const { op, attributes } = instruction;
			const inputs = instruction.inputs.map((operand) => operand && this.#matrix(operand, frame));
			const outputs = instruction.outputs.map((operand) => operand && this.#matrix(operand, frame));
			op.reference({ inputs, outputs, attributes, part: 0, parts: 1, seed, step, firstSequence });
			this.#onInstruction?.(instruction, inputs, outputs);
		}
	}

	#matrix({ space, offset, rows, cols, ld, dtype }: Operand, { handle, bases }: Frame): Matrix {
		const memory = space === "constants" ? (this.#constants.get(handle.id) as Memory) : this.#memory(space);
		const data = dtype === "i32" ? memory.ints : memory.floats;
		const start = (bases[space] ?? 0) + offset;
		const end = start + (rows - 1) * ld + cols;
		if (end > data.length) throw new Error(`[run] expected ${end} words in space ${space}, got ${data.length}`);
		return { data, offset: start, rows, cols, ld };
	}

	#memory(space: Space): Memory {
		// A slice's gradients are its row of all slices' gradients.
		const memory = this.#memories.get(space === "gradients" ? "slices" : space);
		if (!memory) throw new Error(`[${space}] expected an open runtime, got a closed one`);
		return memory;
	}

	#stretch(space: Space, offset: number, like: Float32Array | Float64Array | Int32Array) {
		const { floats, ints } = this.#memory(space);
		const end = offset + like.length;
		if (end > ints.length) throw new Error(`[${space}] expected at most ${ints.length} words, got ${end}`);
		return (like instanceof Int32Array ? ints : floats).subarray(offset, end);
	}
}

function frameOf(
	{ program, slice, inputsOffset, outputsOffset, firstSequence }: MicroBatch,
	{ gradientWords }: Job,
): Frame {
	const bases = { gradients: slice * gradientWords, inputs: inputsOffset, outputs: outputsOffset };
	return { handle: program, bases, firstSequence };
}

export const reference: Backend = {
	name: "reference",
	unavailable: async () => undefined,
	create: async () => new ReferenceRuntime(),
};
