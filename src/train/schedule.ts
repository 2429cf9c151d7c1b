/**
 * The learning rate of each step, and the window where it is drawn anew each step. Everything follows from the configuration, the
 * step, and a small state that checkpoints keep. The schedules that follow the validation loss are the paper's (arXiv 2402.14746).
 */
import { RandomSequence } from "../base/random.ts";
import type { Config } from "./config.ts";

export type ScheduleSettings = Pick<
	Config["train"],
	"schedule" | "learningRate" | "minLearningRate" | "warmup" | "scheduleTarget"
>;

/** What a checkpoint keeps of a schedule. */
export interface ScheduleState {
	/** lr0: the highest rate, which the curriculum lowers as it goes. */
	readonly base: number;
	/** The rate that the last validation loss asks for; starts at `base`. */
	readonly rate: number;
}

export class Schedule {
	readonly #settings: ScheduleSettings;
	#state: ScheduleState;

	constructor(settings: ScheduleSettings, state?: ScheduleState) {
		this.#settings = settings;
		this.#state = state ?? { base: settings.learningRate, rate: settings.learningRate };
	}

	get state(): ScheduleState {
		return this.#state;
	}

	/**
	 * Learning rate of a step.
	 * @param step 1 for the first
	 * @param fraction share of the run done before this step, in [0, 1]; the cosine follows it
	 */
	rate(step: number, fraction: number): number {
		const { schedule, warmup, minLearningRate: low } = this.#settings;
		const { base, rate } = this.#state;
		const warm = warmup === 0 ? 1 : Math.min(1, step / warmup);
		if (schedule === "constant") return warm * base;
		if (schedule === "cosine") return warm * cosine(base, low, fraction);
		return warm * rate;
	}

	/**
	 * Take note of a validation loss (nats, finite).
	 * @param full whether it was measured at full length, where the recall schedule begins to follow it
	 */
	observe(loss: number, full = true): void {
		const { schedule, scheduleTarget, learningRate, minLearningRate } = this.#settings;
		const { base, rate } = this.#state;
		if (schedule === "loss") {
			this.#state = { base, rate: lossRate(loss, scheduleTarget ?? 0, minLearningRate, learningRate) };
		} else if (schedule === "recall" && full) {
			this.#state = { base, rate: Math.min(rate, Math.max(minLearningRate, recallRate(loss, base))) };
		}
	}

	/** The curriculum has grown to `noise` of `full` noise tokens: lr0 <- lr0 (1 - 0.5 noise / full), for the recall schedule. */
	grow(noise: number, full: number): void {
		if (this.#settings.schedule !== "recall") return;
		const base = this.#state.base * (1 - (0.5 * noise) / full);
		this.#state = { base, rate: base };
	}
}

/** Half a cosine from `high` at fraction 0 to `low` at 1. */
function cosine(high: number, low: number, fraction: number): number {
	const done = Math.min(1, Math.max(0, fraction));
	return low + (high - low) * 0.5 * (1 + Math.cos(Math.PI * done));
}

/** clip(high (1 - exp(target - loss)), low, high): the paper's recipe for large language models. */
export function lossRate(loss: number, target: number, low: number, high: number): number {
	return Math.min(high, Math.max(low, high * (1 - Math.exp(target - loss))));
}

/** base (1 - exp(-loss)): the paper's recipe for the memory tasks at full length. */
export function recallRate(loss: number, base: number): number {
	return base * (1 - Math.exp(-loss));
}

/** Keeps these draws apart from all others of the same seed (base/random.ts). */
const windowStream = 0x77696e64;

/** The window of a training step: uniform in from..to, a pure function of (seed, step). */
export function drawWindow(range: { readonly from: number; readonly to: number }, seed: number, step: number): number {
	if (range.from === range.to) return range.from;
	return range.from + new RandomSequence(seed, windowStream, step).below(range.to - range.from + 1);
}
