/** Doing a study: run after run through the trainer, each skipped, taken up or begun as its folder says. */
import { rmSync } from "node:fs";
import { RivuletError } from "../base/errors.ts";
import { writeJson } from "../base/files.ts";
import { sampleText } from "../stream/sample.ts";
import type { Config, ConfigInput } from "../train/config.ts";
import { differences } from "../train/config-keys.ts";
import type { TrainEvent, TrainSummary } from "../train/events.ts";
import { openSubject } from "../train/prepare.ts";
import { holdsRun, RunFolder } from "../train/run.ts";
import { train } from "../train/trainer.ts";
import { measureLengths } from "./lengths.ts";
import { type Manifest, manifestFor, writeManifest } from "./manifest.ts";
import { matchedValues } from "./matched.ts";
import { measureNgram } from "./ngram.ts";
import { configOf, type PlannedRun, planRuns } from "./plan.ts";
import { failurePath, finishedSummary } from "./results.ts";
import type { RunGroup, Study, StudyBudgetName } from "./study.ts";

/** What a study tells while it works. */
export type StudyEvent =
	| { readonly kind: "study"; readonly out: string; readonly runs: number }
	| {
			readonly kind: "run";
			readonly index: number;
			readonly name: string;
			readonly title: string;
			readonly state: RunState;
			readonly summary?: TrainSummary;
			readonly failure?: string;
	  }
	/** What the run under way tells. */
	| { readonly kind: "train"; readonly event: TrainEvent }
	/** Seconds until all runs are done, as far as can be told. */
	| { readonly kind: "left"; readonly seconds: number };

export type RunState = "begun" | "done before" | "done" | "failed";

export interface RunStudyOptions {
	readonly budget: StudyBudgetName;
	readonly out: string;
	/** Default: what the study declares. */
	readonly seeds?: number;
	readonly groups?: readonly RunGroup[];
	readonly only?: string;
	/** Laid over every run: data, engine; in tests, sizes. */
	readonly overrides?: ConfigInput;
	readonly signal?: AbortSignal;
	readonly onEvent?: (event: StudyEvent) => void;
}

export interface StudyOutcome {
	readonly ended: "done" | "interrupted";
	readonly manifest: Manifest;
	/** Runs done, those of before included; failed; planned. */
	readonly done: number;
	readonly failed: number;
	readonly runs: number;
}

/** At paper budget the ablations belong to the study; at quick they are asked for. */
export function defaultGroups(budget: StudyBudgetName): RunGroup[] {
	return budget === "paper" ? ["main", "ablations"] : ["main"];
}

/** Do what is left of a study in its folder. RivuletError where the folder is another study's, or where data are missing. */
export async function runStudy(study: Study, options: RunStudyOptions): Promise<StudyOutcome> {
	const { budget, out, signal, onEvent = () => {} } = options;
	const declared = study.budgets[budget];
	const manifest = manifestFor(out, {
		study: study.name,
		budget,
		seeds: options.seeds ?? declared.seeds,
		groups: [...(options.groups ?? defaultGroups(budget))],
		overrides: options.overrides ?? {},
	});
	const planned = planRuns(declared, { ...manifest, out, only: options.only });
	// What the caller got wrong shows here, before anything is written.
	const first = configOf(planned[0], declared, needed(study, manifest.overrides));
	await openSubject(first);
	writeManifest(out, manifest);
	if (declared.ngramOrder !== undefined) await measureNgram(out, declared.ngramOrder, first, signal);
	const outcome = { done: 0, failed: 0 };
	const clock = new Remaining(planned);
	onEvent({ kind: "study", out, runs: planned.length });
	for (const [index, one] of planned.entries()) {
		const { name, run } = one;
		const tell = (state: RunState, more: { summary?: TrainSummary; failure?: string } = {}) =>
			onEvent({ kind: "run", index: index + 1, name, title: run.title, state, ...more });
		if (signal?.aborted) return { ended: "interrupted", manifest, ...outcome, runs: planned.length };
		try {
			const matched = await matchedValues(one, declared, manifest.overrides, out);
			const config = configOf(one, declared, manifest.overrides, matched);
			const before = summaryOfSame(one.path, config);
			if (!before) tell("begun");
			const summary = before ?? (await trainOne(one, study, config, options, clock));
			if (summary.ended !== "interrupted") await measureLengths(one, config, summary.steps, signal);
			if (summary.ended === "interrupted" || signal?.aborted)
				return { ended: "interrupted", manifest, ...outcome, runs: planned.length };
			clock.finish(one, summary.wallSeconds ?? summary.seconds);
			outcome.done++;
			tell(before ? "done before" : "done", { summary });
		} catch (error) {
			if (!isFailedRun(error)) throw error;
			// One run that comes to nothing is a result too; the others go on.
			if (holdsRun(one.path)) writeJson(failurePath(one.path), { code: error.code, message: error.message });
			outcome.failed++;
			clock.finish(one, 0);
			tell("failed", { failure: error.message });
		}
	}
	return { ended: "done", manifest, ...outcome, runs: planned.length };
}

