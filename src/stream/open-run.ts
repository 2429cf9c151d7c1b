/** A finished or running run, opened to be used: its model with weights, ready to stream, and its tokenizer. */
import { existsSync } from "node:fs";
import { RivuletError } from "../base/errors.ts";
import { loadTokenizer, type Tokenizer } from "../data/tokenizers/index.ts";
import type { BackendName } from "../engine/backend.ts";
import { createRuntime } from "../engine/backends/index.ts";
import { createModel, type Model } from "../models/index.ts";
import type { Which } from "../train/checkpoint.ts";
import type { Config } from "../train/config.ts";
import { isCopyTask } from "../train/config.ts";
import { modelConfig } from "../train/prepare.ts";
import { RunFolder } from "../train/run.ts";
import { Stream } from "./stream.ts";

export interface OpenRunOptions {
	/** Default: the best checkpoint, or the newest where none was evaluated. */
	readonly checkpoint?: Which;
	readonly backend?: BackendName | "auto";
	readonly threads?: number;
}

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
	if (isCopyTask(config.data.task)) {
		throw new RivuletError("run-not-text", `${path} learned the task ${config.data.task}, which is no text`, {
			exitStatus: 2,
			hint: `measure it instead: rivulet evaluate ${path}`,
		});
	}
	const tokenizer = loadTokenizer(run.tokenizerPath);
	const model = createModel(modelConfig(config, { vocabulary: tokenizer.vocabularySize, outputs: { kind: "language" } }));
	const { tensors, state } = await run.loadCheckpoint(options.checkpoint ?? (run.best() === undefined ? "last" : "best"), { optimizer: false });
	const runtime = await createRuntime(options.backend ?? "auto", options.threads === undefined ? {} : { threads: options.threads });
	const stream = new Stream(model, runtime);
	loadWeights(path, stream, model, tensors);
	return { run, config, stream, tokenizer, step: state.step };
}

function loadWeights(path: string, stream: Stream, model: Model, tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>): void {
	for (const { name, fileShape } of model.parameters) {
		const tensor = tensors.get(name);
		if (!tensor || tensor.shape.join() !== fileShape.join()) {
			const found = tensor ? tensor.shape.join(" x ") : "none";
			throw new RivuletError("checkpoint-invalid", `${path}: expected a tensor ${name} of ${fileShape.join(" x ")}, found ${found}`, {
				hint: existsSync(path) ? "config.json and the checkpoint do not belong together" : undefined,
			});
		}
		stream.session.writeParameter(name, tensor.data);
	}
}
