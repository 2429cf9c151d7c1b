/** A trained model measured: on its own validation data, or on any text; at the length of training, or at another. */
import { RivuletError } from "../base/errors.ts";
import { evaluationWindows, loadTokenizer, openText, type TokenFile } from "../data/index.ts";
import type { BackendName } from "../engine/backend.ts";
import { createRuntime } from "../engine/backends/index.ts";
import { createModel } from "../models/index.ts";
import type { Which } from "./checkpoint.ts";
import { type Config, isCopyTask } from "./config.ts";
import { type Evaluation, type EvaluationBatch, evaluate } from "./evaluate.ts";
import { Learner } from "./learner.ts";
import { learnerOptions, modelConfig, openSubject, type Subject } from "./prepare.ts";
import { RunFolder } from "./run.ts";
import { loadWeights } from "./weights.ts";

export interface MeasureOptions extends AtLength {
	/** Texts to measure on; none: the run's own validation data. */
	readonly path: readonly string[];
	readonly checkpoint?: Which;
	readonly backend?: BackendName | "auto";
	readonly threads?: number;
	readonly signal?: AbortSignal;
}

/** How long the sequences are to be, where not as in training. */
export interface AtLength {
	/** N: tokens of a window of text. */
	readonly length?: number;
	/** Noise tokens of a copy task; default: as many as the weights have reached. */
	readonly noise?: number;
}

/** How well a model predicts sequences of `length` tokens. */
export interface Measurement extends Evaluation {
	/** N */
	readonly length: number;
	/** Noise tokens among them; null where the task has none. */
	readonly noise: number | null;
}

/** What is measured: batches of equal length. */
interface Measured {
	readonly subject: Pick<Subject, "vocabulary" | "outputs">;
	readonly batches: Iterable<EvaluationBatch>;
	readonly length: number;
	readonly noise: number | null;
	readonly bytesPerToken: number | null;
}

/** @param path folder of a run that has a checkpoint */
export async function measure(path: string, options: MeasureOptions): Promise<Measurement> {
	const run = RunFolder.open(path);
	const { config } = run;
	checkLength(run, options);
	const wanted = options.checkpoint ?? "best";
	const which = wanted === "best" && run.best() === undefined ? "last" : wanted;
	const { tensors, state } = await run.loadCheckpoint(which, { optimizer: false });
	const measured =
		options.path.length > 0 ? await ownText(run, options) : await validationData(run, state.noise, options);
	const { batches, length, noise, bytesPerToken } = measured;
	const model = createModel(modelConfig(config, measured.subject));
	const runtime = await createRuntime(
		options.backend ?? "auto",
		options.threads === undefined ? {} : { threads: options.threads },
	);
	const learner = new Learner(model, runtime, learnerOptions(config));
	try {
		loadWeights(learner.session, model, tensors, path);
		return { ...(await evaluate(learner, batches, length, bytesPerToken, options.signal)), length, noise };
	} finally {
		await learner.session.close();
	}
}

/**
 * What length a model generalises to: its validation data in sequences of another length than it was trained with.
 * @throws RivuletError length-positions where learned absolute positions end before
 */
export async function evaluateAtLength(
	path: string,
	at: AtLength,
	options: Omit<MeasureOptions, "path" | keyof AtLength> = {},
): Promise<Measurement> {
	return await measure(path, { path: [], ...options, ...at });
}

/** What cannot be measured is refused before anything is read. */
function checkLength({ config, path }: RunFolder, { length, noise }: AtLength): void {
	const { data, model } = config;
	const own = isCopyTask(data.task) ? "noise" : isText(config) ? "length" : null;
	for (const [name, value] of Object.entries({ length, noise })) {
		if (value === undefined || name === own) continue;
		throw usage("length-option", `${path} learned the task ${data.task}, which has no data.${name} to choose`, {
			hint: own === null ? "leave it out" : `take --data.${own} N`,
		});
	}
	if (model.positions !== "absolute") return;
	const rest = noise === undefined ? 0 : data.length - data.noise;
	const asked = length ?? (noise === undefined ? 0 : noise + rest);
	if (asked <= data.length) return;
	throw usage(
		"length-positions",
		`${path} has learned a position for each of ${data.length} tokens, and none for the rest of ${asked}`,
		{
			hint: `measure it with --data.${own} ${data.length - rest} or less, or train with --model.positions none`,
		},
	);
}

function isText({ data }: Config): boolean {
	return data.task === "text" || data.task === "tales";
}

function usage(code: string, message: string, { hint }: { hint: string }): RivuletError {
	return new RivuletError(code, message, { hint, exitStatus: 2 });
}

/** @param reached noise that the weights have reached, where there is any */
async function validationData({ config }: RunFolder, reached: number | null, asked: AtLength): Promise<Measured> {
	const subject = await openSubject(config);
	const { text, bytesPerToken } = subject;
	if (text) return { subject, bytesPerToken, noise: null, ...windows(text.validation, config, asked.length) };
	const noise = asked.noise ?? reached ?? config.data.noise;
	const at = subject.evaluationBatches(
		sequencesOf(config, noise + config.data.length - config.data.noise),
		null,
		noise,
	);
	return { subject, ...at, noise: subject.hasNoise ? noise : null, bytesPerToken };
}

/** Sequences of a batch: as in training, fewer where they are longer, so that memory does not grow with the length. */
function sequencesOf({ train, data }: Config, length: number): number {
	return Math.max(1, Math.min(train.batch, Math.floor((train.batch * data.length) / length)));
}

function windows(tokens: TokenFile, config: Config, asked?: number): Pick<Measured, "batches" | "length"> {
	const length = asked ?? config.data.length;
	if (asked !== undefined && tokens.length < asked + 1) {
		throw new RivuletError(
			"data-too-short",
			`the text to measure on has ${tokens.length} tokens; one window of ${asked} takes ${asked + 1}`,
			{ hint: `take --data.length ${Math.max(1, tokens.length - 1)} or less, or name a longer text: --data.path FILE` },
		);
	}
	return { batches: withoutPadding(evaluationWindows(tokens, length, sequencesOf(config, length)), length), length };
}

async function ownText({ config, tokenizerPath, path }: RunFolder, options: MeasureOptions): Promise<Measured> {
	if (!isText(config)) {
		throw usage("run-not-text", `${path} learned the task ${config.data.task}, which cannot be measured on text`, {
			hint: `leave --data.path out: rivulet evaluate ${path}`,
		});
	}
	const tokenizer = loadTokenizer(tokenizerPath);
	const tokens = await openText(options.path, tokenizer);
	if (tokens.length < 2)
		throw new RivuletError("data-too-short", `expected at least 2 tokens to measure on, found ${tokens.length}`);
	return {
		subject: { vocabulary: tokenizer.vocabularySize, outputs: { kind: "language" } },
		...windows(tokens, config, options.length),
		noise: null,
		bytesPerToken: tokens.bytes / tokens.length,
	};
}

function* withoutPadding(batches: Iterable<EvaluationBatch>, length: number): Generator<EvaluationBatch> {
	for (const { ids, targets, sequences } of batches) {
		yield { ids: ids.subarray(0, sequences * length), targets: targets.subarray(0, sequences * length), sequences };
	}
}