/** The overrides, if they bring what the study needs. */
function needed({ name, needs }: Study, overrides: ConfigInput): ConfigInput {
	const path = overrides.data?.path ?? [];
	if (needs === null || path.length > 0) return overrides;
	const [what, place] = { text: ["a text", "FILE"], images: ["images", "FOLDER"] }[needs];
	throw new RivuletError("data-missing", `the study ${name} learns from ${what} of yours, and none is named`, {
		hint: `name it: rivulet study run ${name} --data.path ${place}`,
		exitStatus: 2,
	});
}

const isFailedRun = (error: unknown): error is RivuletError =>
	error instanceof RivuletError && ["training-diverged", "study-reference"].includes(error.code);

/** The summary of a finished run of exactly this configuration. */
export function summaryOfSame(path: string, config: Config): TrainSummary | undefined {
	const summary = finishedSummary(path, config);
	if (!summary) return undefined;
	const differing = differences(RunFolder.open(path).config, config);
	if (differing.length === 0) return summary;
	throw new RivuletError("run-differs", `${path} was trained with another configuration: ${differing.join("; ")}`, {
		hint: "give the same options, or name another folder with --out",
		exitStatus: 2,
	});
}

async function trainOne(
	planned: PlannedRun,
	study: Study,
	config: Config,
	{ signal, onEvent = () => {} }: RunStudyOptions,
	clock: Remaining,
): Promise<TrainSummary> {
	rmSync(failurePath(planned.path), { force: true });
	return await train(config, {
		signal,
		...(planned.run.label === study.subject ? { sample: sampleText } : {}),
		onEvent: (event) => {
			onEvent({ kind: "train", event });
			if (event.kind !== "step") return;
			const seconds = clock.left(planned, event.secondsLeft);
			if (seconds !== undefined) onEvent({ kind: "left", seconds });
		},
	});
}

/** How long the rest will take: runs still to come as long as those of the same label took, or as the runs on average. */
class Remaining {
	readonly #pending: Set<PlannedRun>;
	readonly #taken = new Map<string, number[]>();
	#begun = performance.now();

	constructor(planned: readonly PlannedRun[]) {
		this.#pending = new Set(planned);
	}

	finish(planned: PlannedRun, seconds: number): void {
		this.#pending.delete(planned);
		const { label } = planned.run;
		if (seconds > 0) this.#taken.set(label, [...(this.#taken.get(label) ?? []), seconds]);
		this.#begun = performance.now();
	}

	/** @param current seconds left of the run under way */
	left(planned: PlannedRun, current: number | undefined): number | undefined {
		if (current === undefined) return undefined;
		const present = (performance.now() - this.#begun) / 1000 + current;
		const known = [...this.#taken.values()].flat();
		const average = mean([...known, present]);
		let seconds = current;
		for (const other of this.#pending) {
			if (other !== planned) seconds += mean(this.#taken.get(other.run.label) ?? [average]);
		}
		return seconds;
	}
}

function mean(values: readonly number[]): number {
	return values.reduce((sum, value) => sum + value, 0) / values.length;
}
