/** A trained model measured: on its own validation data, or on any text. */
import { RivuletError } from "../base/errors.ts";
import { evaluationWindows, loadTokenizer, openText } from "../data/index.ts";
import type { BackendName } from "../engine/backend.ts";
import { createRuntime } from "../engine/backends/index.ts";
import { createModel } from "../models/index.ts";
import type { Which } from "./checkpoint.ts";
import { isCopyTask } from "./config.ts";
import { type Evaluation, type EvaluationBatch, evaluate } from "./evaluate.ts";
import { Learner } from "./learner.ts";
import { learnerOptions, modelConfig, openSubject, type Subject } from "./prepare.ts";
import { RunFolder } from "./run.ts";
import { loadWeights } from "./weights.ts";

export interface MeasureOptions {
	/** Texts to measure on; none: the run's own validation data. */
	readonly path: readonly string[];
	readonly checkpoint?: Which;
	readonly backend?: BackendName | "auto";
	readonly threads?: number;
	readonly signal?: AbortSignal;
}

/** What is measured: batches of equal length. */
interface Measured {
	readonly subject: Pick<Subject, "vocabulary" | "outputs">;
	readonly batches: Iterable<EvaluationBatch>;
	readonly length: number;
	readonly bytesPerToken: number | null;
}

export async function measure(path: string, options: MeasureOptions): Promise<Evaluation> {
	const run = RunFolder.open(path);
	const { config } = run;
	const wanted = options.checkpoint ?? "best";
	const which = wanted === "best" && run.best() === undefined ? "last" : wanted;
	const { tensors, state } = await run.loadCheckpoint(which, { optimizer: false });
	const measured = options.path.length > 0 ? await ownText(run, options.path) : await validationData(run, state.noise);
	const model = createModel(modelConfig(config, measured.subject));
	const runtime = await createRuntime(
		options.backend ?? "auto",
		options.threads === undefined ? {} : { threads: options.threads },
	);
	const learner = new Learner(model, runtime, learnerOptions(config));
	try {
		loadWeights(learner.session, model, tensors, path);
		return await evaluate(learner, measured.batches, measured.length, measured.bytesPerToken, options.signal);
	} finally {
		await learner.session.close();
	}
}

/** @param noise that the weights have reached, where there is any */
async function validationData({ config }: RunFolder, noise: number | null): Promise<Measured> {
	const subject = await openSubject(config);
	const { batches, length } = subject.evaluationBatches(config.train.batch, null, noise ?? config.data.noise);
	return { subject, batches, length, bytesPerToken: subject.bytesPerToken };
}

async function ownText({ config, tokenizerPath, path }: RunFolder, texts: readonly string[]): Promise<Measured> {
	if (isCopyTask(config.data.task)) {
		throw new RivuletError(
			"run-not-text",
			`${path} learned the task ${config.data.task}, which cannot be measured on text`,
			{
				exitStatus: 2,
				hint: `leave --data.path out: rivulet evaluate ${path}`,
			},
		);
	}
	const tokenizer = loadTokenizer(tokenizerPath);
	const tokens = await openText(texts, tokenizer);
	if (tokens.length < 2)
		throw new RivuletError("data-too-short", `expected at least 2 tokens to measure on, found ${tokens.length}`);
	const { length } = config.data;
	return {
		subject: { vocabulary: tokenizer.vocabularySize, outputs: { kind: "language" } },
		batches: withoutPadding(evaluationWindows(tokens, length, config.train.batch), length),
		length,
		bytesPerToken: tokens.bytes / tokens.length,
	};
}

function* withoutPadding(batches: Iterable<EvaluationBatch>, length: number): Generator<EvaluationBatch> {
	for (const { ids, targets, sequences } of batches) {
		yield { ids: ids.subarray(0, sequences * length), targets: targets.subarray(0, sequences * length), sequences };
	}
}
