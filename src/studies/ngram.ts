/** The floor of a study of text: an interpolated n-gram model of the training part, measured on the validation part. Kept in ngram.json. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeJson } from "../base/files.ts";
import { expectObject, readJson } from "../base/json.ts";
import type { TokenFile } from "../data/index.ts";
import { NgramCounts } from "../laws/corpus/distinct-ngrams.ts";
import { interpolatedLosses } from "../laws/corpus/ngram-model.ts";
import type { Config } from "../train/config.ts";
import { openSubject } from "../train/prepare.ts";
import type { RunResult } from "./results.ts";

const fileOf = (out: string) => join(out, "ngram.json");

/** What the model came to. */
export interface NgramResult {
	/** The best order up to the one asked for, or up to the longest whose counts fit in memory. */
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

/** Tokens that are measured at most: a floor needs no more. */
const most = 2_000_000;
const piece = 1 << 16;

/** Count and measure, unless that was done before. @param config of a run of the study, for its text and tokenizer */
export async function measureNgram(out: string, order: number, config: Config, signal?: AbortSignal): Promise<void> {
	if (existsSync(fileOf(out))) return;
	const { text } = await openSubject(config);
	if (!text) return;
	const started = performance.now();
	const counts = new NgramCounts(order);
	for (const tokens of stretches(text.train)) {
		counts.add(tokens);
		// Others get a turn, Ctrl-C among them.
		await new Promise((resolve) => setImmediate(resolve));
		if (signal?.aborted) return;
	}
	const losses = interpolatedLosses(counts, text.train.vocabularySize, stretches(text.validation, most));
	const best = losses.reduce<number>(
		(low, loss, i) => ((loss ?? Number.POSITIVE_INFINITY) < (losses[low] ?? Number.POSITIVE_INFINITY) ? i : low),
		0,
	);
	const loss = losses[best];
	if (loss === null) return;
	const result: NgramResult = {
		order: best + 1,
		loss,
		tokens: counts.tokens,
		seconds: (performance.now() - started) / 1000,
	};
	writeJson(fileOf(out), result);
}

/** The first tokens of a file, piece by piece. */
function* stretches(file: TokenFile, count = file.length): Generator<Int32Array> {
	const end = Math.min(count, file.length);
	for (let start = 0; start < end; start += piece) {
		const tokens = new Int32Array(Math.min(piece, end - start));
		file.read(start, tokens.length, tokens);
		yield tokens;
	}
}
