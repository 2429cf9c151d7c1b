/** Our side of a benchmark: the trainer's own step function, on the same task settings that the PyTorch peers take. */
import { createRuntime } from "../dist/engine/index.js";
import { createModel } from "../dist/models/index.js";
import { Learner } from "../dist/train/learner.js";

/**
 * Settings of a task; the names and defaults are those of bench/peers/common.py.
 * @typedef {object} Task
 * @property {string} task
 * @property {number} batch B
 * @property {number} length N
 * @property {number} window w
 * @property {number} width C
 * @property {number} heads H
 * @property {number} vocabulary V
 * @property {number} outputs last positions that are read; 0: all
 * @property {number} classes of an untied head; 0: tied
 * @property {"forget" | "accumulate"} variant
 * @property {"gelu" | "relu"} activation
 * @property {number} dropout
 * @property {"adamw" | "adam"} optimizer
 */

/** @type {Record<string, Task>} */
export const tasks = {
	shakespeare: {
		task: "shakespeare",
		batch: 64,
		length: 256,
		window: 16,
		width: 384,
		heads: 6,
		vocabulary: 65,
		outputs: 0,
		classes: 0,
		variant: "forget",
		activation: "gelu",
		dropout: 0.2,
		optimizer: "adamw",
	},
	copy: {
		task: "copy",
		batch: 64,
		length: 160,
		window: 32,
		width: 96,
		heads: 6,
		vocabulary: 16,
		outputs: 16,
		classes: 0,
		variant: "accumulate",
		activation: "relu",
		dropout: 0.05,
		optimizer: "adam",
	},
	image: {
		task: "image",
		batch: 120,
		length: 1024,
		window: 32,
		width: 32,
		heads: 4,
		vocabulary: 256,
		outputs: 1,
		classes: 10,
		variant: "accumulate",
		activation: "relu",
		dropout: 0.05,
		optimizer: "adam",
	},
};

/** The part of a task that the peers take as overrides of their own defaults. @param {Task} task */
export function peerConfig({ task, batch, length }) {
	return { task, batch, length };
}

const optimizers = {
	adamw: { rate: 1e-3, kind: "adamw", betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.1, clip: 1 },
	adam: { rate: 5e-4, kind: "adam", betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0, clip: 0 },
};

/** @param {Task} task @param {Partial<import("../dist/models/index.js").ModelConfig>} changes */
export function modelOf(task, changes = {}) {
	const { outputs, classes, window } = task;
	const last = classes > 0 ? { kind: "class", classes } : { kind: "last", count: outputs };
	return createModel({
		kind: "recurrent",
		layers: 1,
		bias: false,
		positions: "absolute",
		form: "fast",
		...task,
		window: { from: window, to: window },
		outputs: outputs === 0 ? { kind: "language" } : last,
		tied: classes === 0,
		alpha: { value: 0.5, learned: true },
		...changes,
	});
}

/**
 * Our arm: `step(n)` trains n steps on one random batch and gives the seconds of each (on a GPU the mean of all).
 * @param {Task} task
 * @param {{ backend: "native" | "wasm", threads: number }} options
 * @returns {Promise<import("./harness.mjs").Arm & { flops(): number, peak: number, memory(): number }>} flops: of the last step;
 *   peak: measured multiply-add peak in GFLOP/s; memory: bytes held by the runtime
 */
export async function startRivulet(name, task, { backend, threads }) {
	const runtime = await createRuntime(backend, { threads });
	return { ...(await startLearner(name, runtime, task, modelOf(task))), peak: await runtime.peak(0.5) };
}

/** A model on a runtime, with the optimiser of its task, on one random batch. */
export async function startLearner(name, runtime, task, model) {
	const { rate, ...optimizer } = optimizers[task.optimizer];
	const learner = new Learner(model, runtime, { optimizer, slices: 8, recompute: "auto", memory: 1.5e9 });
	await learner.initialize(1);
	const batch = randomBatch(task);
	let done = 0;
	let flops = 0;
	return {
		name,
		flops: () => flops,
		memory: () => runtime.memory(),
		async step(count) {
			const begin = async () => {
				const step = await learner.beginStep(batch, { learningRate: rate, step: ++done, seed: 1 });
				flops = step.flops;
				return step;
			};
			const seconds = [];
			let start = performance.now();
			if (!learner.session.runsAhead) {
				for (let i = 0; i < count; i++) {
					await (await begin()).result;
					seconds.push((performance.now() - start) / 1000);
					start = performance.now();
				}
				return seconds;
			}
			// As the trainer does and as PyTorch does: the device is waited for once at the end, here with at most one step ahead of it.
			let before;
			for (let i = 0; i < count; i++) {
				const { result } = await begin();
				await before;
				before = result;
			}
			await before;
			return Array(count).fill((performance.now() - start) / 1000 / count);
		},
		async close() {
			await learner.session.close();
		},
	};
}

/** @param {Task} task */
export function randomBatch({ batch, length, outputs, vocabulary, classes }) {
	const draw = (count, below) => Int32Array.from({ length: count }, () => Math.floor(Math.random() * below));
	return {
		ids: draw(batch * length, vocabulary),
		targets: draw(batch * (outputs || length), classes || vocabulary),
		sequences: batch,
		length,
	};
}
