/**
 * The training loop: batches to steps, evaluations, checkpoints, the end. What is learned is prepare.ts's subject, what a step is
 * learner.ts's, where things are kept run.ts's.
 */
import { made } from "../base/made.ts";
import { createRuntime } from "../engine/backends/index.ts";
import { createModel, describeModel } from "../models/index.ts";
import { parameterCount } from "../nn/parameters.ts";
import { Account } from "./account.ts";
import { fractionDone, type Spent, secondsLeft, spentBudget } from "./budget.ts";
import type { Checkpoint, TrainState } from "./checkpoint.ts";
import type { Config } from "./config.ts";
import { Curriculum } from "./curriculum.ts";
import { allFinite, diagnose, hasDiverged, unsoundWeight } from "./diagnosis.ts";
import { type Evaluation, evaluate } from "./evaluate.ts";
import type { TrainEvent, TrainSummary } from "./events.ts";
import { type Batch, Learner, type StepResult } from "./learner.ts";
import { learnerOptions, modelConfig, openSubject, runtimeOptions, type Subject } from "./prepare.ts";
import { startRun } from "./resume.ts";
import type { RunFolder } from "./run.ts";
import { drawWindow, Schedule } from "./schedule.ts";
import { restoreWeights, savedWeights } from "./weights.ts";

/** Whom to tell, and when to stop. */
export interface TrainOptions {
	/** Abort to stop after the step under way, saving first. */
	readonly signal?: AbortSignal;
	readonly onEvent?: (event: TrainEvent) => void;
	/** Some text of the model as it is, for samples.txt; tasks that are no text have none. */
	readonly sample?: (learner: Learner, subject: Subject) => Promise<string>;
}

type End = TrainSummary["ended"];

/** A step that has been begun. */
interface Begun {
	readonly step: number;
	readonly batch: Batch;
	readonly learningRate: number;
	readonly window: number;
	readonly flops: number;
	readonly started: number;
	readonly result: Promise<StepResult>;
}

/** Steps that may be under way at once where the runtime can run ahead: it need not wait for what this thread does between them. */
const mostUnderWay = 2;

/** Steps whose figures make one record of metrics. */
const recordEvery = 10;

/** Train as configured, from the start or from where a run stopped. */
export async function train(config: Config, options: TrainOptions = {}): Promise<TrainSummary> {
	const emit = options.onEvent ?? (() => {});
	const subject = await openSubject(config);
	// The runtime first: where it cannot be had no run is begun.
	const runtime = await createRuntime(config.backend, runtimeOptions(config));
	const learner = new Learner(createModel(modelConfig(config, subject)), runtime, learnerOptions(config));
	try {
		const { run, checkpoint, skipped } = await startRun(config);
		try {
			for (const text of skipped) emit({ kind: "note", text: `passed over a damaged checkpoint: ${text}` });
			subject.saveTokenizer(run.tokenizerPath);
			const trainer = new Trainer(config, subject, run, learner, options);
			await trainer.restore(checkpoint);
			return await trainer.run();
		} finally {
			run.close();
		}
	} finally {
		await learner.session.close();
	}
}

class Trainer {
	readonly #config: Config;
	readonly #subject: Subject;
	readonly #run: RunFolder;
	readonly #learner: Learner;
	readonly #options: TrainOptions;
	readonly #emit: (event: TrainEvent) => void;
	#schedule: Schedule;
	#curriculum: Curriculum;
	/** By the steps that have ended, and by those under way as well (their seconds not counted). */
	#spent: Spent = { steps: 0, tokens: 0, flops: 0, seconds: 0 };
	#begun: Spent = this.#spent;
	readonly #underWay: Begun[] = [];
	#lastEnd = 0;
	#best: TrainState["best"] = null;
	/** Of exactly the present weights, at the present noise. */
	#evaluation: Evaluation | null = null;
	#lastEvaluation: Evaluation | null = null;
	/** What the newest checkpoint holds: its step, and the loss measured there. */
	#saved: Pick<TrainState, "step" | "validationLoss"> = { step: -1, validationLoss: null };
	/** An evaluation of the present weights was to be made and was cut short: what follows from it is still to come. */
	#evaluationDue = false;
	/** Has this been told: something left the range of numbers? */
	#toldOfRange = false;
	#lastSample: string | undefined;
	#ahead: { step: number; noise: number; batch: Batch } | null = null;
	/** Of the steps since the last record. */
	#losses: number[] = [];
	#gradientNorm = 0;
	#account: Account;
	/** What this process has done, in all and of late, for rates. */
	#worked: Spent = { steps: 0, tokens: 0, flops: 0, seconds: 0 };
	readonly #rate = new RecentWork();

