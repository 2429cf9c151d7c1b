/** Doing a sweep: speeds, then the search for learning rates, then run after run, each skipped, taken up or begun as its folder says. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RivuletError } from "../../base/errors.ts";
import { writeJson } from "../../base/files.ts";
import type { Config, ConfigInput } from "../../train/config.ts";
import { defineConfig } from "../../train/config-resolve.ts";
import type { TrainEvent, TrainSummary } from "../../train/events.ts";
import { openSubject } from "../../train/prepare.ts";
import { holdsRun } from "../../train/run.ts";
import { train } from "../../train/trainer.ts";
import { mergeInputs } from "../manifest.ts";
import { failurePath } from "../results.ts";
import { summaryOfSame } from "../run-study.ts";
import {
	type Architecture,
	bestRate,
	configFor,
	heldBackWidth,
	ladderRuns,
	ladderWidths,
	makeLadder,
	middleOf,
	nextRate,
	runName,
	type SweepRun,
} from "./ladder.ts";
import { dataOf, findSweep, runPath, type SweepManifest, type SweepRequest, writeSweep } from "./sweep-folder.ts";

/** What a sweep tells while it works. */
export type SweepEvent =
	| { readonly kind: "speed"; readonly name: string; readonly stepSeconds: number }
	| { readonly kind: "ladder"; readonly out: string; readonly runs: number; readonly manifest: SweepManifest }
	| { readonly kind: "rate"; readonly architecture: Architecture; readonly rate: number; readonly width: number }
	| {
			readonly kind: "run";
			readonly name: string;
			readonly state: "begun" | "done before" | "done" | "failed";
			readonly summary?: TrainSummary;
			readonly failure?: string;
	  }
	/** What the run under way tells. */
	| { readonly kind: "train"; readonly event: TrainEvent };

export type EngineChoice = Pick<ConfigInput, "backend" | "precision" | "threads">;

export interface SweepOptions {
	readonly out: string;
	readonly request: SweepRequest;
	/** Only runs of the ladder whose name fits this pattern, where * stands for anything. */
	readonly only?: string;
	readonly engine?: EngineChoice;
	readonly signal?: AbortSignal;
	readonly onEvent?: (event: SweepEvent) => void;
}

/** A run and what it came to. */
export interface SweepRunOutcome {
	readonly run: SweepRun;
	/** Null where the run diverged. */
	readonly summary: TrainSummary | null;
}

export interface SweepOutcome {
	readonly ended: "done" | "interrupted";
	readonly manifest: SweepManifest | null;
	readonly outcomes: readonly SweepRunOutcome[];
}

/** Do what is left of a sweep in its folder. @throws RivuletError for a text or a budget too small, another sweep's folder */
export async function runSweep(options: SweepOptions): Promise<SweepOutcome> {
	const sweep = new Sweep(options);
	try {
		const manifest = await sweep.begin();
		await sweep.runAll(manifest);
		return { ended: "done", manifest, outcomes: sweep.outcomes };
	} catch (error) {
		if (!(error instanceof Stopped)) throw error;
		return { ended: "interrupted", manifest: sweep.manifest ?? null, outcomes: sweep.outcomes };
	}
}

/** The caller wants no more; what is done is saved. */
class Stopped extends Error {}

class Sweep {
	readonly outcomes: SweepRunOutcome[] = [];
	manifest: SweepManifest | undefined;
	readonly #options: SweepOptions;
	readonly #emit: (event: SweepEvent) => void;
	readonly #base: ConfigInput;

	constructor(options: SweepOptions) {
		this.#options = options;
		this.#emit = options.onEvent ?? (() => {});
		this.#base = { ...options.engine, data: dataOf(options.request) };
	}

