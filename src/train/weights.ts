/** Weights and moments of a checkpoint into a session, checked against what the model declares. */
import { RivuletError } from "../base/errors.ts";
import type { Session } from "../engine/session.ts";
import type { Model } from "../models/index.ts";
import type { Weight } from "./checkpoint.ts";

/** Names of Adam's moments in optimizer.safetensors, each before the weight's own. */
export const moments = ["first", "second"] as const;

/** @param path of the run, for messages */
export function loadWeights(session: Session, model: Model, tensors: ReadonlyMap<string, Weight>, path: string): void {
	for (const { name, fileShape } of model.parameters) {
		session.writeParameter(name, checked(tensors, name, fileShape, path));
	}
}

/** @param path of the run, for messages */
export function loadMoments(session: Session, model: Model, tensors: ReadonlyMap<string, Weight>, path: string): void {
	for (const { name, fileShape } of model.parameters) {
		moments.forEach((moment, index) => {
			session.writeMoment(name, index, checked(tensors, `${moment}.${name}`, fileShape, path));
		});
	}
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
