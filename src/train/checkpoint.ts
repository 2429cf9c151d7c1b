/**
 * Checkpoints of a run: folders step-N with weights, optimiser and state, complete or not there at all. One is written under
 * another name, forced to the disk and renamed; what is under its own name can be trusted, and is checked all the same.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { RivuletError } from "../base/errors.ts";
import { fileError, writeJson } from "../base/files.ts";
import { readJson } from "../base/json.ts";
import { readSafetensors, writeSafetensors } from "../base/safetensors-file.ts";

const total = z.number().min(0);
const stateSchema = z.strictObject({
	/** Steps done; also the data cursor, since batch `step` is a pure function of (seed, step). */
	step: z.int().min(0),
	tokens: total,
	flops: total,
	seconds: total,
	seed: z.int().min(0),
	/** Validation loss of exactly these weights, null where they were not evaluated. */
	validationLoss: z.number().nullable(),
	/** These weights were to be evaluated when the run was stopped; what follows from it is still to come. */
	evaluationDue: z.boolean().optional(),
	/** The best evaluation so far. */
	best: z.strictObject({ step: z.int().min(0), loss: z.number() }).nullable(),
	/** Where the learning-rate schedule stands (schedule.ts). */
	schedule: z.strictObject({ base: z.number(), rate: z.number() }),
	/** Noise tokens the curriculum has reached; null without one. */
	noise: z.int().min(0).nullable(),
	/** Steps up to this one are done in the wider range of numbers, and how much has been so far (learner.ts). */
	wideUntil: z.int().min(0).optional(),
	doneWide: z.int().min(0).optional(),
	/** What the run has cost so far (account.ts). */
	costs: z.strictObject({ paperFlops: total, wallSeconds: total, runtimeBytes: total, processBytes: total }).optional(),
});

/** What a run must know to go on as if it had never stopped, beside its weights and moments. */
export type TrainState = z.output<typeof stateSchema>;

/** A weight or moment, row-major, in its file's shape. */
export interface Weight {
	readonly shape: readonly number[];
	readonly data: Float32Array;
}

export interface Checkpoint {
	readonly tensors: ReadonlyMap<string, Weight>;
	/** Moments and whatever else the optimiser keeps; empty where it was not asked for. */
	readonly optimizer: ReadonlyMap<string, Weight>;
	readonly state: TrainState;
}

/** Codes of errors that say a checkpoint is torn or damaged, not that it could not be read just now. */
const damage = /^(safetensors-|checkpoint-|json-|file-missing|file-truncated)/;

/** Which checkpoint: the newest, the one of lowest validation loss, or the one of a step. */
export type Which = "last" | "best" | number;

/** Write `folder`/step-N. On failure nothing is left behind and older checkpoints are as they were. */
export async function writeCheckpoint(folder: string, checkpoint: Checkpoint, write = writeSafetensors): Promise<void> {
	const { tensors, optimizer } = checkpoint;
	const state = stateSchema.parse(checkpoint.state);
	const final = join(folder, `step-${state.step}`);
	const partial = join(folder, `.step-${state.step}.partial`);
	const replaced = join(folder, `.step-${state.step}.replaced`);
	try {
		rmSync(partial, { recursive: true, force: true });
		mkdirSync(partial, { recursive: true });
		await write(join(partial, "model.safetensors"), tensors, { format: "pt" });
		await write(join(partial, "optimizer.safetensors"), optimizer);
		writeJson(join(partial, "state.json"), state);
		// A folder cannot be renamed onto another: the same step's earlier checkpoint steps aside first.
		if (existsSync(final)) renameSync(final, replaced);
		renameSync(partial, final);
	} catch (error) {
		try {
			rmSync(partial, { recursive: true, force: true });
		} catch {} // the first failure is the one to tell
		throw fileError(error, "write the checkpoint", final);
	}
	rmSync(replaced, { recursive: true, force: true });
}

/** Steps of the checkpoints in `folder`, ascending. */
export function listCheckpoints(folder: string): number[] {
	if (!existsSync(folder)) return [];
	const names = readdirSync(folder).flatMap((name) => /^step-(\d{1,15})$/.exec(name)?.[1] ?? []);
	return names.map(Number).sort((a, b) => a - b);
}

/**
 * Read a checkpoint. "last" passes over damaged ones, whose complaints go to `skipped`.
 * @throws RivuletError where there is none, or none that is whole
 */
