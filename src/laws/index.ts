/** Scaling laws: what they say, and fits of them to runs. */
export {
	type AdditiveConstants,
	type AdditiveLaw,
	additiveLaw,
	additiveLoss,
	type Frontier,
	frontier,
} from "./additive.ts";
export {
	averageParameterLaw,
	keptShare,
	meanShare,
	type PrunedSituation,
	type PruningSchedule,
	scheduledMeanShare,
} from "./average-parameters.ts";
export { type CagnettaLaw, type CorpusExponents, cagnetta, measuredExponents } from "./cagnetta.ts";
export * from "./corpus/index.ts";
export { bootstrap, type Derived, derive, type Interval, interval, standardError } from "./fit/bootstrap.ts";
export { type Fit, type FitOptions, fitRuns, identifiability } from "./fit/fit.ts";
export { fitIsoflop, type IsoflopFit } from "./fit/isoflop.ts";
export { fitRepetition, type RepeatedRuns } from "./fit/repeated.ts";
export type { Runs } from "./fit/runs.ts";
export { readTable, type TableColumns } from "./fit/table.ts";
export { besiroglu, hoffmann, hoffmannRounded } from "./hoffmann.ts";
export * from "./kaplan.ts";
export type { Allocation, LawCard, LossLaw, Situation } from "./law.ts";
export {
	muennighoff,
	muennighoffConstants,
	type RepeatedSituation,
	type RepetitionConstants,
	repeatedDataLaw,
	repeatedLoss,
	usefulParameters,
	worth,
} from "./muennighoff.ts";
export { type Absolute, type NaturalLaw, natural, naturalWarnings, type Range, type Reference } from "./natural.ts";
export { type Expectation, makePlan, type Plan, type PlanRequest, type Recommendation } from "./plan.ts";
export { bestBits, effectiveShare, type PrecisionSituation, precision, quantizationLoss } from "./precision.ts";
