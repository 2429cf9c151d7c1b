/** Streaming's public surface: `forward(tokens, state) -> { logits, state }`, sampling, states as files. */
export { type GeneratedPiece, type GenerateOptions, generate } from "./generate.ts";
export { type OpenedRun, openRun } from "./open-run.ts";
export { defaultSampling, Sampler, type SamplerOptions } from "./sampler.ts";
export { type LayerBoundary, StreamState } from "./state.ts";
export { loadState, saveState } from "./state-file.ts";
export { type ForwardResult, Stream } from "./stream.ts";
export { type LineSurprisal, lineSurprisals } from "./surprisal.ts";