	/** The manifest of the folder, or a new one: how long the text is, how fast the sizes are, what ladder follows. */
	async begin(): Promise<SweepManifest> {
		const { out, request } = this.#options;
		const known = findSweep(out, request);
		const subject = await openSubject(defineConfig(this.#base));
		const trainTokens = subject.text!.train.length;
		if (known && known.trainTokens !== trainTokens) {
			throw new RivuletError(
				"sweep-differs",
				`${out} was begun with a text of ${known.trainTokens} training tokens; now it has ${trainTokens}`,
				{ hint: "name another folder with --out", exitStatus: 2 },
			);
		}
		this.manifest = known ?? (await this.#decide(trainTokens, subject.vocabulary));
		if (!known) writeSweep(out, this.manifest);
		return this.manifest;
	}

	async #decide(trainTokens: number, vocabulary: number): Promise<SweepManifest> {
		const { request } = this.#options;
		const asked = {
			...request,
			tokens: trainTokens,
			seconds: 60 * request.budgetMinutes,
			steps: request.steps ?? undefined,
		};
		const started = performance.now();
		// What is wrong with the text shows before anything is measured: here as if steps cost nothing.
		makeLadder({ ...asked, seconds: Number.POSITIVE_INFINITY }, noCost(request));
		const speeds = request.steps === null ? await this.#measureSpeeds() : {};
		const spent = (performance.now() - started) / 1000;
		// A tenth is kept for what cannot be foreseen.
		const ladder = makeLadder({ ...asked, seconds: 0.9 * asked.seconds - spent }, { ...noCost(request), ...speeds });
		return { request, trainTokens, vocabulary, ladder: plain(ladder), speeds };
	}

	/** Seconds of a step of each size, from a few steps in a folder that is removed. */
	async #measureSpeeds(): Promise<SweepManifest["speeds"]> {
		const { request } = this.#options;
		const widths = ladderWidths(request.sizes);
		const speeds: SweepManifest["speeds"] = {};
		const folder = mkdtempSync(join(tmpdir(), "rivulet-sweep-"));
		try {
			for (const kind of request.architectures) {
				const byWidth: Record<string, number> = {};
				for (const width of [...widths, heldBackWidth(widths)]) {
					const run: SweepRun = { part: "ladder", kind, width, tokens: 2 ** 31, seed: 1, rate: 1e-3 };
					byWidth[width] = await this.#stepSeconds(run, join(folder, `${kind}-${width}`));
					this.#emit({ kind: "speed", name: `${kind}, width ${width}`, stepSeconds: byWidth[width] });
				}
				speeds[kind] = byWidth;
			}
			return speeds;
		} finally {
			rmSync(folder, { recursive: true, force: true });
		}
	}

	async #stepSeconds(run: SweepRun, path: string): Promise<number> {
		const times: number[] = [];
		const steps = 25;
		const measured = mergeInputs(mergeInputs(this.#base, configFor(run, steps, path)), {
			train: { evaluateEvery: steps, evaluateBatches: 1 },
		});
		const summary = await train(defineConfig(measured), {
			signal: this.#options.signal,
			onEvent: ({ kind }) => kind === "step" && times.push(performance.now()),
		});
		if (summary.ended === "interrupted") throw new Stopped();
		// The first steps build programs and warm up.
		const durations = times.slice(5).map((time, i) => time - times[i + 4]);
		return durations.sort((a, b) => a - b)[durations.length >> 1] / 1000;
	}

	async runAll(manifest: SweepManifest): Promise<void> {
		const { ladder, request } = manifest;
		const { out, only } = this.#options;
		const planned = ladder.architectures.map((kind) => ladderRuns(kind, ladder, request.seeds, 1));
		const wanted = new Set(chooseNames(planned.flat().map(runName), only));
		const runs = planned.flat().length;
		this.#emit({ kind: "ladder", out, runs, manifest });
		const all: SweepRun[] = [];
		for (const [i, kind] of ladder.architectures.entries()) {
			if (!planned[i].some((run) => wanted.has(runName(run)))) continue;
			const rate = await this.#searchRate(kind, manifest);
			this.#emit({ kind: "rate", architecture: kind, rate, width: ladder.widths[0] });
			all.push(...ladderRuns(kind, ladder, request.seeds, rate).filter((run) => wanted.has(runName(run))));
		}
		// Small ones first and architectures side by side, so that a part of the ladder says something already.
		const order = (run: SweepRun) => [run.part === "held back" ? 1 : 0, run.seed, run.width, run.tokens];
		for (const run of all.sort((a, b) => compare(order(a), order(b)))) await this.#run(run, manifest);
	}

