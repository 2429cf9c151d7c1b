/**
 * Weights and the optimiser's tensors between a session and a checkpoint, checked against what the model declares. Where a moving
 * average of the weights is kept it is the model, and the weights as trained stand with the optimiser.
 */
import { RivuletError } from "../base/errors.ts";
import type { Session } from "../engine/session.ts";
import type { Model } from "../models/index.ts";
import type { Checkpoint, Weight } from "./checkpoint.ts";
import type { Learner } from "./learner.ts";
import { averageIndex } from "./optimizer.ts";

/** Names in optimizer.safetensors, each before the weight's own: Adam's moments, and the weights as trained. */
const moments = ["first", "second"] as const;
const trained = "trained";

/** @param path of the run, for messages */
export function loadWeights(session: Session, model: Model, tensors: ReadonlyMap<string, Weight>, path: string): void {
	for (const { name, fileShape } of model.parameters) {
		session.writeParameter(name, checked(tensors, name, fileShape, path));
	}
}

/** All that training goes on from. @param path of the run, for messages */
export function restoreWeights(
	{ session, model, averages }: Learner,
	{ tensors, optimizer }: Checkpoint,
	path: string,
): void {
	if (!averages) loadWeights(session, model, tensors, path);
	for (const { name, fileShape } of model.parameters) {
		const kept = (which: string) => checked(optimizer, `${which}.${name}`, fileShape, path);
		moments.forEach((moment, index) => session.writeOptimizer(name, index, kept(moment)));
		if (!averages) continue;
		session.writeOptimizer(name, averageIndex, checked(tensors, name, fileShape, path));
		session.writeParameter(name, kept(trained));
	}
}

/** What `restoreWeights` takes. */
export function savedWeights({ session, model, averages }: Learner): Pick<Checkpoint, "tensors" | "optimizer"> {
	const tensors = new Map<string, Weight>();
	const optimizer = new Map<string, Weight>();
	for (const { name, fileShape: shape } of model.parameters) {
		const weight = { shape, data: session.readParameter(name) };
		const average = averages && { shape, data: session.readOptimizer(name, averageIndex) };
		tensors.set(name, average || weight);
		if (average) optimizer.set(`${trained}.${name}`, weight);
		moments.forEach((moment, index) =>
			optimizer.set(`${moment}.${name}`, { shape, data: session.readOptimizer(name, index) }),
		);
	}
	return { tensors, optimizer };
}

function checked(
	tensors: ReadonlyMap<string, Weight>,
	name: string,
	shape: readonly number[],
	path: string,
): Float32Array {
	const tensor = tensors.get(name);
	if (tensor?.shape.join() !== shape.join()) {
		const found = tensor ? tensor.shape.join(" x ") : "none";
		throw new RivuletError(
			"checkpoint-invalid",
			`${path}: expected a tensor ${name} of ${shape.join(" x ")}, found ${found}`,
			{ hint: "config.json and the checkpoint do not belong together" },
		);
	}
	return (tensor as Weight).data;
}
