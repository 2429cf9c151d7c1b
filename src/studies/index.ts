/** Studies' public surface: the declared experiments, doing one, judging and reporting it; runs side by side. */
export { findStudy, studies } from "./catalog/index.ts";
export { type Judged, judge, type Mean, meanOf, type Verdict } from "./claims.ts";
export { type ComparedRun, type Comparison, compareRuns, finalLoss } from "./compare.ts";
export { comparisonData, comparisonReport } from "./compare-report.ts";
export { type Inside, lookInside } from "./look-inside.ts";
export { type Manifest, readManifest } from "./manifest.ts";
export { type Match, matchFlops, matchParameters } from "./match.ts";
export { type CurvePoint, madeOf, type RunResult, readSeed, type SeedResult } from "./results.ts";
export { type RunStudyOptions, runStudy, type StudyEvent, type StudyOutcome } from "./run-study.ts";
export type {
	Claim,
	Measure,
	PublishedCurve,
	Reading,
	Rule,
	RunGroup,
	Study,
	StudyBudget,
	StudyBudgetName,
	StudyRun,
} from "./study.ts";
export { readFindings, type StudyFindings, studyReport } from "./study-report.ts";
