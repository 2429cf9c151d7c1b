/** The engine's public surface: graphs, gradients, plans, backends. */
export type { Backend, BackendName, Precision, Runtime, RuntimeOptions } from "./backend.ts";
export { backendNames, backendSupport, createRuntime } from "./backends/index.ts";
export { gradientTerms } from "./gradient.ts";
export { type DType, Graph, type Shape, type Tensor } from "./graph.ts";
export type { OpDefinition } from "./op.ts";
export * as ops from "./ops/index.ts";
export { fuseEpilogues } from "./passes/fuse-epilogues.ts";
export { recompute } from "./passes/recompute.ts";
export { sumWeightGradients } from "./passes/sum-weight-gradients.ts";
export { type Layout, type PlanOptions, plan } from "./plan.ts";
export type { Job, Program } from "./program.ts";
export { ParameterLayout, Session } from "./session.ts";
