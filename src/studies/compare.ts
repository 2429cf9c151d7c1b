/** Any runs side by side, read from their folders: those that differ only in their seed are one row and one curve. */
import { realpathSync } from "node:fs";
import { basename } from "node:path";
import { RivuletError } from "../base/errors.ts";
import { fileError } from "../base/files.ts";
import type { Config } from "../train/config.ts";
import { configKeys, configValue, valueText } from "../train/config-keys.ts";
import type { TrainSummary } from "../train/events.ts";
import { RunFolder } from "../train/run.ts";
import { meanOf } from "./claims.ts";
import { type RunResult, readSeed, type SeedResult } from "./results.ts";

/** How a run ended, as its last evaluation has it. */
export interface FinalFigures {
	readonly loss: number | null;
	/** Of one evaluation: from the spread between sequences. */
	readonly error: number | null;
	readonly bitsPerByte: number | null;
	readonly accuracy: number | null;
}

/** Runs of one configuration. */
export interface ComparedRun extends RunResult {
	readonly config: Config;
	/** Names of the folders, one for each seed. */
	readonly folders: readonly string[];
	/** In the order of the seeds. */
	readonly finals: readonly FinalFigures[];
	/** What the first seed wrote last; null where it writes nothing. */
	readonly sample: string | null;
}

/** A key of the configuration that is not the same everywhere, with its value in each of the compared runs. */
export interface Difference {
	readonly key: string;
	readonly values: readonly string[];
}

export interface Comparison {
	readonly runs: readonly ComparedRun[];
	readonly differences: readonly Difference[];
}

/** Keys that say who runs where, and how often it is saved: they make no other run. */
const beside = new Set(["preset", "seed", "run", "resume", "json", "train.save-every", "train.keep"]);

interface OneRun {
	readonly path: string;
	readonly config: Config;
	readonly result: SeedResult;
	readonly final: FinalFigures;
	readonly samples: string;
}

/** @throws RivuletError where a folder holds no run, or is named twice */
export async function compareRuns(paths: readonly string[]): Promise<Comparison> {
	refuseTwice(paths);
	const groups = new Map<string, OneRun[]>();
	for (const path of paths) {
		const one = await readRun(path);
		const same = JSON.stringify(comparedKeys().map((key) => configValue(one.config, key)));
		groups.set(same, [...(groups.get(same) ?? []), one]);
	}
	const runs = titled([...groups.values()]);
	return { runs, differences: differencesOf(runs.map(({ config }) => config)) };
}

/** The mean over the seeds with its standard error; that of the evaluation where there is but one seed. */
export function finalLoss({ finals }: ComparedRun): { readonly mean: number; readonly error: number | null } | null {
	const found = meanOf(finals.flatMap(({ loss }) => loss ?? []));
	if (found === null || found.count > 1) return found;
	return { mean: found.mean, error: finals.find(({ loss }) => loss !== null)?.error ?? null };
}

function refuseTwice(paths: readonly string[]): void {
	const seen = new Set<string>();
	for (const path of paths) {
		const real = realOf(path);
		if (seen.has(real)) {
			throw new RivuletError("run-twice", `expected different runs, found ${path} twice`, {
				hint: "name every run once",
				exitStatus: 2,
			});
		}
		seen.add(real);
	}
}

function realOf(path: string): string {
	try {
		return realpathSync(path);
	} catch (error) {
		throw fileError(error, "read the run", path);
	}
}

async function readRun(path: string): Promise<OneRun> {
	const run = RunFolder.open(path);
	const result = await readSeed(path, run.config.seed);
	const summary = run.readSummary() as unknown as TrainSummary | undefined;
	return { path, config: run.config, result, final: finalOf(result, summary), samples: run.readSamples() };
}

/** From the summary, or from the last evaluation of a run that was cut off without one. */
function finalOf({ curve }: SeedResult, summary: TrainSummary | undefined): FinalFigures {
	const last = curve.at(-1);
	return {
		loss: summary?.validationLoss ?? last?.loss ?? null,
		error: summary?.standardError ?? last?.error ?? null,
		bitsPerByte: summary?.bitsPerByte ?? null,
		accuracy: summary?.accuracy ?? last?.accuracy ?? null,
	};
}

function comparedKeys() {
	return [...configKeys().values()].filter(({ name }) => !beside.has(name));
}

/** Groups of runs with names of their own: what the names of their folders have in common. */
function titled(groups: readonly (readonly OneRun[])[]): ComparedRun[] {
	const taken = new Map<string, number>();
	return groups.map((ones) => {
		const folders = ones.map(({ path }) => basename(realOf(path)));
		const name = commonName(folders);
		const times = (taken.get(name) ?? 0) + 1;
		taken.set(name, times);
		const title = times === 1 ? name : `${name} (${times})`;
		return {
			...{ label: title, title, group: "main", folders },
			seeds: ones.map(({ result }) => result),
			config: ones[0].config,
			finals: ones.map(({ final }) => final),
			sample: lastSample(ones[0].samples),
		};
	});
}

/** "copy-seed1", "copy-seed2": "copy". */
function commonName(names: readonly string[]): string {
	if (names.length === 1) return names[0];
	let length = 0;
	while (length < names[0].length && names.every((name) => name[length] === names[0][length])) length++;
	const shared = names[0].slice(0, length).replace(/[-_. ]*(seed|s)?[-_. ]*\d*$/, "");
	return shared === "" ? names[0] : shared;
}

/** The text after the last heading of samples.txt. */
function lastSample(samples: string): string | null {
	const last = [...samples.matchAll(/^=== step \d+ ===\n/gm)].at(-1);
	const text = last === undefined ? "" : samples.slice(last.index + last[0].length).trimEnd();
	return text === "" ? null : text;
}

function differencesOf(configs: readonly Config[]): Difference[] {
	return comparedKeys().flatMap((key) => {
		const values = configs.map((config) => {
			const value = configValue(config, key);
			// Where a text lies is nobody's business; what it is called tells it apart.
			return isPath(key.name) ? shortPath(value) : valueText(value);
		});
		const differ = new Set(configs.map((config) => JSON.stringify(configValue(config, key)))).size > 1;
		return differ ? [{ key: key.name, values }] : [];
	});
}

const isPath = (key: string) => key === "data.path" || key === "data.validation" || key === "data.images";

function shortPath(value: unknown): string {
	const paths = (Array.isArray(value) ? value : [value]).filter((path) => typeof path === "string");
	return valueText(paths.map((path) => basename(path)));
}
