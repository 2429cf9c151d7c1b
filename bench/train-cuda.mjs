/**
 * Milliseconds per training step on an NVIDIA GPU beside PyTorch, eager and compiled, in turns on the same device:
 * `npm run bench -- train --backend cuda [--tasks shakespeare,copy,image,large,transformer] [--rounds 5] [--steps 20]
 * [--precision fp16]` (instead of the configurations' own, in all arms). Beside PyTorch in tf32 we are in tf32 and in our default, whose
 * digits are the same.
 */
import { createRuntime } from "../dist/engine/index.js";
import * as harness from "./harness.mjs";
import { modelOf, startLearner, tasks } from "./rivulet.mjs";

const language = { vocabulary: 50304, outputs: 0, classes: 0, dropout: 0, optimizer: "adamw", activation: "gelu" };
const large = { ...language, batch: 12, length: 1024, width: 768, heads: 12, variant: "forget" };

/** Task, precision, and whether torch.compile can unroll it in reasonable time. */
export const configurations = {
	shakespeare: { task: tasks.shakespeare, precision: "tf32", compiled: true },
	copy: { task: { ...tasks.copy, length: 4128 }, precision: "tf32", compiled: false },
	image: { task: tasks.image, precision: "tf32", compiled: false },
	large: { task: { ...large, task: "large", window: 32 }, precision: "bf16", compiled: false },
	transformer: { task: { ...large, task: "transformer", window: 0 }, precision: "bf16", compiled: true, layers: 12 },
};

/** @param {{ tasks?: string, rounds: string, steps?: string, precision?: string }} values */
export async function compareOnCuda(values) {
	const { tasks: names = Object.keys(configurations).join(","), rounds, steps = "20" } = values;
	const torch = harness.findTorch();
	const about = harness.header(torch);
	harness.checkCorrectness(torch, ["published"], ["cuda"]);
	const results = {};
	for (const name of names.split(",")) {
		if (!Object.hasOwn(configurations, name))
			throw new Error(`unknown task ${name}; there are ${Object.keys(configurations).join(", ")}`);
		const configuration = configurations[name];
		const { precision = configuration.precision } = values;
		const turns = { rounds: Number(rounds), steps: Number(steps) };
		results[name] = await compare(name, { ...configuration, precision }, torch, turns);
	}
	harness.lastLine({ benchmark: "train", backend: "cuda", ...about, results });
}

async function compare(name, { task, precision, compiled, layers = 1 }, torch, turns) {
	const config = { task: task.task, batch: task.batch, length: task.length };
	const arms = [];
	try {
		for (const ours of precision === "tf32" ? ["auto", "tf32"] : [precision]) {
			arms.push(await startOurs(`Rivulet ${ours}`, task, ours, layers));
		}
		const rivals = [];
		if (torch) {
			const model = task.window === 0 ? "transformer" : "published";
			const peer = { model, config, threads: 4, device: "cuda", precision: precision === "auto" ? "tf32" : precision };
			rivals.push(await harness.startPeer(torch, `PyTorch ${peer.precision}`, peer));
			if (compiled)
				rivals.push(await harness.startPeer(torch, `PyTorch ${peer.precision} compiled`, { ...peer, compile: true }));
			arms.push(...rivals);
		}
		const seconds = await harness.interleave(arms, turns);
		const gflop = arms[0].flops() / 1e9;
		console.log(
			`${name}: C ${task.width} w ${task.window} N ${task.length} batch ${task.batch}, ${gflop.toFixed(0)} GFLOP a step`,
		);
		const rows = [["arm", "ms/step", "tokens/s", "TFLOP/s", "start s", ...rivals.map((arm) => `times ${arm.name}`)]];
		const result = { gflop };
		for (const arm of arms) {
			const each = seconds.get(arm.name);
			const middle = harness.median(each);
			const ratios = rivals.map((rival) => harness.speedup(seconds.get(rival.name), each));
			rows.push([
				arm.name,
				(1000 * middle).toFixed(2),
				Math.round((task.batch * task.length) / middle),
				(gflop / middle / 1000).toFixed(1),
				arm.start.toFixed(2),
				...ratios.map(harness.showRatio),
			]);
			result[arm.name] = { seconds: each, start: arm.start };
		}
		harness.table(rows);
		return result;
	} finally {
		for (const arm of arms) await arm.close();
	}
}

/** Our arm on the GPU; `start` is the time from nothing to the end of the first step. */
async function startOurs(name, task, precision, layers) {
	const begun = performance.now();
	const runtime = await createRuntime("cuda", { precision });
	const model = modelOf(task, task.window === 0 ? { kind: "transformer", layers } : {});
	const arm = await startLearner(name, runtime, task, model);
	await arm.step(1);
	return { ...arm, start: (performance.now() - begun) / 1000 };
}
