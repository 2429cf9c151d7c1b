/** The architectures, by name. */
import type { Model, ModelConfig } from "./model.ts";
import { RecurrentTransformer } from "./recurrent-transformer.ts";
import { Transformer } from "./transformer.ts";

/** The model that a configuration describes: its weights' shapes and its forward pass. Values live in a runtime. */
export function createModel(config: ModelConfig): Model {
	return config.kind === "transformer" ? new Transformer(config) : new RecurrentTransformer(config);
}

export type { ForwardShape, LogitsPiece, Model, ModelConfig, Outputs } from "./model.ts";
export { evaluationWindow, outputLength, outputSize } from "./model.ts";
export { type EvaluationOutputs, evaluationProgram, trainingProgram } from "./programs.ts";
export { RecurrentTransformer, Transformer };
