/** What a sweep's runs say: the law of each architecture, how its smallest good model grows, what it predicts, who needs fewer parameters. */
import { RandomSequence } from "../../base/random.ts";
import { type AdditiveConstants, additiveLoss } from "../../laws/additive.ts";
import { bootstrap, type Interval } from "../../laws/fit/bootstrap.ts";
import { type Fit, fitRuns } from "../../laws/fit/fit.ts";
import { distinct, type Runs } from "../../laws/fit/runs.ts";
import { fitProjection } from "../../laws/fit/variable-projection.ts";
import {
	amountsOf,
	type Efficient,
	efficientFromRuns,
	efficientOnSurface,
	growthExponent,
	lossBySize,
	median,
	quantile,
	ratioOnSurfaces,
	ratiosFromRuns,
} from "./efficient.ts";
import { type Architecture, bestRate } from "./ladder.ts";
import type { SweepRunOutcome } from "./run-sweep.ts";

/** A value and the middle 95 % of its bootstraps; null where there were none. */
export interface Measured {
	readonly value: number;
	readonly interval: Interval | null;
}

/** The law of one architecture. */
export interface ArchitectureFit {
	readonly kind: Architecture;
	readonly runs: Runs;
	readonly fit: Fit;
	/** Root mean square of the runs' distance from the law, in nats. */
	readonly spread: number;
	readonly surface: readonly Efficient[];
	readonly direct: readonly Efficient[];
	/** Exponent of the smallest good model in the text, from the surface and from the runs alone. */
	readonly gamma: Measured;
	readonly directGamma: Measured;
	/** beta / alpha: the exponent at which both terms of the law shrink alike. */
	readonly balance: Measured;
	readonly heldBack: Prediction | null;
	readonly warnings: readonly string[];
}

/** A run that was kept out of the fit, against what the fit says of it. */
export interface Prediction {
	readonly parameters: number;
	readonly tokens: number;
	readonly predicted: number;
	readonly interval: Interval | null;
	readonly measured: number;
	readonly inside: boolean | null;
}

/** The recurrent transformer beside the transformer. */
export interface Comparison {
	/** Parameters of the one over those of the other, for the same loss on the same text. */
	readonly ratio: Measured;
	/** Median of the runs alone; those whose loss the other's runs do not span are left out. */
	readonly direct: { readonly ratio: number; readonly runs: number; readonly outside: number };
	/** Pairs of size and text in which the recurrent transformer's loss is lower. */
	readonly lower: number;
	readonly pairs: number;
	readonly verdict: "fewer" | "more" | "undecided";
}

export interface SweepFindings {
	readonly within: number;
	readonly samples: number;
	readonly fits: readonly ArchitectureFit[];
	readonly comparison: Comparison | null;
}

export interface FitSweepOptions {
	/** Distance from the best loss as a share of it; default 0.02. */
	readonly within?: number;
	/** Samples of the bootstrap; default 400. */
	readonly bootstrap?: number;
	readonly onProgress?: (stage: string, done: number, total: number) => void;
}

/** Fit the law to each architecture that has runs of two sizes and two amounts of text at least. */
export function fitSweep(outcomes: readonly SweepRunOutcome[], options: FitSweepOptions = {}): SweepFindings {
	const { within = 0.02, bootstrap: count = 400 } = options;
	const kinds = [...new Set(outcomes.map(({ run }) => run.kind))];
	const fits = kinds.flatMap((kind) => {
		const own = outcomes.filter(({ run }) => run.kind === kind);
		return fitArchitecture(kind, own, within, count, options) ?? [];
	});
	const find = (kind: Architecture) => fits.find((fit) => fit.kind === kind);
	const [recurrent, transformer] = [find("recurrent"), find("transformer")];
	const comparison = recurrent && transformer ? compareFits(recurrent, transformer) : null;
	return { within, samples: count, fits, comparison };
}

