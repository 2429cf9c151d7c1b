/** Values of the ops' conformance cases. */
import { RandomSequence } from "../../src/base/random.ts";
import { Graph } from "../../src/engine/graph.ts";
import type { OpCase, OpDefinition, OutputSpec } from "../../src/engine/op.ts";

/** Normal(0, 1) from a deterministic sequence. */
export function normal(random: RandomSequence): number {
	return Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
}

/** Row-major values of every input of a case; null where it is absent. Reals are exact in single precision. */
export function valuesOf(op: OpDefinition, one: OpCase, seed = 1): (Float32Array | Int32Array | null)[] {
	const random = new RandomSequence(seed, 1, 0);
	return one.inputs.map((shape, index) => {
		if (!shape) return null;
		const value = (_: unknown, i: number) => one.fill?.(index, i, () => random.uniform()) ?? normal(random);
		const values = Array.from({ length: shape[0] * shape[1] }, value);
		return op.i32Inputs?.includes(index) ? Int32Array.from(values) : Float32Array.from(values);
	});
}

/** Shapes and types of the results of a case. */
export function shapesOf(op: OpDefinition, one: OpCase): OutputSpec[] {
	const g = new Graph();
	const inputs = one.inputs.map((shape, index) => {
		const dtype = op.i32Inputs?.includes(index) ? "i32" : "f32";
		return shape && g.input(`input ${index}`, shape, dtype);
	});
	return op.shape(inputs, one.attributes ?? {});
}
