/**
 * What model to train within a budget: sizes by a borrowed law, speed and losses by short runs on this machine and this corpus.
 * Borrowed laws give no absolute losses for small models of other texts, so the expected loss is carried on from the short runs.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RivuletError } from "../base/errors.ts";
import { openSources, readLines } from "../data/index.ts";
import type { ModelConfig } from "../models/index.ts";
import { createModel } from "../models/index.ts";
import { parameterCount } from "../nn/parameters.ts";
import { type ConfigInput, defineConfig, modelConfig, openSubject, train } from "../train/index.ts";
import { trainingFlopsPerToken } from "../train/inspect.ts";
import { additiveLoss } from "./additive.ts";
import { type CorpusStatistics, corpusStatistics } from "./corpus/index.ts";
import { flopsPerParameterToken } from "./law.ts";
import { type MeasuredChoice, type MeasuredLaw, measuredSize } from "./measured-law.ts";
import { muennighoff } from "./muennighoff.ts";

export type PlannedKind = "recurrent" | "transformer";

export interface PlanRequest {
	/** Corpus, tokenizer, length; the rest is planned. */
	readonly base: ConfigInput;
	/** What limits the run: one of these. */
	readonly flops?: number;
	readonly seconds?: number;
	readonly targetLoss?: number;
	readonly maxParameters?: number;
	/** Laws that a sweep measured on this text; without one, sizes are borrowed from C4. */
	readonly measured?: Readonly<Partial<Record<PlannedKind, MeasuredLaw>>>;
	/** Seconds that the short runs of one architecture take, about. */
	readonly calibrate: number;
	readonly signal?: AbortSignal;
	readonly onProgress?: (text: string) => void;
}

/** A short run: what it cost and where it ended. */
export interface Calibration {
	readonly steps: number;
	readonly seconds: number;
	/** Validation loss, nats per token. */
	readonly loss: number;
}

export interface Expectation {
	readonly low: number;
	readonly middle: number;
	readonly high: number;
}

/** Losses of a law against sizes, at one compute. A borrowed law's are of its own corpus: only where they are lowest carries over. */
export interface SizeCurve {
	readonly flops: number;
	readonly parameters: readonly number[];
	readonly loss: readonly number[];
}

export interface Recommendation {
	readonly kind: PlannedKind;
	/** A file for `rivulet train --config`. */
	readonly config: ConfigInput;
	readonly parameters: number;
	readonly steps: number;
	readonly tokens: number;
	readonly epochs: number;
	readonly flops: number;
	readonly seconds: number;
	readonly loss: Expectation;
	readonly calibration: readonly Calibration[];
	/** What the law of the size says of other sizes at the same compute. */
	readonly sizes: SizeCurve;
	/** Where the law of the size comes from. */
	readonly sizeBy: "measured here" | "borrowed from C4";
	readonly reasons: readonly string[];
}

export interface Plan {
	readonly uniqueTokens: number;
	readonly vocabulary: number;
	/** Of the text to learn from. */
	readonly statistics: CorpusStatistics;
	readonly recommendations: readonly Recommendation[];
}

/** Widths tried, with heads of 32. */
const widths = [32, 64, 96, 128, 160, 192, 256, 320, 384, 512, 640, 768];
const batch = 32;
/** Fewest steps that a plan may have: fewer teach nothing. */
const leastSteps = 50;
/** Longest run that a target loss may ask for. */
const mostDoublings = 16;

