/** Runs the ops' conformance cases as programs of one instruction and compares two runtimes. Not a test. */
import { expect } from "vitest";
import { RandomSequence } from "../../src/base/random.ts";
import type { Runtime } from "../../src/engine/backend.ts";
import { ReferenceRuntime } from "../../src/engine/backends/reference.ts";
import type { Shape } from "../../src/engine/graph.ts";
import type { OpCase, OpDefinition, Space } from "../../src/engine/op.ts";
import type { Job, Operand, Program } from "../../src/engine/program.ts";
import { normal, shapesOf, valuesOf } from "./cases.ts";
import { assertClose } from "./close.ts";

/** How one call differs from the plain one. */
export interface Variant {
	name: string;
	/** Output that takes the place of an input: [input, output]. */
	inPlace?: readonly [number, number];
	/** Leave out optional outputs. */
	bare?: boolean;
	/** In an update program, in this many parts. */
	parts?: number;
	/** Operands lie at multiples of 16 bytes, in a space that jobs do not move. */
	aligned?: boolean;
	/** Input 1 is a weight, which a runtime may keep in a form of its own. */
	weight?: boolean;
}

/** A call as a program of one instruction, whose operands lie in one buffer with gaps between their rows. */
export interface Prepared {
	program: Program;
	space: Space;
	/** The buffer before the call: inputs, and noise elsewhere. */
	words: Float32Array;
	parameters: Float32Array;
	outputs: (Operand | null)[];
}

/** Lays out operands in a space at odd places, rows apart; or at even ones. */
class Buffer {
	#words = 0;
	readonly #aligned: boolean;

	constructor(aligned = false) {
		this.#aligned = aligned;
	}

