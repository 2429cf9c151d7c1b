/** Rivulet: find, train and ship the smallest language model that does the job. The layers one by one: rivulet/engine, /models, /data, /train, /stream, /report, /laws, /studies. */

export { RivuletError } from "./base/errors.ts";
export { createModel, type Model, type ModelConfig } from "./models/index.ts";
export { generate, Sampler, Stream, StreamState } from "./stream/index.ts";
export { type Config, defineConfig, RunFolder, type TrainSummary, train } from "./train/index.ts";