export async function makePlan(request: PlanRequest): Promise<Plan> {
	const subject = await openSubject(defineConfig(request.base));
	if (subject.text === null) {
		throw new RivuletError("plan-no-text", "expected a text to plan for, found a memory task", {
			exitStatus: 2,
			hint: "name it: --data.path notes.txt",
		});
	}
	const uniqueTokens = subject.text.train.length;
	request.onProgress?.("statistics of the corpus");
	const path = request.base.data?.path;
	const lines = path ? readLines(openSources([path].flat())) : [];
	const statistics = await corpusStatistics(subject.text.train, lines);
	const folder = mkdtempSync(join(tmpdir(), "rivulet-plan-"));
	try {
		const recommendations: Recommendation[] = [];
		for (const kind of ["recurrent", "transformer"] as const) {
			recommendations.push(
				await new Planner(kind, request, subject, uniqueTokens, countingLoss(statistics), folder).recommend(),
			);
		}
		return { uniqueTokens, vocabulary: subject.vocabulary, statistics, recommendations };
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

interface Candidate {
	readonly width: number;
	readonly parameters: number;
	readonly flopsPerToken: number;
}

class Planner {
	readonly #kind: PlannedKind;
	readonly #request: PlanRequest;
	readonly #candidates: readonly Candidate[];
	readonly #uniqueTokens: number;
	readonly #counting: number | null;
	readonly #folder: string;
	readonly #length: number;
	#runs = 0;

	constructor(
		kind: PlannedKind,
		request: PlanRequest,
		subject: Parameters<typeof modelConfig>[1],
		uniqueTokens: number,
		counting: number | null,
		folder: string,
	) {
		this.#kind = kind;
		this.#request = request;
		this.#uniqueTokens = uniqueTokens;
		this.#counting = counting;
		this.#folder = folder;
		this.#length = defineConfig(request.base).data.length;
		const most = request.maxParameters ?? Number.POSITIVE_INFINITY;
		this.#candidates = widths.flatMap((width) => {
			const config: ModelConfig = modelConfig(defineConfig(this.#config(width, 1)), subject);
			const parameters = parameterCount(createModel(config).parameters);
			return parameters > most
				? []
				: [{ width, parameters, flopsPerToken: trainingFlopsPerToken(config, this.#length) }];
		});
		if (this.#candidates.length === 0) {
			throw new RivuletError("plan-too-small", `no ${kind} model of this vocabulary has ${most} parameters or fewer`, {
				exitStatus: 2,
				hint: "Raise --max-parameters, or use a smaller vocabulary: --data.tokenizer char.",
			});
		}
	}

	async recommend(): Promise<Recommendation> {
		const { calibrate, seconds, flops: allowed, targetLoss } = this.#request;
		// The speed of a middling size tells which sizes the budget can pay for; the chosen size is then measured itself.
		const first = this.#candidates[Math.min(1, this.#candidates.length - 1)];
		const probe = await this.#measure(first, 10);
		const stepTokens = batch * this.#length;
		const rate = (first.flopsPerToken * stepTokens * probe.steps) / probe.seconds;
		const flops = allowed ?? rate * (seconds ?? 3600);
		const { chosen, why } = this.#choose(flops);
		const trial = await this.#measure(chosen, 10);
		const short = Math.max(leastSteps / 2, Math.round((calibrate / 3) * (trial.steps / trial.seconds)));
		const calibration = [await this.#measure(chosen, short), await this.#measure(chosen, 2 * short)];
		const stepSeconds = calibration[1].seconds / calibration[1].steps;
		const stepFlops = chosen.flopsPerToken * stepTokens;
		const limits = [seconds && seconds / stepSeconds, allowed && allowed / stepFlops].filter(
			(limit) => limit !== undefined,
		);
		let steps = Math.floor(limits.length > 0 ? Math.min(...limits) : flops / stepFlops);
		if (targetLoss !== undefined) steps = this.#stepsTo(targetLoss, calibration);
		if (!(steps >= leastSteps)) throw this.#tooSmall(steps, stepSeconds, stepFlops);
		const tokens = steps * stepTokens;
		return {
			kind: this.#kind,
			config: this.#config(chosen.width, steps),
			parameters: chosen.parameters,
			...{ steps, tokens, epochs: tokens / this.#uniqueTokens, flops: steps * stepFlops, seconds: steps * stepSeconds },
			loss: expectLoss(calibration, steps, this.#counting),
			calibration,
			sizes: this.#sizes(flops),
			sizeBy: this.#request.measured?.[this.#kind] ? "measured here" : "borrowed from C4",
			reasons: reasons(this.#kind, why, tokens / this.#uniqueTokens),
		};
	}

	/** The size nearest to what a law gives for this compute and corpus: the one measured here, or else the data-constrained one of C4. */
	#choose(flops: number): { chosen: Candidate; why: string } {
		const law = this.#request.measured?.[this.#kind];
		const { parameters: wanted, reason } = law
			? measuredSize(law, this.#uniqueTokens, flops)
			: borrowedSize(this.#uniqueTokens, flops);
		const away = ({ parameters }: Candidate) => Math.abs(Math.log(parameters / wanted));
		const chosen = this.#candidates.reduce((best, next) => (away(next) < away(best) ? next : best));
		return { chosen, why: `width ${chosen.width} (${chosen.parameters} parameters) is the nearest size: ${reason}` };
	}

	/** The law's loss of sizes from the smallest candidate to the largest. */
	#sizes(flops: number): SizeCurve {
		const uniqueTokens = this.#uniqueTokens;
		const law = this.#request.measured?.[this.#kind];
		const [least, most] = [this.#candidates[0], this.#candidates[this.#candidates.length - 1]];
		const parameters = Array.from(
			{ length: 33 },
			(_, i) => least.parameters * (most.parameters / least.parameters) ** (i / 32),
		);
		const loss = parameters.map((count) => {
			if (law) return additiveLoss(law.constants, count, uniqueTokens);
			return muennighoff.loss({ parameters: count, tokens: flops / (flopsPerParameterToken * count), uniqueTokens });
		});
		return { flops, parameters, loss };
	}

	#stepsTo(target: number, calibration: readonly Calibration[]): number {
		const { steps } = calibration[1];
		for (let doublings = 0; doublings <= mostDoublings; doublings += 0.25) {
			const at = Math.ceil(steps * 2 ** doublings);
			if (expectLoss(calibration, at, this.#counting).middle <= target) return at;
		}
		throw new RivuletError(
			"plan-target",
			`a validation loss of ${target} is not to be expected of this ${this.#kind}, however long it trains`,
			{
				hint: `Its short runs ended at ${calibration.map(({ loss }) => loss.toFixed(3)).join(" and ")}: ask for a higher loss, or give more text.`,
			},
		);
	}

	#tooSmall(steps: number, stepSeconds: number, stepFlops: number): RivuletError {
		return new RivuletError(
			"plan-budget",
			`expected a budget for at least ${leastSteps} steps of the smallest sensible ${this.#kind}, found one for ${Math.max(0, steps)}`,
			{
				exitStatus: 2,
				hint: `A step takes about ${stepSeconds.toFixed(2)} s and ${stepFlops.toExponential(1)} FLOPs here.`,
			},
		);
	}

	#config(width: number, steps: number): ConfigInput {
		const { base } = this.#request;
		const heads = Math.max(1, width / 32);
		return {
			...base,
			model: { kind: this.#kind, variant: "forget", width, heads, layers: 1, ...base.model },
			train: {
				batch,
				steps,
				learningRate: width <= 128 ? 2e-3 : 1e-3,
				schedule: "cosine",
				warmup: Math.min(100, Math.ceil(steps / 10)),
				...base.train,
			},
		};
	}

	async #measure({ width }: Candidate, steps: number): Promise<Calibration> {
		this.#request.onProgress?.(`${this.#kind}, width ${width}, ${steps} steps`);
		const config = this.#config(width, steps);
		const run = join(this.#folder, `${this.#kind}-${this.#runs++}`);
		const summary = await train(
			defineConfig({ ...config, run, train: { ...config.train, evaluateEvery: 1e9, saveEvery: 1e9 } }),
			{ signal: this.#request.signal },
		);
		if (summary.ended === "interrupted" || summary.validationLoss === null) {
			throw new RivuletError("interrupted", "the plan was stopped before it was made", {
				hint: "Nothing is left behind.",
			});
		}
		return { steps, seconds: summary.seconds, loss: summary.validationLoss };
	}
}

/** What the best n-gram model of a text needs is between these shares of what a run comes to, if it is long enough to learn at all. */
const atLeastOfCounting = 0.5;
const atMostOfCounting = 0.65;
/** Doublings beyond the short runs from which a run may have learned what they do not show yet. */
const farDoublings = 2;

/**
 * The loss after so many steps, from runs of s and 2s steps that each ran their schedule to its end. What one doubling won, d, is won
 * again by each further doubling at most (low), or shrinks to half each time (high); the middle shrinks by a quarter. 0.02 nats to
 * either side are for the seed.
 *
 * Short runs may end before a model begins to use its context, and then win little where longer ones win much. What there is to win is
 * known from counting: far beyond the short runs the interval reaches to 0.65 of what the best n-gram model of the same text needs, and
 * the middle goes half the way to that model; to less than half of it the interval never goes.
 * @param counting nats per token of the best n-gram model of the text, held out; null where none is known
 */
export function expectLoss(
	[short, long]: readonly Calibration[],
	steps: number,
	counting: number | null = null,
): Expectation {
	const gain = Math.max(0, short.loss - long.loss);
	const doublings = Math.log2(steps / long.steps);
	const won = (keeps: number) =>
		keeps === 1 ? gain * doublings : (gain * keeps * (1 - keeps ** doublings)) / (1 - keeps);
	const seed = 0.02;
	const [most, least] = doublings >= 0 ? [won(1), won(0.5)] : [won(0.5), won(1)];
	const carried = { low: long.loss - most - seed, middle: long.loss - won(0.75), high: long.loss - least + seed };
	if (counting === null) {
		return { low: Math.max(0, carried.low), middle: Math.max(0, carried.middle), high: carried.high };
	}
	const floor = atLeastOfCounting * counting;
	const far = doublings >= farDoublings;
	const low = Math.max(floor, far ? Math.min(carried.low, atMostOfCounting * counting) : carried.low);
	const middle = far && carried.middle > counting ? (carried.middle + counting) / 2 : Math.max(low, carried.middle);
	return { low, middle, high: Math.max(low, carried.high) };
}

/** Nats per token of the best n-gram model, on text that it has not seen; null where the text is too short to say. */
export function countingLoss({ entropies }: CorpusStatistics): number | null {
	const known = entropies.flatMap(({ heldOut }) => (heldOut === null ? [] : [heldOut]));
	return known.length === 0 ? null : Math.min(...known);
}

function borrowedSize(uniqueTokens: number, flops: number): MeasuredChoice {
	const { parameters } = muennighoff.allocate(flops, { uniqueTokens });
	const reason = `Muennighoff's law, borrowed from C4, gives ${Math.round(parameters)} for this compute and this many different tokens`;
	return { parameters, reason };
}

function reasons(kind: PlannedKind, size: string, epochs: number): string[] {
	const list = [
		size,
		kind === "recurrent"
			? "forget with a window of 16: the paper's setting for language; its time is linear in the length"
			: "the same shape as the recurrent transformer, for comparison; its time grows with the square of the length",
		"learning rate by width, cosine to a tenth: Rivulet's own rule of thumb, not tuned for this corpus",
	];
	if (epochs > 4)
		list.push(
			`${epochs.toFixed(1)} passes over the text: repeated tokens are worth less from about the fourth, and the model may begin to memorise`,
		);
	return list;
}