/** The ladder's runs as columns; D is the text a run may see, not how often it reads it. */
export function runsOf(outcomes: readonly SweepRunOutcome[]): Runs {
	const done = outcomes.flatMap(({ run, summary }) =>
		run.part === "ladder" && summary?.best ? [{ run, summary, loss: summary.best.loss }] : [],
	);
	return {
		parameters: Float64Array.from(done, ({ summary }) => summary.parameters),
		tokens: Float64Array.from(done, ({ run }) => run.tokens),
		losses: Float64Array.from(done, ({ loss }) => loss),
		flops: Float64Array.from(done, ({ summary }) => summary.flops),
	};
}

function fitArchitecture(
	kind: Architecture,
	outcomes: readonly SweepRunOutcome[],
	within: number,
	count: number,
	{ onProgress }: FitSweepOptions,
): ArchitectureFit | null {
	const runs = runsOf(outcomes);
	if (distinct(runs.parameters) < 2 || distinct(runs.tokens) < 2) return null;
	const alone = fitRuns(runs);
	const amounts = amountsOf(runs);
	// The same samples of runs give the law and what the runs say without it.
	const directGammas: number[] = [];
	const samples = bootstrap(
		runs,
		count,
		(sample) => {
			directGammas.push(growthExponent(efficientFromRuns(sample, within)));
			return fitProjection(sample, { near: alone.constants }).constants;
		},
		{ onSample: (done) => onProgress?.(kind, done, count) },
	);
	const fit: Fit = { ...alone, samples };
	const surface = efficientOnSurface(fit.constants, amounts, within);
	const direct = efficientFromRuns(runs, within);
	const gammaOf = (constants: AdditiveConstants) => growthExponent(efficientOnSurface(constants, amounts, within));
	const balanceOf = ({ alpha, beta }: AdditiveConstants) => beta / alpha;
	return {
		...{ kind, runs, fit, surface, direct },
		spread: Math.sqrt(fit.objective / runs.losses.length),
		gamma: measured(gammaOf(fit.constants), samples.map(gammaOf)),
		directGamma: measured(growthExponent(direct), directGammas),
		balance: measured(balanceOf(fit.constants), samples.map(balanceOf)),
		heldBack: predict(outcomes, fit),
		warnings: [...fit.warnings, ...misfit(fit), ...edges(direct), ...stillFalling(outcomes), ...searchEnds(outcomes)],
	};
}

export function measured(value: number, samples: readonly number[]): Measured {
	if (samples.length < 2) return { value, interval: null };
	return { value, interval: { low: quantile(samples, 0.025), high: quantile(samples, 0.975) } };
}

/** Numbers of runs in a law of this form: E, A, B, alpha, beta. */
const constantsFitted = 5;
const noiseStream = 0x5ee90001;

/**
 * The held-back run against the law. The interval is that of a new run, not of the law: each bootstrap's prediction plus a residual
 * of the fit drawn at random, widened for the constants fitted.
 */
function predict(outcomes: readonly SweepRunOutcome[], { constants, samples, runs }: Fit): Prediction | null {
	const held = outcomes.find(({ run }) => run.part === "held back");
	if (!held?.summary?.best) return null;
	const { parameters, best } = held.summary;
	const { tokens } = held.run;
	const count = runs.losses.length;
	const widened = Math.sqrt(count / Math.max(1, count - constantsFitted));
	const residuals = runs.losses.map((loss, i) => loss - additiveLoss(constants, runs.parameters[i], runs.tokens[i]));
	const draws = samples.map((sample, i) => {
		const residual = residuals[new RandomSequence(1, noiseStream, i).below(count)];
		return Math.max(0, additiveLoss(sample, parameters, tokens) + widened * residual);
	});
	const { value: predicted, interval } = measured(additiveLoss(constants, parameters, tokens), draws);
	const inside = interval && best.loss >= interval.low && best.loss <= interval.high;
	return { parameters, tokens, predicted, interval, measured: best.loss, inside };
}

