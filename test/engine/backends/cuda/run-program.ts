/** A body run once on inputs drawn anew from one seed, and its outputs by name. Not a test. */
import { RandomSequence } from "../../../../src/base/random.ts";
import type { Runtime } from "../../../../src/engine/backend.ts";
import type { Program } from "../../../../src/engine/program.ts";
import { normal } from "../../cases.ts";
import { jobOf } from "../../conform.ts";

/** @param inputs of what mean and deviation */
export async function runProgram(
	runtime: Runtime,
	program: Program,
	{ mean, deviation }: { mean: number; deviation: number },
): Promise<Map<string, Float32Array>> {
	const random = new RandomSequence(7, 1, 0);
	runtime.reserve("inputs", program.inputWords);
	runtime.reserve("outputs", program.outputWords);
	for (const { offset, shape } of program.inputs.values()) {
		const values = Float32Array.from({ length: shape[0] * shape[1] }, () => mean + deviation * normal(random));
		runtime.write("inputs", offset, values);
	}
	const { job, done } = jobOf(runtime, program);
	await runtime.run(job);
	done();
	return new Map(
		[...program.outputs].map(([name, { offset, shape }]) => {
			const values = new Float32Array(shape[0] * shape[1]);
			runtime.read("outputs", offset, values);
			return [name, values];
		}),
	);
}
