/** The floor of a study of text: an interpolated n-gram model of the training part, measured on the validation part. Kept in ngram.json. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeJson } from "../base/files.ts";
import { expectObject, readJson } from "../base/json.ts";
import type { Config } from "../train/config.ts";
import { openSubject } from "../train/prepare.ts";
import { ngramLoss } from "./ngram-model.ts";
import type { RunResult } from "./results.ts";

const fileOf = (out: string) => join(out, "ngram.json");

/** What the model came to. */
export interface NgramResult {
	readonly order: number;
	/** Nats per token of the validation part, read as one stream. */
	readonly loss: number;
	/** Tokens it has counted. */
	readonly tokens: number;
	readonly seconds: number;
}

/** As a run of its own, for tables and claims; undefined where it has not been measured. */
export function readNgram(out: string): RunResult | undefined {
	const file = fileOf(out);
	if (!existsSync(file)) return undefined;
	const { order, loss, tokens, seconds } = expectObject(
		readJson(file, { maxSize: 1 << 20 }),
		file,
	) as unknown as NgramResult;
	return {
		label: "ngram",
		title: `interpolated ${order}-gram model`,
		group: "main",
		seeds: [
			{
				seed: 0,
				path: out,
				ended: "steps",
				parameters: 0,
				batch: 0,
				steps: 0,
				tokens,
				flops: 0,
				seconds,
				tokensPerSecond: 0,
				paperFlops: null,
				wallSeconds: seconds,
				peakMemory: null,
				loss,
				accuracy: null,
				curve: [],
			},
		],
	};
}

/** Tokens that are counted and measured at most; a floor needs no more, and memory has an end. */
const most = { train: 5_000_000, validation: 500_000 };

/** Count and measure, unless that was done before. @param config of a run of the study, for its text and tokenizer */
export async function measureNgram(out: string, order: number, config: Config, signal?: AbortSignal): Promise<void> {
	if (existsSync(fileOf(out))) return;
	const { text } = await openSubject(config);
	if (!text) return;
	const started = performance.now();
	const { loss, tokens } = await ngramLoss(order, text.train, text.validation, most, signal);
	if (signal?.aborted) return;
	const result: NgramResult = { order, loss, tokens, seconds: (performance.now() - started) / 1000 };
	writeJson(fileOf(out), result);
}
