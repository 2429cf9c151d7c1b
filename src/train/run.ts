/**
 * A run is a folder that explains itself: config.json, metrics.jsonl, tokenizer.json, checkpoints/step-N, samples.txt,
 * summary.json. This file knows where things are and keeps them consistent; what is in them is their own files' subject.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { RivuletError } from "../base/errors.ts";
import { fileError, makeFolder, writeFileAtomic, writeJson } from "../base/files.ts";
import { expectObject, readJson } from "../base/json.ts";
import { JsonLinesWriter } from "../base/json-lines.ts";
import {
	bestCheckpoint,
	type Checkpoint,
	listCheckpoints,
	pruneCheckpoints,
	readCheckpoint,
	restoreReplaced,
	rewindCheckpoints,
	type Which,
	writeCheckpoint,
} from "./checkpoint.ts";
import type { Config } from "./config.ts";
import { differences, plainConfig } from "./config-keys.ts";
import { resolveConfig } from "./config-resolve.ts";
import { takeLock } from "./lock.ts";
import { type MetricsRecord, readMetrics, rewindMetrics } from "./metrics.ts";

/** Version of the folder's layout; raised when a folder of before can no longer be read as it is. */
export const runVersion = 1;

/** One run's folder, new (`create`) or there already (`open`). */
export class RunFolder {
	readonly path: string;
	#config: Config;
	#metrics: JsonLinesWriter | undefined;
	#unlock: (() => void) | undefined;

	private constructor(path: string, config: Config) {
		this.path = path;
		this.#config = config;
	}

	/** A new run in a folder that holds none yet. RivuletError "run-exists" where it does. */
	static create(path: string, config: Config): RunFolder {
		if (holdsRun(path)) {
			throw new RivuletError("run-exists", `${path} already holds a run`, {
				hint: `go on with it: --resume auto --run ${path}; or name another folder`,
				exitStatus: 2,
			});
		}
		makeFolder(path);
		const run = new RunFolder(path, config);
		run.#writeConfig();
		return run;
	}

	/** An existing run, to read or to go on with. RivuletError "run-missing", "run-version", or what is wrong with its config.json. */
	static open(path: string): RunFolder {
		if (!holdsRun(path)) {
			throw new RivuletError("run-missing", `${path} is not a run: it has no config.json`, {
				hint: "name the folder that rivulet train wrote",
				exitStatus: 2,
			});
		}
		const file = join(path, "config.json");
		const { version, ...values } = expectObject(readJson(file, { maxSize: 1 << 20 }), file);
		if (version !== runVersion) {
			throw new RivuletError(
				"run-version",
				`${path}: expected a run of version ${runVersion}, found ${JSON.stringify(version)}`,
				{
					hint: "use the version of rivulet that wrote it, or train again",
				},
			);
		}
		// Every value is there, so the preset is only a name by now, and may be one of another version.
		const { preset, ...rest } = values;
		const config = resolveConfig([{ from: file, values: rest }]);
		return new RunFolder(path, { ...config, preset: typeof preset === "string" ? preset : null });
	}

	/** The whole configuration, as saved or as last adopted. */
	get config(): Config {
		return this.#config;
	}

	/** Where tokenizer.json is; text tasks only. */
	get tokenizerPath(): string {
		return join(this.path, "tokenizer.json");
	}

	/** The folder of the checkpoints. */
	get checkpointsPath(): string {
		return join(this.path, "checkpoints");
	}

	/** Keep other trainers out until `close`. */
	lock(): void {
		this.#unlock ??= takeLock(resolve(this.path, "lock"));
		restoreReplaced(this.checkpointsPath);
	}

	/** Close the metrics and give the lock back. */
	close(): void {
		this.#metrics?.close();
		this.#metrics = undefined;
		this.#unlock?.();
		this.#unlock = undefined;
	}

