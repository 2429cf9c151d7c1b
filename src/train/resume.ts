/** Which folder a run goes to and where it goes on from: what --run and --resume mean. */
import { basename, dirname, resolve } from "node:path";
import { RivuletError } from "../base/errors.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { Config } from "./config.ts";
import { plainConfig } from "./config-keys.ts";
import { type Layer, peek, resolveConfig } from "./config-resolve.ts";
import { holdsRun, numberedFolders, RunFolder } from "./run.ts";

export interface StartedRun {
	/** Locked; give it back with `close`. */
	readonly run: RunFolder;
	/** Where to go on from; undefined for a fresh start. */
	readonly checkpoint?: Checkpoint;
	/** Complaints about damaged checkpoints that were passed over. */
	readonly skipped: readonly string[];
}

const defaultRoot = "runs";

/**
 * The configuration of a run that may be a resumed one: what the layers leave open is as the run was saved, so that
 * `--resume auto --run FOLDER` needs no further flag. A preset among the layers asks for exactly itself and is compared instead.
 */
export function resolveRunConfig(layers: readonly Layer[], root = defaultRoot): Config {
	const resume = peek(layers, "resume");
	if (resume === undefined || resume === "never") return resolveConfig(layers);
	const path = targetOf(String(resume), peek(layers, "run"), runName(layers), root).path;
	const mayBegin = resume === "auto" && (path === undefined || !holdsRun(path));
	if (path === undefined || mayBegin || typeof peek(layers, "preset") === "string") return resolveConfig(layers);
	// Where the run is and how it resumes are this call's affair, not the saved one's.
	const { run: _run, resume: _resume, json: _json, ...saved } = plainConfig(RunFolder.open(path).config);
	return resolveConfig([{ from: `${path}/config.json`, values: saved }, ...layers]);
}

/**
 * Open or create the run of `config`.
 * - resume never: a new run in `run`, or in the next free runs/NAME-n;
 * - resume auto: the newest complete checkpoint of `run`, or of the last runs/NAME-n; a fresh start where there is none;
 * - resume PATH: the newest checkpoint of that run, or exactly that checkpoint (RUN/checkpoints/step-N); later ones are dropped.
 */
export async function startRun(config: Config, root = defaultRoot): Promise<StartedRun> {
	const name = config.preset ?? config.data.task;
	if (config.resume === "never") return create(config.run ?? numberedFolders(name, root).next, config);
	const { path, step } = targetOf(config.resume, config.run, name, root);
	if (config.resume === "auto" && (path === undefined || !holdsRun(path))) {
		return create(path ?? numberedFolders(name, root).next, config);
	}
	return await goOn(path as string, step ?? "last", config);
}

function create(path: string, config: Config): StartedRun {
	const run = RunFolder.create(path, config);
	run.lock();
	return { run, skipped: [] };
}

/** The run, and the step where one is named. `path` is undefined only for auto where no run of that name is. */
function targetOf(
	resume: string,
	run: unknown,
	name: string,
	root: string,
): { path: string | undefined; step?: number } {
	const named = typeof run === "string" ? run : undefined;
	if (resume === "auto" || resume === "never") return { path: named ?? numberedFolders(name, root).last };
	const step = /^step-(\d{1,15})$/.exec(basename(resolve(resume)))?.[1];
	const path = step === undefined ? resume : dirname(dirname(resolve(resume)));
	if (named !== undefined && resolve(named) !== resolve(path)) {
		throw new RivuletError("run-conflict", `--run ${named} and --resume ${resume} name different runs`, {
			hint: "leave --run out: a run goes on in its own folder",
			exitStatus: 2,
		});
	}
	return { path, step: step === undefined ? undefined : Number(step) };
}

/** NAME of runs/NAME-n, before the configuration is resolved. */
function runName(layers: readonly Layer[]): string {
	const preset = peek(layers, "preset");
	return String(preset ?? peek(layers, "data.task") ?? "text");
}

async function goOn(path: string, which: "last" | number, config: Config): Promise<StartedRun> {
	const run = RunFolder.open(path);
	run.lock();
	try {
		run.adopt(config);
		const skipped: string[] = [];
		const nothing = which === "last" && run.checkpoints().length === 0;
		const checkpoint = nothing ? undefined : await run.loadCheckpoint(which, { skipped });
		await run.rewind(checkpoint?.state.step ?? -1);
		return { run, checkpoint, skipped };
	} catch (error) {
		run.close();
		throw error;
	}
}
