/**
 * How a training step grows with the length of the sequence: tokens/s at equal tokens per step, memory of a long copy task, and the
 * time to build and plan its graph. `npm run bench -- growth [--threads 2] [--rounds 5]`.
 */
import { parseArgs } from "node:util";
import { ParameterLayout } from "../dist/engine/index.js";
import { trainingProgram } from "../dist/models/index.js";
import * as harness from "./harness.mjs";
import { modelOf, startRivulet, tasks } from "./rivulet.mjs";

export async function main(args) {
	const { values } = parseArgs({
		args,
		options: { threads: { type: "string", default: "2" }, rounds: { type: "string", default: "5" } },
	});
	const about = harness.header(null);
	const threads = Number(values.threads);
	// The long task first: the process's largest resident memory is then its own.
	const copy = await longCopy(threads);
	const lengths = await growWithLength(threads, Number(values.rounds));
	harness.lastLine({ benchmark: "growth", ...about, threads, lengths, copy });
}

/** The Shakespeare layer at growing N and as many tokens a step as the Shakespeare configuration has. */
async function growWithLength(threads, rounds) {
	const tokens = 16_384;
	const arms = [];
	for (const length of [256, 512, 1024, 2048, 4096]) {
		const task = { ...tasks.shakespeare, length, batch: tokens / length };
		arms.push({ length, ...(await startRivulet(`N ${length}`, task, { backend: "native", threads })) });
	}
	try {
		const seconds = await harness.interleave(arms, { rounds, steps: 1 });
		const rows = [["N", "batch", "s/step", "tokens/s", "of N 256", "memory MB"]];
		const result = arms.map((arm) => {
			const middle = harness.median(seconds.get(arm.name));
			const share = harness.speedup(seconds.get(arms[0].name), seconds.get(arm.name));
			const memory = Math.round(arm.memory() / 1e6);
			rows.push([
				arm.length,
				tokens / arm.length,
				middle.toFixed(3),
				Math.round(tokens / middle),
				harness.showRatio(share),
				memory,
			]);
			return { length: arm.length, tokensPerSecond: tokens / middle, shareOf256: share, memoryMB: memory };
		});
		console.log(`\ntokens/s of a training step at ${tokens} tokens, C 384 w 16`);
		harness.table(rows);
		return result;
	} finally {
		for (const arm of arms) await arm.close();
	}
}

/** Copy at the paper's length: build and plan alone, then two steps. */
async function longCopy(threads) {
	const task = { ...tasks.copy, length: 4128 };
	const model = modelOf(task);
	const layout = new ParameterLayout(model.parameters);
	const shape = { sequences: 4, length: task.length, window: task.window, segment: 0, train: true };
	const plans = Array.from({ length: 4 }, () => {
		const start = performance.now();
		trainingProgram(model, shape, { parameter: (name) => layout.offsets.get(name), shared: () => 0 });
		return (performance.now() - start) / 1000;
	});
	const arm = await startRivulet("copy", task, { backend: "native", threads });
	const seconds = await arm.step(2);
	const memoryMB = Math.round(arm.memory() / 1e6);
	const residentMB = Math.round(process.resourceUsage().maxRSS / 1024);
	await arm.close();
	console.log(
		`copy, N 4128, batch 64: ${seconds[1].toFixed(2)} s/step, ${memoryMB} MB held by the runtime, ${residentMB} MB resident at most (whole process)`,
	);
	console.log(
		`building and planning its graph: ${plans.map((time) => time.toFixed(2)).join(", ")} s (the first includes compiling the JavaScript)`,
	);
	return { secondsPerStep: seconds[1], memoryMB, residentMB, planSeconds: plans };
}
