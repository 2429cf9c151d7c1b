/** First values of all weights of a model; those of large ones (a tenth of a microsecond each) by all cores. */
import { type fillNormal, initialValues } from "./initialize.ts";
import type { ParameterSpec } from "./parameters.ts";

/** Values that are worth waking others up for. */
const many = 1 << 18;
const mostWorkers = 16;

/** What a worker is asked for: values [begin, end) of what it shares with this thread. */
interface Task {
	readonly shared: SharedArrayBuffer;
	readonly begin: number;
	readonly end: number;
	readonly draw: Parameters<typeof fillNormal>[3];
}

interface Helpers {
	run(tasks: readonly Task[]): Promise<void>;
	close(): Promise<void>;
}

/**
 * Call `take` with each weight's number and values, in order; the same as `initialValues`.
 * @param helpersOf starts threads to help; where it fails, this one does it all
 */
export async function initialize(
	specs: readonly ParameterSpec[],
	seed: number,
	take: (index: number, values: Float32Array) => unknown,
	helpersOf: () => Promise<Helpers> = startWorkers,
): Promise<void> {
	const words = ({ shape }: ParameterSpec) => shape[0] * shape[1];
	const large = (spec: ParameterSpec) => spec.initial.kind === "normal" && words(spec) >= many;
	const work = specs.filter(large).reduce((sum, spec) => sum + words(spec), 0);
	const helpers = work < 8 * many ? null : await helpersOf().catch(() => null);
	try {
		for (const [index, spec] of specs.entries()) {
			const together =
				helpers && large(spec) ? await valuesTogether(spec, index, seed, helpers).catch(() => null) : null;
			take(index, together ?? initialValues(spec, index, seed));
		}
	} finally {
		await helpers?.close();
	}
}

async function valuesTogether(
	{ shape, initial }: ParameterSpec,
	index: number,
	seed: number,
	helpers: Helpers,
): Promise<Float32Array | null> {
	if (initial.kind !== "normal") return null;
	const words = shape[0] * shape[1];
	const shared = new SharedArrayBuffer(4 * words);
	const draw = { seed, index, deviation: initial.deviation };
	const part = 2 * Math.ceil(words / mostWorkers / 2);
	const tasks: Task[] = [];
	for (let begin = 0; begin < words; begin += part) {
		tasks.push({ shared, begin, end: Math.min(begin + part, words), draw });
	}
	await helpers.run(tasks);
	return new Float32Array(shared);
}

/** Runs what it is told from a module, since a worker that begins with a source of its own can be started from wherever this file is. */
const source = `
const { parentPort, workerData } = require("node:worker_threads");
parentPort.on("message", async ({ shared, begin, end, draw }) => {
	const { fillNormal } = await import(workerData);
	fillNormal(new Float32Array(shared), begin, end, draw);
	parentPort.postMessage("done");
});`;

/** Threads of Node, as many as there are cores. */
export async function startWorkers(module = new URL("./initialize.js", import.meta.url).href): Promise<Helpers> {
	const [{ Worker }, { availableParallelism }] = await Promise.all([import("node:worker_threads"), import("node:os")]);
	const count = Math.min(mostWorkers, availableParallelism());
	if (count < 2) throw new Error("[initialize] one core has nobody to help");
	const workers = Array.from({ length: count }, () => new Worker(source, { eval: true, workerData: module }));
	const failed = new Promise<never>((_, reject) => {
		for (const worker of workers) worker.once("error", reject);
	});
	failed.catch(() => {}); // whoever waits for work hears of it
	const answer = (worker: InstanceType<typeof Worker>) => new Promise((resolve) => worker.once("message", resolve));
	return {
		async run(tasks) {
			const queue = [...tasks];
			const workOn = async (worker: InstanceType<typeof Worker>) => {
				for (let task = queue.shift(); task; task = queue.shift()) {
					worker.postMessage(task);
					await Promise.race([answer(worker), failed]);
				}
			};
			await Promise.all(workers.map(workOn));
		},
		async close() {
			await Promise.all(workers.map((worker) => worker.terminate()));
		},
	};
}