	constructor(config: Config, subject: Subject, run: RunFolder, learner: Learner, options: TrainOptions) {
		this.#config = config;
		this.#subject = subject;
		this.#run = run;
		this.#learner = learner;
		this.#options = options;
		this.#emit = options.onEvent ?? (() => {});
		this.#schedule = new Schedule(config.train);
		this.#curriculum = this.#newCurriculum();
		this.#account = new Account(learner.model.config, learner.session.runtime);
	}

	/** Take up a checkpoint, or begin. */
	async restore(checkpoint: Checkpoint | undefined): Promise<void> {
		if (!checkpoint) {
			await this.#learner.initialize(this.#config.seed);
			return;
		}
		const { wideUntil = 0, doneWide = 0 } = checkpoint.state;
		this.#learner.wideUntil = wideUntil;
		this.#learner.doneWide = doneWide;
		this.#toldOfRange = doneWide > 0;
		restoreWeights(this.#learner, checkpoint, this.#run.path);
		const { step, tokens, flops, seconds, schedule, noise, best, costs, evaluationDue = false } = checkpoint.state;
		this.#account = new Account(this.#learner.model.config, this.#learner.session.runtime, costs);
		this.#spent = this.#begun = { steps: step, tokens, flops, seconds };
		this.#schedule = new Schedule(this.#config.train, schedule);
		this.#curriculum = this.#newCurriculum(noise ?? undefined);
		this.#best = best;
		this.#evaluationDue = evaluationDue;
		this.#saved = checkpoint.state;
	}

	async run(): Promise<TrainSummary> {
		const { train } = this.#config;
		this.#announce();
		let ended: End | undefined = this.#targetReached(this.#saved.validationLoss) ? "target" : undefined;
		if (this.#evaluationDue) ended = await this.#evaluateAndFollow();
		try {
			while (ended === undefined) {
				const idle = this.#underWay.length === 0;
				if (idle && this.#options.signal?.aborted) ended = "interrupted";
				else ended = (idle ? spentBudget(train, this.#spent) : undefined) ?? (await this.#stepAndFollowUps());
			}
		} finally {
			// After an error: the runtime is to be closed.
			await Promise.allSettled(this.#underWay.map(({ result }) => result));
		}
		if (ended !== "interrupted") await this.#evaluate();
		await this.#save();
		const summary = this.#summary(ended);
		this.#run.writeSummary(summary);
		return summary;
	}

	async #stepAndFollowUps(): Promise<End | undefined> {
		const { evaluateEvery, saveEvery } = this.#config.train;
		const most = this.#learner.session.runsAhead ? mostUnderWay : 1;
		while (this.#underWay.length === 0 || (this.#underWay.length < most && this.#mayRunAhead())) {
			await this.#beginStep();
		}
		await this.#endStep(this.#underWay.shift() as Begun);
		const { steps } = this.#spent;
		if (steps % evaluateEvery === 0) {
			const ended = await this.#evaluateAndFollow();
			if (ended) return ended;
		}
		// The last step is evaluated in any case, and its checkpoint says so.
		if (spentBudget(this.#config.train, this.#spent)) return undefined;
		// An evaluation has made its own record.
		if (steps % recordEvery === 0 && this.#losses.length > 0) this.#record();
		if (steps % saveEvery === 0) await this.#save();
		return undefined;
	}

	/** Evaluate the present weights and do what follows from it; where that is cut short it stays due. */
	async #evaluateAndFollow(): Promise<End | undefined> {
		await this.#evaluate();
		this.#evaluationDue = this.#evaluation === null;
		if (!this.#evaluation) return undefined;
		const reached = this.#targetReached(this.#evaluation.loss);
		this.#follow(this.#evaluation.loss);
		return reached ? "target" : undefined;
	}

	/** A loss at less noise than the task's is no success yet. */
	#targetReached(loss: number | null): boolean {
		const { targetLoss } = this.#config.train;
		return loss !== null && targetLoss !== null && loss <= targetLoss && this.#curriculum.full;
	}

	/** May a step be begun before the last one begun has ended: does nothing come between them that needs the weights as they are there? */
	#mayRunAhead(): boolean {
		const { evaluateEvery, saveEvery } = this.#config.train;
		const { steps } = this.#begun;
		if (this.#options.signal?.aborted || steps % evaluateEvery === 0 || steps % saveEvery === 0) return false;
		return spentBudget(this.#config.train, { ...this.#begun, seconds: this.#spent.seconds }) === undefined;
	}

	async #beginStep(): Promise<void> {
		const started = performance.now();
		const { train, seed } = this.#config;
		const spent = { ...this.#begun, seconds: this.#spent.seconds };
		const step = spent.steps + 1;
		const learningRate = this.#schedule.rate(step, fractionDone(train, spent));
		const window = drawWindow(this.#learner.model.config.window, seed, step);
		const batch = this.#takeBatch(step);
		const beginning = this.#learner.beginStep(batch, { learningRate, step, seed, window });
		// The runtime is at work now: meanwhile this thread makes the next batch.
		if (step !== train.steps) this.#ahead = this.#drawBatch(step + 1);
		const { flops, result } = await beginning;
		// Whoever waits for it hears of an error; until somebody does, nobody need.
		result.catch(() => {});
		this.#begun = sum(spent, { steps: 1, tokens: batch.sequences * batch.length, flops, seconds: 0 });
		this.#underWay.push({ step, batch, learningRate, window, flops, started, result });
	}

	async #endStep({ step, batch, learningRate, window, flops, started, result }: Begun): Promise<void> {
		const { train } = this.#config;
		const { loss, gradientNorm } = await result;
		this.#tellOfRange(step);
		if (hasDiverged(loss, gradientNorm, this.#subject.outcomes)) {
			await Promise.allSettled(this.#underWay.map((other) => other.result));
			throw diagnose(this.#learner, step, { loss, gradientNorm, learningRate, sequences: batch.sequences });
		}
		const now = performance.now();
		const seconds = (now - Math.max(started, this.#lastEnd)) / 1000;
		this.#lastEnd = now;
		const done: Spent = { steps: 1, tokens: batch.sequences * batch.length, flops, seconds };
		this.#spent = sum(this.#spent, done);
		this.#account.addStep(batch.sequences, batch.length, window);
		this.#worked = sum(this.#worked, done);
		this.#rate.add(done);
		this.#losses.push(loss);
		this.#gradientNorm = gradientNorm;
		this.#evaluation = null;
		this.#emit({
			kind: "step",
			step,
			loss,
			learningRate,
			tokensPerSecond: this.#rate.recent.tokens / this.#rate.recent.seconds,
			flopsPerSecond: this.#rate.recent.flops / this.#rate.recent.seconds,
			secondsLeft: secondsLeft(train, this.#spent, this.#rate.recent),
		});
	}

	#tellOfRange(step: number): void {
		if (this.#toldOfRange || this.#learner.doneWide === 0) return;
		this.#toldOfRange = true;
		const { description, wide } = this.#learner.session.runtime;
		const text = `step ${step}: values left the range of ${description}; it was done again in ${wide}, as will be whatever else leaves it`;
		this.#emit({ kind: "note", text });
	}

	/** For the checkpoint: nothing where nothing has left the range. */
	get #inWide(): Pick<TrainState, "wideUntil" | "doneWide"> {
		const { wideUntil, doneWide } = this.#learner;
		return doneWide === 0 ? {} : { wideUntil, doneWide };
	}

	/** The batch of a step, made during the step before where the noise is still the same. */
	#takeBatch(step: number): Batch {
		const ahead = this.#ahead;
		const fits = ahead !== null && ahead.step === step && ahead.noise === this.#curriculum.noise;
		return fits ? ahead.batch : this.#drawBatch(step).batch;
	}

	#drawBatch(step: number): { step: number; noise: number; batch: Batch } {
		const { seed, train } = this.#config;
		const { noise } = this.#curriculum;
		return { step, noise, batch: this.#subject.trainBatch(seed, step, train.batch * train.accumulate, noise) };
	}

	/** Evaluate the present model (the weights, or their moving average), unless that was just done. */
	async #evaluate(): Promise<void> {
		if (!this.#evaluation) await this.#learner.withAverage(() => this.#evaluateModel());
	}

	async #evaluateModel(): Promise<void> {
		const { batch, evaluateBatches } = this.#config.train;
		const { batches, length } = this.#subject.evaluationBatches(batch, evaluateBatches, this.#curriculum.noise);
		const evaluation = await evaluate(
			this.#learner,
			batches,
			length,
			this.#subject.bytesPerToken,
			this.#options.signal,
		);
		this.#tellOfRange(this.#spent.steps);
		if (this.#options.signal?.aborted) return;
		this.#evaluation = evaluation;
		this.#lastEvaluation = evaluation;
		// A run that goes on after its own end has told of this evaluation before.
		if (this.#saved.step === this.#spent.steps && this.#saved.validationLoss !== null) return;
		const isBest = this.#best === null || evaluation.loss < this.#best.loss;
		if (isBest) this.#best = { step: this.#spent.steps, loss: evaluation.loss };
		const { loss, error: standardError, accuracy } = evaluation;
		const noise = this.#noise === null ? {} : { noise: this.#noise };
		this.#emit({ kind: "evaluation", step: this.#spent.steps, loss, standardError, accuracy, ...noise, best: isBest });
		this.#record();
		if (this.#options.sample && this.#subject.text) {
			const text = await this.#options.sample(this.#learner, this.#subject);
			this.#run.addSample(this.#spent.steps, text);
			this.#lastSample = text;
			this.#emit({ kind: "sample", step: this.#spent.steps, text });
		}
	}

	/** What an evaluation changes: the learning rate, the noise. Losses at less noise are no measure for more. */
	#follow(loss: number): void {
		this.#schedule.observe(loss, this.#curriculum.full);
		if (!this.#curriculum.observe(loss)) return;
		this.#schedule.grow(this.#curriculum.noise, this.#config.data.noise);
		this.#best = null;
		this.#evaluation = null;
		this.#emit({ kind: "note", text: `step ${this.#spent.steps}: noise doubled to ${this.#curriculum.noise} tokens` });
	}

	#record(): void {
		const { steps, tokens, flops, seconds } = this.#spent;
		const loss = mean(this.#losses);
		const { paperFlops, wallSeconds } = this.#account.costs;
		this.#losses = [];
		this.#run.appendMetrics({
			step: steps,
			...(Number.isNaN(loss) ? {} : { loss, gradientNorm: this.#gradientNorm }),
			...(this.#evaluation
				? {
						validationLoss: this.#evaluation.loss,
						validationError: this.#evaluation.error,
						accuracy: this.#evaluation.accuracy,
					}
				: {}),
			learningRate: this.#schedule.rate(Math.max(1, steps), fractionDone(this.#config.train, this.#spent)),
			tokensPerSecond: this.#rate.recent.tokens / this.#rate.recent.seconds || 0,
			gigaflopsPerSecond: this.#rate.recent.flops / this.#rate.recent.seconds / 1e9 || 0,
			tokens,
			flops,
			seconds,
			paperFlops,
			wallSeconds,
			...(this.#noise === null ? {} : { noise: this.#noise }),
		});
	}

	async #save(): Promise<void> {
		const { steps, tokens, flops, seconds } = this.#spent;
		const validationLoss = this.#evaluation?.loss ?? null;
		if (this.#saved.step === steps && (validationLoss === null || this.#saved.validationLoss !== null)) return;
		if (this.#losses.length > 0) this.#record();
		const { tensors, optimizer } = savedWeights(this.#learner);
		for (const [name, { data }] of tensors) {
			if (!allFinite(data)) throw unsoundWeight(name, steps, this.#config.train.learningRate);
		}
		const state: TrainState = {
			step: steps,
			tokens,
			flops,
			seconds,
			seed: this.#config.seed,
			validationLoss,
			evaluationDue: this.#evaluationDue,
			best: this.#best,
			schedule: this.#schedule.state,
			noise: this.#noise,
			...this.#inWide,
			costs: this.#account.costs,
		};
		await this.#run.saveCheckpoint({ tensors, optimizer, state });
		this.#saved = state;
		this.#emit({ kind: "checkpoint", step: steps, path: this.#run.path });
	}

	#announce(): void {
		const { model, session } = this.#learner;
		this.#emit({
			kind: "start",
			run: this.#run.path,
			step: this.#spent.steps,
			data: this.#subject.description,
			model: describeModel(model.config),
			parameters: parameterCount(model.parameters),
			backend: session.runtime.description,
			...this.#floor,
		});
	}

	#summary(ended: End): TrainSummary {
		const { steps, tokens, flops, seconds } = this.#spent;
		const evaluation = this.#lastEvaluation;
		return {
			run: this.#run.path,
			ended,
			steps,
			tokens,
			flops,
			seconds,
			...this.#account.costs,
			parameters: parameterCount(this.#learner.model.parameters),
			validationLoss: evaluation?.loss ?? null,
			standardError: evaluation?.error ?? null,
			...(evaluation ? { accuracy: evaluation.accuracy } : {}),
			...(evaluation?.bitsPerByte == null ? {} : { bitsPerByte: evaluation.bitsPerByte }),
			best: this.#best,
			...this.#floor,
			tokensPerSecond: this.#worked.tokens / this.#worked.seconds || 0,
			flopsPerSecond: this.#worked.flops / this.#worked.seconds || 0,
			...(this.#lastSample === undefined ? {} : { sample: this.#lastSample }),
			made: {
				...made(),
				engine: this.#learner.session.runtime.description,
				...(this.#learner.doneWide > 0 ? { doneWide: this.#learner.doneWide } : {}),
			},
		};
	}

	get #floor(): { floor?: number } {
		return this.#subject.floor === null ? {} : { floor: this.#subject.floor };
	}

	#newCurriculum(noise?: number): Curriculum {
		const { start, threshold } = this.#config.train.curriculum;
		return new Curriculum({ start, threshold, full: this.#config.data.noise }, noise);
	}

	get #noise(): number | null {
		return this.#subject.hasNoise ? this.#curriculum.noise : null;
	}
}

function sum(a: Spent, b: Spent): Spent {
	return {
		steps: a.steps + b.steps,
		tokens: a.tokens + b.tokens,
		flops: a.flops + b.flops,
		seconds: a.seconds + b.seconds,
	};
}

/** The steps of about the last five seconds. */
class RecentWork {
	#steps: Spent[] = [];
	recent: Spent = { steps: 0, tokens: 0, flops: 0, seconds: 0 };

	add(done: Spent): void {
		this.#steps.push(done);
		this.recent = sum(this.recent, done);
		while (this.#steps.length > 1 && this.recent.seconds - this.#steps[0].seconds > 5) {
			const { steps, tokens, flops, seconds } = this.#steps.shift() as Spent;
			this.recent = sum(this.recent, { steps: -steps, tokens: -tokens, flops: -flops, seconds: -seconds });
		}
	}
}

function mean(values: readonly number[]): number {
	return values.reduce((total, value) => total + value, 0) / values.length;
}
