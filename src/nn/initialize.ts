/** First values of weights: a pure function of (seed, number of the weight), so that any backend starts the same. */
import { RandomSequence } from "../base/random.ts";
import type { ParameterSpec } from "./parameters.ts";

/** Keeps these draws apart from other uses of the seed. */
const stream = 0x696e6974;

/** Values of weight number `index` of a model, row-major. Normal deviates by Box and Muller. */
export function initialValues(spec: ParameterSpec, index: number, seed: number): Float32Array {
	const values = new Float32Array(spec.shape[0] * spec.shape[1]);
	if (spec.initial.kind === "constant") return values.fill(spec.initial.value);
	const random = new RandomSequence(seed, stream, index);
	const { deviation } = spec.initial;
	for (let i = 0; i < values.length; i += 2) {
		const radius = Math.sqrt(-2 * Math.log(1 - random.uniform()));
		const angle = 2 * Math.PI * random.uniform();
		values[i] = deviation * radius * Math.cos(angle);
		if (i + 1 < values.length) values[i + 1] = deviation * radius * Math.sin(angle);
	}
	return values;
}
