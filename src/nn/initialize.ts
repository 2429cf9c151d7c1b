/** First values of weights: a pure function of (seed, number of the weight), so that any backend starts the same. */
import { RandomSequence } from "../base/random.ts";
import type { ParameterSpec } from "./parameters.ts";

/** Keeps these draws apart from other uses of the seed. */
const stream = 0x696e6974;

/** Which normal deviates: of weight number `index` of a model. */
export interface Draw {
	readonly seed: number;
	readonly index: number;
	readonly deviation: number;
}

/** Values of weight number `index` of a model, row-major. */
export function initialValues({ shape, initial }: ParameterSpec, index: number, seed: number): Float32Array {
	const values = new Float32Array(shape[0] * shape[1]);
	if (initial.kind === "constant") return values.fill(initial.value);
	fillNormal(values, 0, values.length, { seed, index, deviation: initial.deviation });
	return values;
}

/** Normal deviates for values [begin, end) of a weight, by Box and Muller; `begin` even. */
export function fillNormal(values: Float32Array, begin: number, end: number, { seed, index, deviation }: Draw): void {
	// A pair of values takes one block of the sequence.
	const random = new RandomSequence(seed, stream, index, begin / 2);
	for (let i = begin; i < end; i += 2) {
		const radius = Math.sqrt(-2 * Math.log(1 - random.uniform()));
		const angle = 2 * Math.PI * random.uniform();
		values[i] = deviation * radius * Math.cos(angle);
		if (i + 1 < end) values[i + 1] = deviation * radius * Math.sin(angle);
	}
}