	/** The learning rate of the smallest size, on the middle amount of text. */
	async #searchRate(kind: Architecture, manifest: SweepManifest): Promise<number> {
		const { widths, tokens } = manifest.ladder;
		const tried = new Map<number, number>();
		for (let rate = nextRate(tried); rate !== null; rate = nextRate(tried)) {
			const run: SweepRun = { part: "search", kind, width: widths[0], tokens: middleOf(tokens), seed: 1, rate };
			const { summary } = await this.#run(run, manifest);
			tried.set(rate, summary?.best?.loss ?? Number.POSITIVE_INFINITY);
		}
		return bestRate(tried);
	}

	async #run(run: SweepRun, { ladder }: SweepManifest): Promise<SweepRunOutcome> {
		const { out, signal } = this.#options;
		if (signal?.aborted) throw new Stopped();
		const name = runName(run);
		const path = runPath(out, name);
		const config = defineConfig(mergeInputs(this.#base, configFor(run, ladder.steps, path)));
		const tell = (state: "begun" | "done before" | "done") => this.#emit({ kind: "run", name, state });
		let outcome: SweepRunOutcome;
		if (existsSync(failurePath(path))) outcome = { run, summary: null };
		else {
			const before = summaryOfSame(path, config);
			if (!before) tell("begun");
			const summary = before ?? (await this.#train(config, path));
			outcome = { run, summary };
			if (summary) this.#emit({ kind: "run", name, state: before ? "done before" : "done", summary });
		}
		if (outcome.summary === null) this.#emit({ kind: "run", name, state: "failed", failure: "it diverged" });
		this.outcomes.push(outcome);
		return outcome;
	}

	/** Null where it diverged: a rate too high is a result of the search too. */
	async #train(config: Config, path: string): Promise<TrainSummary | null> {
		try {
			const summary = await train(config, {
				signal: this.#options.signal,
				onEvent: (event) => this.#emit({ kind: "train", event }),
			});
			if (summary.ended === "interrupted") throw new Stopped();
			return summary;
		} catch (error) {
			if (!(error instanceof RivuletError && error.code === "training-diverged")) throw error;
			if (holdsRun(path)) writeJson(failurePath(path), { code: error.code, message: error.message });
			return null;
		}
	}
}

/** Speeds where nothing takes any time. */
function noCost({ architectures, sizes }: SweepRequest) {
	const widths = ladderWidths(sizes);
	const free = Object.fromEntries([...widths, heldBackWidth(widths)].map((width) => [width, 0]));
	return Object.fromEntries(architectures.map((kind) => [kind, free])) as Record<Architecture, Record<number, number>>;
}

/** Names that fit the pattern. @throws RivuletError sweep-only where none does */
function chooseNames(names: readonly string[], only: string | undefined): string[] {
	if (only === undefined) return [...names];
	const escaped = only.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*");
	const chosen = names.filter((name) => new RegExp(`^${escaped}$`).test(name));
	if (chosen.length > 0) return chosen;
	throw new RivuletError("sweep-only", `--only ${only} fits no run of this sweep`, {
		hint: `runs are named like ${names[0]}; * stands for anything`,
		exitStatus: 2,
	});
}

function compare(a: readonly number[], b: readonly number[]): number {
	const i = a.findIndex((value, at) => value !== b[at]);
	return i < 0 ? 0 : a[i] - b[i];
}

/** A ladder as sweep.json holds it. */
function plain({ architectures, widths, tokens, ...rest }: ReturnType<typeof makeLadder>): SweepManifest["ladder"] {
	return { ...rest, architectures: [...architectures], widths: [...widths], tokens: [...tokens] };
}
