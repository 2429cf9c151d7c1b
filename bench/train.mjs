/**
 * Seconds per training step (forward, backward, clip, optimiser) beside PyTorch: same model, batch and threads, in turns.
 * On a GPU: `--backend cuda`, where there is also `--precision` (train-cuda.mjs).
 * `npm run bench -- train [--tasks shakespeare,copy,image] [--threads 2] [--rounds 5] [--steps 2] [--backends native,wasm]`.
 */
import { parseArgs } from "node:util";
import * as harness from "./harness.mjs";
import { peerConfig, startRivulet, tasks } from "./rivulet.mjs";
import { compareOnCuda } from "./train-cuda.mjs";

const peers = {
	published: "a loop over windows of 2w rows, concatenating",
	tuned: "readout off the chain, one batch where there can be, no copies",
	sliced: "tuned, and slices of the batch in threads of their own",
};

export async function main(args) {
	const { values } = parseArgs({
		args,
		options: {
			tasks: { type: "string" },
			threads: { type: "string", default: "2" },
			rounds: { type: "string", default: "5" },
			steps: { type: "string" },
			backends: { type: "string", default: "native,wasm" },
			backend: { type: "string" },
			precision: { type: "string" },
		},
	});
	if (values.backend === "cuda") return await compareOnCuda(values);
	const torch = harness.findTorch();
	const about = harness.header(torch);
	const backends = (values.backend ?? values.backends).split(",");
	const threads = Number(values.threads);
	harness.checkCorrectness(torch, Object.keys(peers), backends);
	for (const [name, what] of Object.entries(torch ? peers : {})) console.log(`${name.padEnd(9)} PyTorch, ${what}`);
	console.log();
	const results = {};
	for (const name of (values.tasks ?? Object.keys(tasks).join(",")).split(",")) {
		if (!Object.hasOwn(tasks, name))
			throw new Error(`unknown task ${name}; there are ${Object.keys(tasks).join(", ")}`);
		const turns = { rounds: Number(values.rounds), steps: Number(values.steps ?? 2) };
		results[name] = await compare(name, { torch, backends, threads, turns });
	}
	harness.lastLine({ benchmark: "train", ...about, threads, results });
}

/** One task: all arms in turns, one row each. */
async function compare(name, { torch, backends, threads, turns }) {
	const task = tasks[name];
	const ours = [];
	for (const backend of backends) ours.push(await startRivulet(backend, task, { backend, threads }));
	const rivals = [];
	for (const model of torch ? Object.keys(peers) : []) {
		rivals.push(await harness.startPeer(torch, model, { model, config: peerConfig(task), threads }));
	}
	try {
		const seconds = await harness.interleave([...ours, ...rivals], turns);
		const { batch, length, window, width } = task;
		console.log(`${name}: C ${width} w ${window} N ${length} batch ${batch}, ${threads} threads`);
		const gflop = ours[0].flops() / 1e9;
		const peak = Math.max(...ours.map((arm) => arm.peak).filter((value) => !Number.isNaN(value)));
		const headings = rivals.map((arm) => `times ${arm.name}`);
		const rows = [["arm", "s/step", "tokens/s", "GFLOP/s", "of peak", ...headings]];
		const result = { gflop, peak };
		for (const { name: arm } of [...ours, ...rivals]) {
			const each = seconds.get(arm);
			const middle = harness.median(each);
			const ratios = rivals.map((rival) => harness.speedup(seconds.get(rival.name), each));
			const rate = gflop / middle;
			const cells = [
				middle.toFixed(3),
				Math.round((batch * length) / middle),
				rate.toFixed(0),
				`${((100 * rate) / peak).toFixed(0)} %`,
			];
			rows.push([arm, ...cells, ...ratios.map(harness.showRatio)]);
			result[arm] = { seconds: each, ratios: Object.fromEntries(rivals.map((rival, i) => [rival.name, ratios[i]])) };
		}
		harness.table(rows);
		return result;
	} finally {
		for (const arm of [...ours, ...rivals]) await arm.close();
	}
}
