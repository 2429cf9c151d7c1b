/** The ladder of a sweep: which sizes, how much text, how many steps; rules only, nothing is run here. */
import { RivuletError } from "../../base/errors.ts";
import type { ConfigInput } from "../../train/config.ts";

export const architectures = ["recurrent", "transformer"] as const;
export type Architecture = (typeof architectures)[number];

/** Sequences of a step and tokens of a sequence, the same for all runs. */
export const batch = 16;
export const length = 128;
/** Tokens of the validation split that an evaluation reads: the first so many, the same for all runs. */
const evaluationTokens = 65_536;
/** Evaluations on the way; the best one counts. */
const evaluations = 16;
/** Columns of a head; widths are its multiples. */
export const headWidth = 16;
const leastWidth = 16;
const mostWidth = 96;
/** Most passes over a run's text: by then even the smallest model has its best loss behind it, or nearly. */
export const mostPasses = 100;
/** Between two neighbouring amounts of text. */
const mostRatio = 4;
const leastRatio = 1.5;
/** Tokens of the smallest amount of text, at least. */
const leastTokens = 4096;
/** Fewer steps teach nothing. */
const leastSteps = 100;
const mostSteps = 100_000;
/** Of learning rates that are tried, first in the middle. */
export const firstRates = [2e-3, 5e-3, 1.25e-2] as const;
export const rateFactor = 2.5;
/** Rates tried beyond the first three, where the best of them is the lowest or highest. */
export const moreRates = 2;

/** Widths from 16 to 96 at equal ratios, as multiples of 16; more than six go beyond 96. */
export function ladderWidths(sizes: number): number[] {
	const widths: number[] = [];
	for (let i = 0; i < sizes; i++) {
		const exact = leastWidth * (mostWidth / leastWidth) ** (i / Math.max(1, sizes - 1));
		const rounded = headWidth * Math.round(exact / headWidth);
		widths.push(Math.max(rounded, (widths.at(-1) ?? 0) + headWidth));
	}
	return widths;
}

/** The size of the run that is kept out of the fit: a third wider than the widest. */
export function heldBackWidth(widths: readonly number[]): number {
	return headWidth * Math.ceil((4 / 3) * (widths.at(-1)! / headWidth));
}

/**
 * Amounts of text, rising to `tokens` by equal factors of four, or less where the text is short.
 * @throws RivuletError sweep-text where that leaves no ladder
 */
export function ladderTokens(tokens: number, count: number): number[] {
	const ratio = Math.min(mostRatio, (tokens / leastTokens) ** (1 / Math.max(1, count - 1)));
	if (ratio < leastRatio) {
		const wanted = Math.ceil(leastTokens * leastRatio ** (count - 1));
		throw new RivuletError(
			"sweep-text",
			`expected a text of at least ${wanted} training tokens for ${count} amounts of text, found ${tokens}`,
			{ hint: "give more text, or fewer amounts of it: --data-sizes 2", exitStatus: 2 },
		);
	}
	return Array.from({ length: count }, (_, i) => Math.round(tokens / ratio ** (count - 1 - i)));
}

/** Steps of a run on `tokens` of text where the longest has `steps`. */
export function stepsFor(tokens: number, steps: number): number {
	const passes = Math.ceil((mostPasses * tokens) / (batch * length));
	return Math.max(1, Math.min(steps, passes));
}

/** The rate of a width, from the one found best for the smallest: it falls with the root of the width. */
export function rateFor(width: number, rate: number, smallest: number): number {
	return Number((rate * Math.sqrt(smallest / width)).toPrecision(4));
}

/** The rate to try after these, or null where the search is done: the best one has a neighbour on either side. */
export function nextRate(tried: ReadonlyMap<number, number>): number | null {
	for (const rate of firstRates) if (!tried.has(rate)) return rate;
	if (tried.size >= firstRates.length + moreRates) return null;
	const rates = [...tried.keys()].sort((a, b) => a - b);
	const best = bestRate(tried);
	const round = (rate: number) => Number(rate.toPrecision(4));
	if (best === rates[0]) return round(best / rateFactor);
	return best === rates.at(-1) ? round(best * rateFactor) : null;
}

/** The rate of the lowest loss. */
export function bestRate(tried: ReadonlyMap<number, number>): number {
	return [...tried].reduce((best, next) => (next[1] < best[1] ? next : best))[0];
}

/** Seconds of one step, by architecture and width. */
export type Speeds = Readonly<Record<Architecture, Readonly<Record<number, number>>>>;

/** What a ladder is made of. */
export interface Ladder {
	readonly architectures: readonly Architecture[];
	/** Rising; the last is the held-back one. */
	readonly widths: readonly number[];
	readonly heldBack: number;
	/** Amounts of text, rising. */
	readonly tokens: readonly number[];
	/** Of the longest run. */
	readonly steps: number;
}

export interface LadderRequest {
	readonly architectures: readonly Architecture[];
	readonly sizes: number;
	readonly dataSizes: number;
	readonly seeds: number;
	/** Tokens of the training part. */
	readonly tokens: number;
	/** Seconds that all runs together may take. */
	readonly seconds: number;
	/** Of the longest run; as many as the budget pays where it is not given. */
	readonly steps?: number;
}

