/** The floor of a study of text: an interpolated n-gram model of the training part, measured on the validation part. Kept in ngram.json. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeJson } from "../base/files.ts";
import { expectObject, readJson } from "../base/json.ts";
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

/** Keep a result. */
export function writeNgram(out: string, result: NgramResult): void {
	writeJson(fileOf(out), result);
}