	place(space: Space, [rows, cols]: Shape, dtype: "f32" | "i32", gap: number): Operand {
		const offset = this.#aligned ? Math.ceil(this.#words / 16) * 16 : this.#words + 5;
		const ld = cols + (this.#aligned ? 4 * gap : gap);
		this.#words = offset + rows * ld;
		return { space, offset, rows, cols, ld, dtype };
	}

	get words(): number {
		return this.#words + 7;
	}
}

export function prepare(op: OpDefinition, one: OpCase, variant: Variant): Prepared {
	const values = valuesOf(op, one);
	const attributes = one.attributes ?? {};
	const buffer = new Buffer(variant.aligned);
	const weights = new Buffer(variant.aligned);
	const space = variant.aligned ? "optimizer" : "outputs";
	const inputs = values.map((value, index) => {
		if (!value) return null;
		const dtype = value instanceof Int32Array ? "i32" : "f32";
		const shape = one.inputs[index] as Shape;
		if (variant.weight && index === 1) return weights.place("parameters", shape, dtype, 0);
		return buffer.place(space, shape, dtype, 3);
	});
	const shared = new Map(
		[...(op.updates ?? []), ...(variant.inPlace ? [variant.inPlace] : [])].map(([i, o]) => [o, i]),
	);
	const shapes = shapesOf(op, one);
	const outputs = op.outputs.map((name, index) => {
		if (index >= shapes.length || (variant.bare && name.endsWith("?"))) return null;
		const input = shared.get(index);
		return input === undefined ? buffer.place(space, shapes[index].shape, shapes[index].dtype, 2) : inputs[input];
	});
	const random = new RandomSequence(3, 3, 0);
	const words = Float32Array.from({ length: buffer.words }, () => normal(random));
	const parameters = new Float32Array(weights.words);
	inputs.forEach((operand, index) => {
		if (operand) scatter(operand, operand.space === "parameters" ? parameters : words, values[index] as Float32Array);
	});
	const parts = variant.parts ?? 1;
	const kind = variant.parts ? "update" : "body";
	const slot = { offset: 0, shape: [1, words.length], dtype: "f32" } as const;
	const program: Program = {
		kind,
		instructions: [{ op, inputs, outputs, attributes, parts, label: one.name }],
		constants: new Int32Array(0),
		arenaWords: 0,
		inputWords: 0,
		outputWords: words.length,
		stateWords: 0,
		inputs: new Map(),
		outputs: new Map([["all", slot]]),
		states: new Map(),
		shared: new Map(),
		flops: 0,
	};
	return { program, space, words, parameters, outputs };
}

/** Write row-major values to the place of an operand; integers by their bits. */
function scatter({ offset, rows, cols, ld }: Operand, words: Float32Array, values: Float32Array | Int32Array): void {
	const target = values instanceof Int32Array ? new Int32Array(words.buffer) : words;
	for (let r = 0; r < rows; r++) target.set(values.subarray(r * cols, (r + 1) * cols), offset + r * ld);
}

function indicesOf({ offset, rows, cols, ld }: Operand): number[] {
	return Array.from({ length: rows * cols }, (_, i) => offset + Math.floor(i / cols) * ld + (i % cols));
}

export function jobOf(runtime: Runtime, program: Program): { job: Job; done: () => void } {
	const handle = runtime.load(program);
	const one = { program: handle, slice: 0, inputsOffset: 0, outputsOffset: 0, firstSequence: 2 };
	const update = program.kind === "update";
	const job: Job = {
		weightsChanged: true,
		seed: 0x1234567890abcdefn,
		step: 17,
		slices: update ? 0 : 1,
		gradientWords: 0,
		microBatches: update ? [] : [one],
		updates: update ? [{ program: handle, stateOffset: 0 }] : [],
	};
	return { job, done: () => runtime.forget(handle) };
}

async function call(runtime: Runtime, { program, space, words, parameters }: Prepared): Promise<Float32Array> {
	runtime.reserve(space, words.length);
	runtime.reserve("outputs", words.length);
	runtime.reserve("parameters", parameters.length);
	// Bits first, so that integers reach a reference in double precision as well.
	if (runtime instanceof ReferenceRuntime) runtime.write(space, 0, new Int32Array(words.buffer));
	runtime.write(space, 0, words);
	runtime.write("parameters", 0, parameters);
	const { job, done } = jobOf(runtime, program);
	await runtime.run(job);
	done();
	const result = new Float32Array(words.length);
	runtime.read(space, 0, result);
	return result;
}

function variantsOf(op: OpDefinition, one: OpCase): Variant[] {
	const variants: Variant[] = op.exactParts ? [] : [{ name: "plain" }];
	const shapes = shapesOf(op, one);
	for (const pair of op.inPlace ?? []) {
		if (one.inputs[pair[0]])
			variants.push({ name: `${op.outputs[pair[1]]} in place of ${op.inputs[pair[0]]}`, inPlace: pair });
	}
	if (op.outputs.some((name, index) => name.endsWith("?") && index < shapes.length)) {
		variants.push({ name: "no optional results", bare: true });
	}
	const limit = op.parts?.(
		one.inputs.slice(),
		shapes.map(({ shape }) => shape),
		one.attributes ?? {},
	);
	const parts = limit && (op.exactParts ? limit : Math.min(limit, 3));
	if (parts) variants.push({ name: "in parts", parts });
	if (op.name === "matmul")
		variants.push({ name: "by a weight", weight: true }, { name: "by a weight, in parts", weight: true, parts });
	return variants;
}

/** Run a case in all its variants on two runtimes; throws where results differ by more than `tolerance`, or anything else was written. */
export async function compare(
	runtime: Runtime,
	exact: Runtime,
	op: OpDefinition,
	one: OpCase,
	{ tolerance = 2e-5, aligned = false } = {},
): Promise<void> {
	for (const variant of variantsOf(op, one).map((each) => ({ ...each, aligned }))) {
		const prepared = prepare(op, one, variant);
		const expected = await call(exact, prepared);
		const actual = await call(runtime, prepared);
		const name = `${op.name}, ${one.name}, ${variant.name}`;
		const written = new Set<number>();
		prepared.outputs.forEach((output, index) => {
			if (!output) return;
			const indices = indicesOf(output);
			for (const i of indices) written.add(i);
			const pick = (from: Float32Array) => indices.map((i) => from[i]);
			assertClose(`${name}, ${op.outputs[index]}`, pick(expected), pick(actual), tolerance);
		});
		const before = new Int32Array(prepared.words.buffer);
		const after = new Int32Array(actual.buffer);
		const strays = [...after.keys()].filter((i) => !written.has(i) && after[i] !== before[i]);
		expect(strays, `${name}: words written outside the results`).toEqual([]);
	}
}
