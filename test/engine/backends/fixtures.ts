/** Programs, jobs and runtimes made by hand, for tests that look below the graph. Not a test. */
import type { BackendName, Runtime, RuntimeOptions } from "../../../src/engine/backend.ts";
import { createRuntime } from "../../../src/engine/backends/index.ts";
import type { Attributes, Shape } from "../../../src/engine/graph.ts";
import type { Space } from "../../../src/engine/op.ts";
import { opNamed } from "../../../src/engine/ops/index.ts";
import type { Instruction, Job, Operand, Program, ProgramHandle } from "../../../src/engine/program.ts";

/** Every compiled form of the kernels, those that cannot run on this machine included. */
export const compiledForms: { name: BackendName; isa?: string; title: string }[] = [
	...["baseline", "avx2", "avx512", "neon"].map((isa) => ({ name: "native" as const, isa, title: `native ${isa}` })),
	{ name: "wasm", title: "wasm" },
];

/** A runtime, or the reason why there is none. */
export async function open(name: BackendName, options: RuntimeOptions): Promise<Runtime | string> {
	return await createRuntime(name, options).catch((error: Error) => error.message);
}

/** Normal-looking numbers from a small generator; the same for the same seed. */
export function noise(length: number, seed: number): Float32Array {
	let state = seed * 2654435761 + 1;
	return Float32Array.from({ length }, () => {
		let sum = 0;
		for (let i = 0; i < 4; i++) {
			state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
			sum += state / 2 ** 32 - 0.5;
		}
		return sum * 1.7;
	});
}

export function operand(space: Space, offset: number, [rows, cols]: Shape, ld = cols): Operand {
	return { space, offset, rows, cols, ld, dtype: "f32" };
}

/** The attributes of a plain product. */
export const plain: Attributes = {
	transposeA: 0,
	transposeB: 0,
	batch: 1,
	accumulate: 0,
	activation: 0,
	p: 0,
	dropoutId: 0,
	rowsPerSequence: 1,
	sequences: 1,
};

export function instruction(
	op: string,
	inputs: (Operand | null)[],
	outputs: (Operand | null)[],
	attributes: Attributes = {},
	parts = 1,
): Instruction {
	return { op: opNamed(op), inputs, outputs, attributes, parts, label: "" };
}

export function program(kind: "body" | "update", instructions: Instruction[], more: Partial<Program> = {}): Program {
	return {
		kind,
		instructions,
		constants: new Int32Array(0),
		arenaWords: 0,
		inputWords: 0,
		outputWords: 0,
		stateWords: 0,
		inputs: new Map(),
		outputs: new Map(),
		states: new Map(),
		shared: new Map(),
		flops: 0,
		...more,
	};
}

const emptyJob: Job = {
	weightsChanged: true,
	seed: 0x1234567890abcdefn,
	step: 17,
	slices: 0,
	gradientWords: 0,
	microBatches: [],
	updates: [],
};

/** A job of one update program. */
export function updateJob(handle: ProgramHandle, more: Partial<Job> = {}): Job {
	return { ...emptyJob, updates: [{ program: handle, stateOffset: 0 }], ...more };
}

/** A job of one micro-batch per slice, whose inputs and outputs lie `stride` words apart. */
export function slicedJob(handle: ProgramHandle, slices: number, stride: number, more: Partial<Job> = {}): Job {
	const microBatches = Array.from({ length: slices }, (_, slice) => ({
		program: handle,
		slice,
		inputsOffset: slice * stride,
		outputsOffset: slice * stride,
		firstSequence: slice,
	}));
	return { ...emptyJob, slices, microBatches, ...more };
}

export function readAll(runtime: Runtime, space: Space, words: number): Float32Array {
	const values = new Float32Array(words);
	runtime.read(space, 0, values);
	return values;
}

export function fill(runtime: Runtime, space: Space, values: Float32Array): void {
	runtime.reserve(space, values.length);
	runtime.write(space, 0, values);
}
