/** How fast a runtime is: the rate of a matrix product such as training does, beside the measured multiply-add peak. */
import type { Runtime } from "./backend.ts";
import { Graph } from "./graph.ts";
import { matmul } from "./ops/index.ts";
import { plan } from "./plan.ts";

/** GFLOP/s of x W^T with x (512, 384), W (1152, 384), on all threads at once. */
export async function productRate(runtime: Runtime, seconds: number): Promise<number> {
	const g = new Graph();
	const [rows, inner, columns] = [512, 384, 1152];
	const x = g.input("x", [rows, inner], "f32");
	const y = matmul(g, x, g.parameter("W", [columns, inner]), { transposeB: true });
	const program = plan(g, {
		kind: "body",
		layout: { parameter: () => 0, shared: () => 0 },
		outputs: new Map([["y", y]]),
	});
	const handle = runtime.load(program);
	runtime.reserve("parameters", columns * inner);
	runtime.reserve("inputs", program.inputWords);
	// Several products a slice, so that a job's own cost does not count.
	const repeats = runtime.backend === "reference" ? 1 : 8;
	const microBatches = Array.from({ length: runtime.threads * repeats }, (_, i) => ({
		program: handle,
		slice: Math.floor(i / repeats),
		inputsOffset: 0,
		outputsOffset: Math.floor(i / repeats) * program.outputWords,
		firstSequence: 0,
	}));
	runtime.reserve("outputs", runtime.threads * program.outputWords);
	const job = {
		weightsChanged: false,
		seed: 0n,
		step: 0,
		slices: runtime.threads,
		gradientWords: 0,
		microBatches,
		updates: [],
	};
	await runtime.run({ ...job, weightsChanged: true });
	let best = 0;
	const end = performance.now() + 1000 * seconds;
	do {
		const start = performance.now();
		await runtime.run(job);
		best = Math.max(best, (program.flops * microBatches.length) / (performance.now() - start) / 1e6);
	} while (performance.now() < end);
	return best;
}