function compareFits(one: ArchitectureFit, other: ArchitectureFit): Comparison {
	const sizes = [...new Set(other.runs.parameters)];
	const amounts = amountsOf(other.runs);
	const ratioOf = (a: AdditiveConstants, b: AdditiveConstants) => ratioOnSurfaces(a, b, sizes, amounts);
	const samples = one.fit.samples.map((sample, i) => ratioOf(sample, other.fit.samples[i]));
	const ratio = measured(ratioOf(one.fit.constants, other.fit.constants), samples);
	const { ratios, outside } = ratiosFromRuns(one.runs, other.runs);
	let [lower, pairs] = [0, 0];
	for (const tokens of amounts) {
		const theirs = lossBySize(other.runs, tokens);
		// The same width is the same place of the curve, whatever its parameters.
		lossBySize(one.runs, tokens).forEach(({ loss }, i) => {
			if (i >= theirs.length) return;
			pairs++;
			if (loss < theirs[i].loss) lower++;
		});
	}
	const { low, high } = ratio.interval ?? { low: Number.NaN, high: Number.NaN };
	const direct = { ratio: median(ratios), runs: ratios.length, outside };
	const finite = Number.isFinite(ratio.value);
	// The laws decide where the runs themselves do not contradict them.
	const verdict =
		high < 1 && !(direct.ratio >= 1) ? "fewer" : low > 1 && finite && !(direct.ratio <= 1) ? "more" : "undecided";
	return { ratio, direct, lower, pairs, verdict };
}

/** Where the sizes tried do not enclose the smallest good one. */
function edges(direct: readonly Efficient[]): string[] {
	const at = (edge: Efficient["edge"]) => direct.filter((model) => model.edge === edge).length;
	const warnings: string[] = [];
	if (at("smallest") > 0)
		warnings.push(
			`with ${at("smallest")} of ${direct.length} amounts of text the smallest size is good enough already: the exponent read from the runs is too low or too high by what lies below it; add smaller sizes`,
		);
	if (at("largest") > 0)
		warnings.push(
			`with ${at("largest")} of ${direct.length} amounts of text the largest size is the best: "best" is the best of those tried, and larger ones may be better; the surface's exponent does not depend on that`,
		);
	return warnings;
}

/** Correlation of the residuals with ln N x ln D above which the form is called wrong. */
const telling = 0.5;

/** Whether size and text help each other (or hinder), where the law has them apart. */
function misfit({ runs, residuals }: Fit): string[] {
	const [size, text] = [runs.parameters, runs.tokens].map((values) => centred(values.map(Math.log)));
	const product = centred(size.map((value, i) => value * text[i]));
	const left = centred(residuals);
	const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, i) => sum + value * b[i], 0);
	const correlation = dot(product, left) / Math.sqrt(dot(product, product) * dot(left, left) || 1);
	if (Math.abs(correlation) < telling || Math.sqrt(dot(left, left) / left.length) < 0.01) return [];
	const says =
		correlation > 0
			? "larger models gain more from more text than the law's separate terms allow"
			: "larger models gain less from more text than the law's separate terms say";
	return [
		`the law's form does not hold: ${says} (its error and ln N ln D correlate by ${correlation.toFixed(2)}); trust its predictions within their intervals, its exponents less, and look at the runs themselves`,
	];
}

function centred(values: Float64Array): Float64Array {
	const mean = values.reduce((a, b) => a + b, 0) / values.length;
	return values.map((value) => value - mean);
}

/** A search for the rate that ended at an end of what was tried. */
function searchEnds(outcomes: readonly SweepRunOutcome[]): string[] {
	const tried = new Map<number, number>();
	for (const { run, summary } of outcomes) {
		if (run.part === "search") tried.set(run.rate, summary?.best?.loss ?? Number.POSITIVE_INFINITY);
	}
	if (tried.size === 0) return [];
	const best = bestRate(tried);
	if (best !== Math.min(...tried.keys()) && best !== Math.max(...tried.keys())) return [];
	return [`the best learning rate, ${best}, lies at an end of those tried: a better one may lie beyond`];
}

function stillFalling(outcomes: readonly SweepRunOutcome[]): string[] {
	const runs = outcomes.filter(({ run, summary }) => run.part === "ladder" && summary?.best);
	const last = runs.filter(({ summary }) => summary!.best!.step === summary!.steps).length;
	if (last === 0) return [];
	return [
		`${last} of ${runs.length} runs have their best loss at their last step: more steps might have lowered it; the law holds for training of this length`,
	];
}