export async function readCheckpoint(
	folder: string,
	which: Which,
	options: { readonly optimizer?: boolean; readonly skipped?: string[] } = {},
): Promise<Checkpoint> {
	const steps = listCheckpoints(folder);
	if (steps.length === 0) {
		throw new RivuletError("checkpoint-missing", `no checkpoint in ${folder}`, {
			hint: "train for longer, or check the path",
		});
	}
	if (which !== "last") {
		const step = which === "best" ? bestCheckpoint(folder) : which;
		if (step === undefined || !steps.includes(step)) {
			const wanted = which === "best" ? "an evaluated checkpoint" : `a checkpoint of step ${which}`;
			throw new RivuletError("checkpoint-missing", `expected ${wanted} in ${folder}, found steps ${steps.join(", ")}`);
		}
		return await readOne(folder, step, options.optimizer ?? true);
	}
	let failure: unknown;
	for (const step of steps.reverse()) {
		try {
			return await readOne(folder, step, options.optimizer ?? true);
		} catch (error) {
			if (!(error instanceof RivuletError) || !damage.test(error.code)) throw error;
			options.skipped?.push(error.message);
			failure ??= error;
		}
	}
	throw failure;
}

/**
 * Step of the checkpoint of lowest validation loss, undefined where none was evaluated. A loss at more noise is worth more than
 * any at less: a curriculum's early losses are low because the task is easy.
 */
export function bestCheckpoint(folder: string): number | undefined {
	let best: TrainState | undefined;
	for (const step of listCheckpoints(folder)) {
		const state = tryState(folder, step);
		if (state?.validationLoss == null) continue;
		const [noise, bestNoise] = [state.noise ?? 0, best?.noise ?? 0];
		const better =
			noise > bestNoise || (noise === bestNoise && state.validationLoss < (best?.validationLoss ?? Infinity));
		if (!best || better) best = state;
	}
	return best?.step;
}

/** Remove all but the newest `keep` and the best, and what interrupted writes left. */
export function pruneCheckpoints(folder: string, keep: number): void {
	const best = bestCheckpoint(folder);
	for (const step of listCheckpoints(folder).slice(0, -keep)) {
		if (step !== best) remove(join(folder, `step-${step}`));
	}
	for (const name of readdirSync(folder)) {
		if (/^\.step-\d+\.(partial|replaced)$/.test(name)) remove(join(folder, name));
	}
}

/** Put back a checkpoint that had stepped aside for another of its step, where the process died between the two renames. */
export function restoreReplaced(folder: string): void {
	if (!existsSync(folder)) return;
	for (const name of readdirSync(folder)) {
		const final = /^\.(step-\d+)\.replaced$/.exec(name)?.[1];
		if (final && !existsSync(join(folder, final))) renameSync(join(folder, name), join(folder, final));
	}
}

/** Remove the checkpoints after `step`: the future of a run that goes on from there. */
export function rewindCheckpoints(folder: string, step: number): void {
	for (const later of listCheckpoints(folder)) if (later > step) remove(join(folder, `step-${later}`));
}

function remove(path: string): void {
	try {
		rmSync(path, { recursive: true, force: true });
	} catch (error) {
		throw fileError(error, "remove", path);
	}
}

async function readOne(folder: string, step: number, withOptimizer: boolean): Promise<Checkpoint> {
	const path = join(folder, `step-${step}`);
	const state = readState(folder, step);
	return {
		tensors: await readWeights(join(path, "model.safetensors")),
		optimizer: withOptimizer ? await readWeights(join(path, "optimizer.safetensors")) : new Map(),
		state,
	};
}

async function readWeights(path: string): Promise<Map<string, Weight>> {
	const weights = new Map<string, Weight>();
	for (const [name, { shape, data }] of await readSafetensors(path)) {
		if (!(data instanceof Float32Array)) {
			throw new RivuletError("checkpoint-invalid", `${path}: tensor ${name}: expected floating-point values`);
		}
		weights.set(name, { shape, data });
	}
	return weights;
}

function readState(folder: string, step: number): TrainState {
	const path = join(folder, `step-${step}`, "state.json");
	const parsed = stateSchema.safeParse(readJson(path, { maxSize: 1 << 20 }));
	if (!parsed.success) {
		const { path: place, message } = parsed.error.issues[0];
		throw new RivuletError("checkpoint-invalid", `${path}: ${place.join(".")}: ${message}`, {
			hint: "the checkpoint is damaged or of another version; resume from an earlier one",
		});
	}
	if (parsed.data.step !== step) {
		throw new RivuletError("checkpoint-invalid", `${path}: expected step ${step}, found ${parsed.data.step}`);
	}
	return parsed.data;
}

function tryState(folder: string, step: number): TrainState | undefined {
	try {
		return readState(folder, step);
	} catch {
		return undefined;
	}
}
