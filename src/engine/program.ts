/** A planned graph: a flat list of kernel calls over spaces (docs/engine.md). Plain data; every backend runs the same one. */
import type { Attributes, DType, Shape } from "./graph.ts";
import type { OpDefinition, Space } from "./op.ts";

/** A matrix in a space; `offset` in words from the base of the space. */
export interface Operand {
	space: Space;
	offset: number;
	rows: number;
	cols: number;
	ld: number;
	dtype: DType;
}

export interface Instruction {
	op: OpDefinition;
	inputs: (Operand | null)[];
	outputs: (Operand | null)[];
	attributes: Attributes;
	/** Number of parts in an update program; 1 in a body. */
	parts: number;
	/** Where in the model it came from, for messages. */
	label: string;
}

/** Place of a named value that the host reads or writes. */
export interface Slot {
	offset: number;
	shape: Shape;
	dtype: DType;
}

/** A planned graph. */
export interface Program {
	kind: "body" | "update";
	instructions: Instruction[];
	/** Constants as raw words. */
	constants: Int32Array;
	arenaWords: number;
	inputWords: number;
	outputWords: number;
	stateWords: number;
	/** Offsets within inputs, outputs and state. */
	inputs: Map<string, Slot>;
	outputs: Map<string, Slot>;
	states: Map<string, Slot>;
	/** Offsets in the runtime's `shared` of the shared values that it reads. */
	shared: Map<string, Slot>;
	/** Floating-point operations of one run. */
	flops: number;
}

/** One micro-batch of a job. */
export interface MicroBatch {
	program: ProgramHandle;
	slice: number;
	inputsOffset: number;
	outputsOffset: number;
	firstSequence: number;
}

/** One call of a runtime: micro-batches, then updates (docs/engine.md, "Programs and jobs"). */
export interface Job {
	/** Weights were written by the host or by an update since the last run. */
	weightsChanged: boolean;
	seed: bigint;
	step: number;
	slices: number;
	gradientWords: number;
	microBatches: MicroBatch[];
	updates: { program: ProgramHandle; stateOffset: number }[];
	/** In the runtime's wider range, where it has one (backend.ts). */
	wide?: boolean;
}

/** A Program loaded into a runtime. */
export interface ProgramHandle {
	readonly id: number;
	readonly program: Program;
}
