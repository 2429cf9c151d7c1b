/** A finished or running run, opened to be used: its model with weights, ready to stream, and its tokenizer. */
import { RivuletError } from "../base/errors.ts";
import { loadTokenizer, type Tokenizer } from "../data/tokenizers/index.ts";
import type { BackendName } from "../engine/backend.ts";
import { createRuntime } from "../engine/backends/index.ts";
import { createModel } from "../models/index.ts";
import type { Which } from "../train/checkpoint.ts";
import type { Config } from "../train/config.ts";
import { isCopyTask } from "../train/config.ts";
import { modelConfig } from "../train/prepare.ts";
import { RunFolder } from "../train/run.ts";
import { loadWeights } from "../train/weights.ts";
import { Stream } from "./stream.ts";

export interface OpenRunOptions {
	/** Default: the best checkpoint, or the newest where none was evaluated. */
	readonly checkpoint?: Which;
	readonly backend?: BackendName | "auto";
	/** Default 1: a token is some twenty short kernels, and threads that wait for each other at each gain little. */
	readonly threads?: number;
}

/** A run ready to be used. Close `stream` at the end. */
export interface OpenedRun {
	readonly run: RunFolder;
	readonly config: Config;
	readonly stream: Stream;
	readonly tokenizer: Tokenizer;
	/** Step of the weights. */
	readonly step: number;
}

/** @throws RivuletError where the folder is no run of text, or has no whole checkpoint */
export async function openRun(path: string, options: OpenRunOptions = {}): Promise<OpenedRun> {
	const run = RunFolder.open(path);
	const { config } = run;
	if (config.data.task === "image" || isCopyTask(config.data.task)) {
		throw new RivuletError("run-not-text", `${path} learned the task ${config.data.task}, which is no text`, {
			exitStatus: 2,
			hint: `measure it instead: rivulet evaluate ${path}`,
		});
	}
	const tokenizer = loadTokenizer(run.tokenizerPath);
	const model = createModel(
		modelConfig(config, { vocabulary: tokenizer.vocabularySize, outputs: { kind: "language" } }),
	);
	const { tensors, state } = await run.loadCheckpoint(
		options.checkpoint ?? (run.best() === undefined ? "last" : "best"),
		{ optimizer: false },
	);
	const runtime = await createRuntime(options.backend ?? "auto", { threads: options.threads ?? 1 });
	const stream = new Stream(model, runtime);
	try {
		loadWeights(stream.session, model, tensors, path);
	} catch (error) {
		await stream.close();
		throw error;
	}
	return { run, config, stream, tokenizer, step: state.step };
}
