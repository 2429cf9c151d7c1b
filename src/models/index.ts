/** The architectures, by name. */
import { MinGru } from "./min-gru.ts";
import type { Model, ModelConfig } from "./model.ts";
import { RecurrentTransformer } from "./recurrent-transformer.ts";
import { Transformer } from "./transformer.ts";

const architectures = { recurrent: RecurrentTransformer, transformer: Transformer, mingru: MinGru };

/** The model that a configuration describes: its weights' shapes and its forward pass. Values live in a runtime. */
export function createModel(config: ModelConfig): Model {
	return new architectures[config.kind](config);
}

export { describeModel } from "./describe.ts";
export { minGruLayer } from "./min-gru.ts";
export type { ForwardShape, LogitsPiece, Model, ModelConfig, Outputs } from "./model.ts";
export { evaluationWindow, outputLength, outputSize, stateWidth } from "./model.ts";
export { type EvaluationOutputs, evaluationProgram, trainingProgram } from "./programs.ts";
export { MinGru, RecurrentTransformer, Transformer };