/**
 * The ladder that a budget pays: the most steps that keep all runs, by measured speeds, within it. Text that no run would come to see
 * is left out: the largest amount is at most what the longest run reads.
 * @throws RivuletError sweep-text, sweep-budget
 */
export function makeLadder(request: LadderRequest, speeds: Speeds): Ladder {
	const widths = ladderWidths(request.sizes);
	const at = (steps: number): Ladder => ({
		architectures: request.architectures,
		widths,
		heldBack: heldBackWidth(widths),
		tokens: ladderTokens(Math.min(request.tokens, steps * batch * length), request.dataSizes),
		steps,
	});
	if (request.steps !== undefined) return at(request.steps);
	const cost = (steps: number) => ladderSeconds(at(steps), request.seeds, speeds);
	// Fewer steps could not read the text that the smallest ladder needs.
	const fewest = Math.max(
		leastSteps,
		Math.ceil((leastTokens * leastRatio ** (request.dataSizes - 1)) / (batch * length)),
	);
	const least = cost(fewest);
	if (least > request.seconds) {
		throw new RivuletError(
			"sweep-budget",
			`expected a budget of at least ${Math.ceil(least / 60)} minutes for this ladder on this machine, found ${(request.seconds / 60).toFixed(1)}`,
			{ hint: "raise --budget-minutes, or take fewer --sizes, --data-sizes or --architectures", exitStatus: 2 },
		);
	}
	let [low, high] = [fewest, mostSteps];
	while (high - low > 1) {
		const middle = Math.floor((low + high) / 2);
		if (cost(middle) <= request.seconds) low = middle;
		else high = middle;
	}
	return at(low);
}

/** Opening the text, building programs, saving. */
const secondsPerRun = 1;

/** Seconds of all runs: the search for learning rates, the ladder, the held-back runs. */
export function ladderSeconds(
	{ architectures: kinds, widths, heldBack, tokens, steps }: Ladder,
	seeds: number,
	speeds: Speeds,
): number {
	// An evaluation goes forward only: a third of a step's work for each token.
	const evaluating = (evaluations * evaluationTokens) / (3 * batch * length);
	const run = (kind: Architecture, width: number, amount: number) =>
		secondsPerRun + (stepsFor(amount, steps) + evaluating) * speeds[kind][width];
	let seconds = 0;
	for (const kind of kinds) {
		seconds += (firstRates.length + 1) * run(kind, widths[0], middleOf(tokens));
		for (const width of widths) for (const amount of tokens) seconds += seeds * run(kind, width, amount);
		seconds += run(kind, heldBack, tokens.at(-1)!);
	}
	return seconds;
}

/** The amount of text that learning rates are tried on. */
export function middleOf(tokens: readonly number[]): number {
	return tokens[Math.floor(tokens.length / 2)];
}

/** What a run of a sweep is for. */
export type SweepPart = "search" | "ladder" | "held back";

/** One run of a sweep. */
export interface SweepRun {
	readonly part: SweepPart;
	readonly kind: Architecture;
	readonly width: number;
	/** Training tokens it may see: D. */
	readonly tokens: number;
	readonly seed: number;
	readonly rate: number;
}

/** The name of a run's folder. */
export function runName({ part, kind, width, tokens, seed, rate }: SweepRun): string {
	const shape = `${kind}-w${width}-d${tokens}`;
	if (part === "search") return `rate-${kind}-${rate}`;
	return part === "ladder" ? `${shape}-seed${seed}` : `held-back-${shape}`;
}

/** The ladder's runs of an architecture, small ones first, then the one kept out of the fit. */
export function ladderRuns(kind: Architecture, ladder: Ladder, seeds: number, rate: number): SweepRun[] {
	const { widths, heldBack, tokens } = ladder;
	const runs: SweepRun[] = [];
	for (let seed = 1; seed <= seeds; seed++) {
		for (const width of widths) {
			for (const amount of tokens) {
				runs.push({ part: "ladder", kind, width, tokens: amount, seed, rate: rateFor(width, rate, widths[0]) });
			}
		}
	}
	const held = { kind, width: heldBack, tokens: tokens.at(-1)!, seed: 1, rate: rateFor(heldBack, rate, widths[0]) };
	return [...runs, { part: "held back", ...held }];
}

/** What `rivulet train` would be given for a run: the paper's shapes, one layer, a window of 16. */
export function configFor(run: SweepRun, steps: number, path: string): ConfigInput {
	const taken = stepsFor(run.tokens, steps);
	const every = Math.max(1, Math.ceil(taken / evaluations));
	return {
		run: path,
		resume: "auto",
		seed: run.seed,
		data: { length, limit: run.tokens },
		model: {
			kind: run.kind,
			variant: "forget",
			width: run.width,
			heads: run.width / headWidth,
			layers: 1,
			window: 16,
		},
		train: {
			batch,
			steps: taken,
			learningRate: run.rate,
			schedule: "cosine",
			minLearningRate: run.rate / 100,
			warmup: Math.min(50, Math.ceil(taken / 10)),
			evaluateEvery: every,
			evaluateBatches: Math.ceil(evaluationTokens / (batch * length)),
			keep: 1,
		},
	};
}
