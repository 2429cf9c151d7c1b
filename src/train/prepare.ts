/** From a configuration to what is learned (data) and what learns (model, optimiser). */

import { RivuletError } from "../base/errors.ts";
import {
	CopyTask,
	ImageTask,
	openImages,
	openTales,
	type PreparedText,
	prepareText,
	saveTokenizer,
	type Task,
} from "../data/index.ts";
import type { RuntimeOptions } from "../engine/backend.ts";
import type { ModelConfig, Outputs } from "../models/index.ts";
import { alphaSetting, type Config, isCopyTask, windowRange } from "./config.ts";
import type { EvaluationBatch } from "./evaluate.ts";
import type { Batch, LearnerOptions } from "./learner.ts";

/** What a run learns: text with its tokenizer, a memory task at any noise, or images. */
export interface Subject {
	readonly description: string;
	readonly vocabulary: number;
	readonly outputs: Outputs;
	/** Classes that a target is one of. */
	readonly outcomes: number;
	readonly bytesPerToken: number | null;
	/** Entropy of the source in nats per token, where it is known. */
	readonly floor: number | null;
	/** Does a curriculum of noise apply? */
	readonly hasNoise: boolean;
	readonly text: PreparedText | null;
	/** Batch of a step: a pure function of (seed, step). `noise` counts only where there is some. */
	trainBatch(seed: number, step: number, sequences: number, noise: number): Batch;
	/** The validation split, or the first `limit` batches of it. */
	evaluationBatches(
		sequences: number,
		limit: number | null,
		noise: number,
	): { batches: Iterable<EvaluationBatch>; length: number };
	saveTokenizer(path: string): void;
}

/** Open what a configuration says to learn: tokenises text where that was not done before. @throws RivuletError for whatever is wrong with it */
export async function openSubject(config: Config): Promise<Subject> {
	const { data } = config;
	if (isCopyTask(data.task)) return memorySubject(data.task === "selective-copy", data.noise);
	if (data.task === "image") return imageSubject(data.path[0], data.length);
	if (data.task === "text" && data.path.length === 0) {
		throw new RivuletError("data-missing", "expected a text to learn from, found none", {
			exitStatus: 2,
			hint: "name it: --data.path notes.txt; or use the built-in corpus: --data.task tales",
		});
	}
	const text = data.task === "tales" ? await openTales(data) : await prepareText(data);
	return textSubject(text);
}

function textSubject(text: PreparedText): Subject {
	const { task, tokenizer } = text;
	return {
		...fromTask(() => task),
		bytesPerToken: task.bytesPerToken,
		floor: text.floor ?? null,
		hasNoise: false,
		text,
		saveTokenizer: (path) => saveTokenizer(path, tokenizer),
	};
}

function memorySubject(selective: boolean, full: number): Subject {
	const tasks = new Map<number, Task>();
	const at = (noise: number) => {
		const task = tasks.get(noise) ?? new CopyTask({ noise, selective });
		tasks.set(noise, task);
		return task;
	};
	at(full);
	return {
		...fromTask((noise) => at(noise ?? full)),
		bytesPerToken: null,
		floor: null,
		hasNoise: true,
		text: null,
		saveTokenizer: () => {},
	};
}

function imageSubject(path: string, length: number): Subject {
	const task = new ImageTask(openImages(path));
	if (task.length !== length) {
		throw new RivuletError(
			"data-length",
			`expected data.length ${task.length}, a token for each pixel, found ${length}`,
			{
				exitStatus: 2,
				hint: `--data.length ${task.length}`,
			},
		);
	}
	return {
		...fromTask(() => task),
		outputs: { kind: "class", classes: task.classes },
		outcomes: task.classes,
		bytesPerToken: null,
		floor: null,
		hasNoise: false,
		text: null,
		saveTokenizer: () => {},
	};
}

/** The part of a subject that any task gives; without noise: the task at full length. */
function fromTask(taskAt: (noise?: number) => Task) {
	const task = taskAt();
	const outputs: Outputs = task.outputs === "last" ? { kind: "last", count: task.outputLength } : { kind: "language" };
	return {
		description: task.describe(),
		vocabulary: task.vocabularySize,
		outputs,
		outcomes: task.vocabularySize,
		trainBatch: (seed: number, step: number, sequences: number, noise: number): Batch => {
			const now = taskAt(noise);
			return { ...now.trainBatch(seed, step, sequences), sequences, length: now.length };
		},
		evaluationBatches: (sequences: number, limit: number | null, noise: number) => {
			const now = taskAt(noise);
			return { batches: take(realSequences(now, sequences), limit), length: now.length };
		},
	};
}

/** Evaluation batches without their padding. */
function* realSequences(task: Task, batch: number): Generator<EvaluationBatch> {
	for (const { ids, targets, sequences } of task.evaluationBatches(batch)) {
		yield {
			ids: ids.subarray(0, sequences * task.length),
			targets: targets.subarray(0, sequences * task.outputLength),
			sequences,
		};
	}
}

function* take<T>(items: Iterable<T>, limit: number | null): Generator<T> {
	let count = 0;
	for (const item of items) {
		if (limit !== null && count++ >= limit) return;
		yield item;
	}
}

/** How the runtime is to be, as the configuration says. */
export function runtimeOptions({ threads, precision }: Pick<Config, "threads" | "precision">): RuntimeOptions {
	return { ...(threads === null ? {} : { threads }), precision };
}

/** The model that a configuration asks for, for data of this vocabulary and these outputs. */
export function modelConfig(
	{ data, model }: Config,
	{ vocabulary, outputs }: Pick<Subject, "vocabulary" | "outputs">,
): ModelConfig {
	const { kind, variant, width, heads, layers, positions, activation, bias, dropout, tied, expansion, form } = model;
	const { from, to } = windowRange(model.window);
	return {
		kind,
		variant,
		width,
		heads,
		layers,
		positions,
		activation,
		bias,
		dropout,
		tied,
		expansion,
		form,
		vocabulary,
		outputs,
		length: data.length,
		window: { from, to },
		alpha: alphaSetting(model.alpha),
	};
}

/** The part of a configuration that a `Learner` takes. */
export function learnerOptions({ train }: Config): LearnerOptions {
	const { optimizer, betas, epsilon, weightDecay, clip, ema, slices, recompute, memory } = train;
	return {
		optimizer: { kind: optimizer, betas: [betas[0], betas[1]], epsilon, weightDecay, clip, ema },
		slices,
		recompute: recompute === "off" ? 0 : recompute,
		memory: memory * 1e6,
	};
}
