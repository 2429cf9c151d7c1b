/** What the runs of a study came to, read from their folders: nothing is remembered elsewhere. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expectObject, readJson } from "../base/json.ts";
import type { Made } from "../base/made.ts";
import { spentBudget } from "../train/budget.ts";
import type { Config } from "../train/config.ts";
import type { TrainMade, TrainSummary } from "../train/events.ts";
import type { MetricsRecord } from "../train/metrics.ts";
import { holdsRun, RunFolder } from "../train/run.ts";
import type { PlannedRun } from "./plan.ts";
import type { RunGroup } from "./study.ts";

/** An evaluation on the way. */
export interface CurvePoint {
	readonly step: number;
	readonly tokens: number;
	readonly flops: number;
	readonly seconds: number;
	/** Nats per target. */
	readonly loss: number;
	/** Standard error of the loss, from the spread between sequences. */
	readonly error: number | null;
	readonly accuracy: number | null;
	/** Measured at the task's full length, not at a stage of the curriculum. */
	readonly full: boolean;
}

/** One run: a configuration with one seed. */
export interface SeedResult {
	readonly seed: number;
	readonly path: string;
	readonly ended: TrainSummary["ended"] | "failed" | "unfinished";
	/** Why it failed. */
	readonly failure?: string;
	readonly parameters: number;
	/** Sequences per step. */
	readonly batch: number;
	readonly steps: number;
	readonly tokens: number;
	readonly flops: number;
	/** Of training steps alone. */
	readonly seconds: number;
	readonly tokensPerSecond: number;
	/** Training FLOPs as the paper counts them, where they were counted. */
	readonly paperFlops: number | null;
	/** From start to end, evaluations included. */
	readonly wallSeconds: number | null;
	/** Most bytes that the runtime held. */
	readonly peakMemory: number | null;
	/** Best loss and accuracy at full length. */
	readonly loss: number | null;
	readonly accuracy: number | null;
	readonly curve: readonly CurvePoint[];
	/** By what and where, if the run says. */
	readonly made?: TrainMade;
}

/** The seeds of a configuration. */
export interface RunResult {
	readonly label: string;
	readonly title: string;
	readonly group: RunGroup;
	readonly seeds: readonly SeedResult[];
}

const summaryOf = (run: RunFolder) => run.readSummary() as unknown as TrainSummary | undefined;

/** The summary of a run that has spent its budget, or reached its target; undefined where there is more to do. */
export function finishedSummary(path: string, { train }: Config): TrainSummary | undefined {
	const summary = holdsRun(path) ? summaryOf(RunFolder.open(path)) : undefined;
	if (!summary || summary.ended === "interrupted") return undefined;
	return summary.ended === "target" || spentBudget(train, summary) ? summary : undefined;
}

/** The runs that have begun, in the order they were planned. */
export async function readResults(planned: readonly PlannedRun[]): Promise<RunResult[]> {
	const results = new Map<string, { -readonly [K in keyof RunResult]: RunResult[K] } & { seeds: SeedResult[] }>();
	for (const { run, seed, path } of planned) {
		const { label, title, group } = run;
		const seeds = results.get(label)?.seeds ?? [];
		results.set(label, { label, title, group, seeds });
		if (holdsRun(path)) seeds.push(await readSeed(path, seed));
	}
	return [...results.values()];
}

/** What one run came to. @param path its folder */
export async function readSeed(path: string, seed: number): Promise<SeedResult> {
	const run = RunFolder.open(path);
	const { config } = run;
	const curve: CurvePoint[] = [];
	for await (const record of run.metrics()) {
		if (record.validationLoss !== undefined) curve.push(pointOf(record, config));
	}
	const summary = summaryOf(run);
	const failure = readFailure(path);
	const last = curve.at(-1);
	const full = curve.filter((point) => point.full);
	const accuracies = full.flatMap(({ accuracy }) => accuracy ?? []);
	const interrupted = summary === undefined || summary.ended === "interrupted";
	return {
		seed,
		path,
		ended: failure === undefined ? (interrupted ? "unfinished" : summary.ended) : "failed",
		...(failure === undefined ? {} : { failure }),
		parameters: summary?.parameters ?? 0,
		batch: config.train.batch * config.train.accumulate,
		steps: summary?.steps ?? last?.step ?? 0,
		tokens: summary?.tokens ?? last?.tokens ?? 0,
		flops: summary?.flops ?? last?.flops ?? 0,
		seconds: summary?.seconds ?? last?.seconds ?? 0,
		tokensPerSecond: summary?.tokensPerSecond ?? 0,
		paperFlops: summary?.paperFlops ?? null,
		wallSeconds: summary?.wallSeconds ?? null,
		peakMemory: summary?.runtimeBytes ?? null,
		loss: full.length > 0 ? Math.min(...full.map(({ loss }) => loss)) : null,
		accuracy: accuracies.length > 0 ? Math.max(...accuracies) : null,
		curve,
		...(summary?.made === undefined ? {} : { made: summary.made }),
	};
}

/** By what and where runs were trained, for a report that may be written elsewhere and later; nothing where they do not say. */
export function madeOf(runs: readonly RunResult[]): Partial<Omit<Made, "version">> {
	const makers = runs.flatMap(({ seeds }) => seeds.flatMap(({ made }) => made ?? []));
	if (makers.length === 0) return {};
	const all = (text: (made: TrainMade) => string | null) =>
		[...new Set(makers.flatMap((made) => text(made) ?? []))].join("; ");
	return {
		commit: all(({ commit }) => commit) || null,
		machine: all(({ engine, machine }) => `${engine}, on ${machine}`),
	};
}

function pointOf(record: MetricsRecord, { data }: Config): CurvePoint {
	const { step, tokens = 0, flops = 0, seconds = 0, validationLoss, validationError, accuracy, noise } = record;
	return {
		step,
		tokens,
		flops,
		seconds,
		loss: validationLoss as number,
		error: validationError ?? null,
		accuracy: accuracy ?? null,
		full: noise === undefined || noise === data.noise,
	};
}

/** Where a run that came to nothing says why. */
export const failurePath = (run: string) => join(run, "failure.json");

function readFailure(run: string): string | undefined {
	const path = failurePath(run);
	return existsSync(path) ? String(expectObject(readJson(path, { maxSize: 1 << 20 }), path).message) : undefined;
}
