/** From a study's declaration to the runs of this call: which, in what order, in which folders, with which configuration. */
import { join } from "node:path";
import { RivuletError } from "../base/errors.ts";
import type { Config, ConfigInput } from "../train/config.ts";
import { type Layer, resolveConfig } from "../train/config-resolve.ts";
import type { RunGroup, StudyBudget, StudyRun } from "./study.ts";

/** What is asked of a study. */
export interface PlanOptions {
	/** The study's folder. */
	readonly out: string;
	readonly seeds: number;
	readonly groups: readonly RunGroup[];
	/** Only runs whose label, or label-seedN, fits this pattern, where * stands for anything. */
	readonly only?: string;
}

/** One run with one seed. */
export interface PlannedRun {
	readonly run: StudyRun;
	readonly seed: number;
	/** LABEL-seedN: the name of its folder. */
	readonly name: string;
	readonly path: string;
}

/** The runs in the order they are done: the first seed of all of them, then the next, so that every comparison fills up early. */
export function planRuns({ runs }: StudyBudget, { out, seeds, groups, only }: PlanOptions): PlannedRun[] {
	const planned: PlannedRun[] = [];
	for (let seed = 1; seed <= seeds; seed++) {
		for (const run of runs) {
			if (!groups.includes(run.group) || seed > (run.seeds ?? seeds)) continue;
			planned.push(plannedRun(run, seed, out));
		}
	}
	return only === undefined ? planned : select(planned, only);
}

/** A run with one seed, in its folder below `out`. */
export function plannedRun(run: StudyRun, seed: number, out: string): PlannedRun {
	const name = `${run.label}-seed${seed}`;
	return { run, seed, name, path: join(out, "runs", name) };
}

function select(planned: readonly PlannedRun[], only: string): PlannedRun[] {
	const escaped = only.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*");
	const pattern = new RegExp(`^${escaped}$`);
	const chosen = planned.filter(({ run, name }) => pattern.test(run.label) || pattern.test(name));
	if (chosen.length > 0) return chosen;
	const labels = [...new Set(planned.map(({ run }) => run.label))];
	throw new RivuletError("study-only", `--only ${only} fits no run of this study`, {
		hint: `there are ${labels.join(", ")}; * stands for anything`,
		exitStatus: 2,
	});
}

/**
 * The configuration of a planned run: the budget's base, the run's own values, the caller's overrides, and what follows from
 * other runs. It resumes by itself.
 */
export function configOf(
	{ run, seed, path }: PlannedRun,
	{ base }: StudyBudget,
	overrides: ConfigInput,
	matched: ConfigInput = {},
): Config {
	const layers: Layer[] = [
		{ from: "the study", values: base },
		{ from: `run ${run.label}`, values: run.config },
		{ from: "the command line", values: overrides },
		{ from: `what ${run.label} is matched to`, values: matched },
		{ from: "the study", values: { seed, run: path, resume: "auto" } },
	];
	return resolveConfig(layers);
}
