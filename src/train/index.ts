/** Training's public surface: a configuration in, a run folder out. */
export { type Config, type ConfigInput, configSchema } from "./config.ts";
export { defineConfig, resolveConfig } from "./config-resolve.ts";
export { type Evaluation, evaluate } from "./evaluate.ts";
export type { TrainEvent, TrainSummary } from "./events.ts";
export { type Batch, Learner, type LearnerOptions, type StepResult } from "./learner.ts";
export { learnerOptions, modelConfig, openSubject, type Subject } from "./prepare.ts";
export { presetNames } from "./presets.ts";
export { RunFolder } from "./run.ts";
export { type TrainOptions, train } from "./trainer.ts";
