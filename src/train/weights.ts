/** Weights of a checkpoint into a session, checked against what the model declares. */
import { RivuletError } from "../base/errors.ts";
import type { Session } from "../engine/session.ts";
import type { Model } from "../models/index.ts";
import type { Weight } from "./checkpoint.ts";

/** @param path of the run, for messages */
export function loadWeights(session: Session, model: Model, tensors: ReadonlyMap<string, Weight>, path: string): void {
	for (const { name, fileShape } of model.parameters) {
		const tensor = tensors.get(name);
		if (tensor?.shape.join() !== fileShape.join()) {
			const found = tensor ? tensor.shape.join(" x ") : "none";
			throw new RivuletError(
				"checkpoint-invalid",
				`${path}: expected a tensor ${name} of ${fileShape.join(" x ")}, found ${found}`,
				{ hint: "config.json and the checkpoint do not belong together" },
			);
		}
		session.writeParameter(name, (tensor as Weight).data);
	}
}
