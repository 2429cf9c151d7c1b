/** The figures of a run over its steps: metrics.jsonl, one line per record, in order of steps. */
import { existsSync, truncateSync } from "node:fs";
import { fileError } from "../base/files.ts";
import { readJsonLines } from "../base/json-lines.ts";

/** One line of metrics.jsonl. Losses in nats per target. */
export interface MetricsRecord {
	/** Steps done when it was written. */
	readonly step: number;
	/** Mean training loss since the last record. */
	readonly loss?: number;
	readonly validationLoss?: number;
	readonly validationError?: number;
	readonly accuracy?: number;
	readonly learningRate?: number;
	/** Global norm of the gradient before clipping. */
	readonly gradientNorm?: number;
	readonly tokensPerSecond?: number;
	readonly gigaflopsPerSecond?: number;
	/** Totals of the run: tokens, FLOPs, seconds. */
	readonly tokens?: number;
	readonly flops?: number;
	readonly seconds?: number;
	/** FLOPs as the paper counts them, and time with everything in it (account.ts). */
	readonly paperFlops?: number;
	readonly wallSeconds?: number;
	/** Noise tokens, with a curriculum. */
	readonly noise?: number;
}

/** The records of a file; lines that are none are passed over. A missing file has none. */
export async function* readMetrics(path: string): AsyncGenerator<MetricsRecord> {
	if (!existsSync(path)) return;
	for await (const { value } of readJsonLines(path)) if (isRecord(value)) yield value;
}

/** Cut the file after the records of `step`, and cut off a torn last line, so that a resumed run repeats no line. */
export async function rewindMetrics(path: string, step: number): Promise<void> {
	if (!existsSync(path)) return;
	let end = 0;
	for await (const line of readJsonLines(path)) {
		if (isRecord(line.value) && line.value.step > step) break;
		end = line.end;
	}
	try {
		truncateSync(path, end);
	} catch (error) {
		throw fileError(error, "write", path);
	}
}

function isRecord(value: unknown): value is MetricsRecord {
	return typeof value === "object" && value !== null && typeof (value as MetricsRecord).step === "number";
}