	/**
	 * Go on with `config`, which may differ in budgets and the like. RivuletError "run-differs" lists the keys where it computes
	 * something else.
	 */
	adopt(config: Config): void {
		const differing = differences(this.#config, config);
		if (differing.length > 0) {
			throw new RivuletError(
				"run-differs",
				`${this.path} was trained with another configuration: ${differing.join("; ")}`,
				{
					hint: "use the same values, or start a new run with --run in another folder",
					exitStatus: 2,
				},
			);
		}
		this.#config = config;
		this.#writeConfig();
	}

	/** Drop metrics, samples and checkpoints after `step`, so that going on from there repeats nothing. */
	async rewind(step: number): Promise<void> {
		this.#metrics?.close();
		this.#metrics = undefined;
		await rewindMetrics(this.#metricsPath, step);
		rewindCheckpoints(this.checkpointsPath, step);
		if (existsSync(this.#samplesPath)) writeFileAtomic(this.#samplesPath, samplesUpTo(this.readSamples(), step));
	}

	/** Save, then remove checkpoints beyond the newest `train.keep` and the best. Append the step's metrics and samples before. */
	async saveCheckpoint(checkpoint: Checkpoint): Promise<void> {
		// Metrics first: a checkpoint must never be ahead of the figures that led to it.
		this.#metrics?.flush();
		await writeCheckpoint(this.checkpointsPath, checkpoint);
		pruneCheckpoints(this.checkpointsPath, this.#config.train.keep);
	}

	/** @param options `optimizer: false` leaves the moments unread; `skipped` collects complaints about damaged ones */
	async loadCheckpoint(which: Which, options: { optimizer?: boolean; skipped?: string[] } = {}): Promise<Checkpoint> {
		return await readCheckpoint(this.checkpointsPath, which, options);
	}

	/** Steps that have a checkpoint, ascending. */
	checkpoints(): number[] {
		return listCheckpoints(this.checkpointsPath);
	}

	/** Step of the checkpoint with the lowest validation loss. */
	best(): number | undefined {
		return bestCheckpoint(this.checkpointsPath);
	}

	/** Add a line to metrics.jsonl. */
	appendMetrics(record: MetricsRecord): void {
		this.#metrics ??= new JsonLinesWriter(this.#metricsPath);
		this.#metrics.append(record);
	}

	/** All records of metrics.jsonl, in order. */
	metrics(): AsyncGenerator<MetricsRecord> {
		return readMetrics(this.#metricsPath);
	}

	/** Add a sample of the model's text after `step` steps. */
	addSample(step: number, text: string): void {
		writeFileAtomic(this.#samplesPath, `${this.readSamples()}${sampleHead(step)}\n${text}\n\n`);
	}

	/** All of samples.txt; empty where there is none. */
	readSamples(): string {
		if (!existsSync(this.#samplesPath)) return "";
		try {
			return readFileSync(this.#samplesPath, "utf8");
		} catch (error) {
			throw fileError(error, "read", this.#samplesPath);
		}
	}

	/** Write summary.json: how the run ended. */
	writeSummary(summary: object): void {
		writeJson(join(this.path, "summary.json"), summary);
	}

	/** Undefined where the run has not ended. */
	readSummary(): Record<string, unknown> | undefined {
		const path = join(this.path, "summary.json");
		return existsSync(path) ? expectObject(readJson(path, { maxSize: 1 << 20 }), path) : undefined;
	}

	get #metricsPath(): string {
		return join(this.path, "metrics.jsonl");
	}

	get #samplesPath(): string {
		return join(this.path, "samples.txt");
	}

	#writeConfig(): void {
		writeJson(join(this.path, "config.json"), { version: runVersion, ...plainConfig(this.#config) });
	}
}

export function holdsRun(path: string): boolean {
	return existsSync(join(path, "config.json"));
}

const sampleHead = (step: number) => `=== step ${step} ===`;

function samplesUpTo(samples: string, step: number): string {
	for (const match of samples.matchAll(/^=== step (\d+) ===$/gm)) {
		if (Number(match[1]) > step) return samples.slice(0, match.index);
	}
	return samples;
}

/** `root`/NAME-1, NAME-2, ...: the last one there is (undefined where none is) and the first that is free. */
export function numberedFolders(
	name: string,
	root: string,
): { readonly last: string | undefined; readonly next: string } {
	const numbers = existsSync(root) ? readdirSync(root).flatMap((entry) => numberAfter(entry, `${name}-`)) : [];
	const last = Math.max(0, ...numbers);
	return { last: last > 0 ? join(root, `${name}-${last}`) : undefined, next: join(root, `${name}-${last + 1}`) };
}

function numberAfter(entry: string, prefix: string): number[] {
	const rest = entry.startsWith(prefix) ? entry.slice(prefix.length) : "";
	return /^[1-9]\d{0,8}$/.test(rest) ? [Number(rest)] : [];
}
