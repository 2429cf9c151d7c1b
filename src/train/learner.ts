/**
 * A model with weights, an optimiser and a runtime: one call is one training step or one evaluation of a batch. It cuts batches
 * into slices and micro-batches; it knows nothing of data, schedules or files. What leaves the range of the runtime's numbers is done
 * again in its wider range, where it has one.
 */
import type { Runtime } from "../engine/backend.ts";
import type { MicroBatch, ProgramHandle } from "../engine/program.ts";
import { Session } from "../engine/session.ts";
import {
	type EvaluationOutputs,
	evaluationProgram,
	evaluationWindow,
	type Model,
	outputLength,
	outputSize,
	trainingProgram,
} from "../models/index.ts";
import { initialize } from "../nn/initialize-many.ts";
import {
	averageIndex,
	haltedOffset,
	hyperparameters,
	type OptimizerConfig,
	optimizerProgram,
	optimizerWords,
} from "./optimizer.ts";
import { type Cut, cutBatch, rowsPerSequence } from "./slices.ts";

/** Token ids (B * N) and targets (B * M, negative: ignored), sequence after sequence. */
export interface Batch {
	readonly ids: Int32Array;
	readonly targets: Int32Array;
	readonly sequences: number;
	readonly length: number;
}

/** What decides a step beside model and batch. */
export interface LearnerOptions {
	readonly optimizer: OptimizerConfig;
	/** Slices a batch is cut into; fixes the order of summation, and so the bits of the result. */
	readonly slices: number;
	/** Windows per recomputation segment; 0: store all; "auto": store all unless that exceeds `memory`. */
	readonly recompute: number | "auto";
	/** Bytes that stored activations may take if all slices run at once. */
	readonly memory: number;
}

export interface StepSettings {
	readonly learningRate: number;
	/** Number of the step, 1 for the first. */
	readonly step: number;
	readonly seed: number;
	/** w of this step; default: the evaluation window. */
	readonly window?: number;
}

/** What one step came to. */
export interface StepResult {
	/** Mean loss over all targets, nats. */
	readonly loss: number;
	/** Global norm of the gradient before clipping. */
	readonly gradientNorm: number;
	readonly targets: number;
	/** Did the weights change? A gradient that is not finite changes nothing, nor does a step that was on its way behind it. */
	readonly updated: boolean;
	/** Exact floating-point operations, from the graph. */
	readonly flops: number;
}

/** Each value that was asked for, row by row in natural order; the rest empty. */
export type EvaluatedBatch = Record<keyof EvaluationOutputs, Float32Array>;

export interface StepUnderWay {
	/** Exact floating-point operations, from the graph. */
	readonly flops: number;
	readonly result: Promise<StepResult>;
}

/** Steps done in the wider range, from one on that left the narrower: few against what trying costs, where all would leave it. */
const stepsInWide = 32;

/** Trains and evaluates one batch at a time. Holds weights, moments and compiled programs in its runtime. */
export class Learner {
	readonly model: Model;
	readonly session: Session;
	readonly options: LearnerOptions;
	/** Steps up to this one are done in the wider range at once: where one left the narrower, those behind it may. */
	wideUntil = 0;
	/** Steps and forward passes that have been done in the wider range. */
	doneWide = 0;
	/** Slices a batch is cut into: as asked, at most as many as the runtime wants. */
	readonly #slices: number;
	readonly #segments = new Map<string, number>();
	/** What is to be done again, and what was begun last, is on its way. */
	#again: Promise<unknown> = Promise.resolve();
	#beginning: Promise<unknown> = Promise.resolve();

	constructor(model: Model, runtime: Runtime, options: LearnerOptions) {
		this.model = model;
		this.options = options;
		this.#slices = Math.min(options.slices, runtime.mostSlices);
		this.session = new Session(runtime, model.parameters);
		runtime.reserve("optimizer", optimizerWords(this.session.layout.words, options.optimizer.ema));
	}

	/** Is a moving average of the weights kept? */
	get averages(): boolean {
		return (this.options.optimizer.ema ?? 0) > 0;
	}

	/** First values of all weights, a pure function of the seed. */
	async initialize(seed: number): Promise<void> {
		const { parameters } = this.model;
		await initialize(parameters, seed, (index, values) => {
			const { name } = parameters[index];
			this.session.writeParameter(name, values);
			if (this.averages) this.session.writeOptimizer(name, averageIndex, values);
		});
		this.#allowUpdates();
	}

	/** Do something with the weights' moving average in place of the weights, where one is kept. No step may be under way. */
	async withAverage<T>(work: () => Promise<T>): Promise<T> {
		if (!this.averages) return await work();
		const { session } = this;
		const names = [...session.parameters.keys()];
		const weights = names.map((name) => session.readParameter(name));
		for (const name of names) session.writeParameter(name, session.readOptimizer(name, averageIndex));
		try {
			return await work();
		} finally {
			names.forEach((name, i) => session.writeParameter(name, weights[i]));
		}
	}

	/** Forward, backward, clip, update. */
	async step(batch: Batch, settings: StepSettings): Promise<StepResult> {
		const { result } = await this.beginStep(batch, settings);
		return await result;
	}

	/** Put a step on its way; while it is under way one more may follow where the session runs ahead. */
	async beginStep(batch: Batch, settings: StepSettings): Promise<StepUnderWay> {
		const isSound = ({ loss, gradientNorm, updated }: StepResult) =>
			updated && Number.isFinite(loss) && Number.isFinite(gradientNorm);
		const begin = (wide: boolean) => this.#begin(batch, settings, { update: true, wide });
		return await this.#inRange(
			this.session.runtime.wide !== undefined && settings.step <= this.wideUntil,
			begin,
			isSound,
			() => {
				// Not by a step that was but behind the one that left it: whether one was depends on where a run was stopped.
				if (settings.step > this.wideUntil) this.wideUntil = settings.step + stepsInWide - 1;
				this.#allowUpdates();
			},
		);
	}

	/** Forward and backward only, in the range there is; read the result with `gradient`. */
	async differentiate(batch: Batch, settings: StepSettings): Promise<StepResult> {
		const { result } = await this.#begin(batch, settings, { update: false, wide: false });
		return await result;
	}

	/** The gradient that the last step or `differentiate` of `sequences` sequences left, summed over their slices. */
	gradient(name: string, sequences: number): Float32Array {
		return this.session.readGradient(name, Math.min(this.#slices, sequences));
	}

	async #begin(
		batch: Batch,
		{ learningRate, step, seed, window }: StepSettings,
		{ update, wide }: { readonly update: boolean; readonly wide: boolean },
	): Promise<StepUnderWay> {
		const { session, options } = this;
		const width = window ?? evaluationWindow(this.model.config);
		const cuts = this.#cut(batch, width);
		const slices = cuts[cuts.length - 1].slice + 1;
		const words = session.layout.words;
		const updates: ProgramHandle[] = [];
		if (update) {
			updates.push(
				session.program(`optimizer ${slices}`, (layout) =>
					optimizerProgram(session.layout, slices, options.optimizer, layout),
				),
			);
			session.writeShared("hyper", hyperparameters(options.optimizer, learningRate, step));
		}
		let targets = 0;
		for (const target of batch.targets) if (target >= 0) targets++;
		session.writeShared("lossScale", Float32Array.of(1 / Math.max(1, targets)));
		const programs = (cut: Cut) => this.#trainingProgram(cut.count, batch.length, width);
		const microBatches = this.#place(batch, cuts, programs, updates[0]?.program.outputWords ?? 0);
		session.runtime.reserve("slices", slices * words);
		const flops = [...microBatches, ...updates.map((program) => ({ program }))].reduce(
			(sum, { program }) => sum + program.program.flops,
			0,
		);
		const { ended } = await session.submit({
			seed: BigInt(seed),
			step,
			slices,
			gradientWords: words,
			microBatches,
			updates: updates.map((program) => ({ program, stateOffset: 0 })),
			wide,
		});
		const result = ended.then(() => {
			let loss = 0;
			const one = new Float32Array(1);
			for (const { program, outputsOffset } of microBatches) {
				session.runtime.read("outputs", outputsOffset + slot(program, "loss"), one);
				loss += one[0];
			}
			const norm = new Float32Array(2);
			if (update) session.runtime.read("outputs", slot(updates[0], "norm"), norm);
			const [factor, gradientNorm] = norm;
			return {
				loss: loss / Math.max(1, targets),
				gradientNorm,
				targets,
				updated: update && !Number.isNaN(factor),
				flops,
			};
		});
		return { flops, result };
	}

	/**
	 * Forward over a batch. Each asked value in natural order: `logits` (B M, V), `losses` and `correct` (B M, 1).
	 */
	async evaluate(
		batch: Batch,
		want: EvaluationOutputs,
		window = evaluationWindow(this.model.config),
	): Promise<EvaluatedBatch> {
		const { result } = await this.beginEvaluation(batch, want, window);
		return await result;
	}

	/** Put a forward pass on its way, as `beginStep` does a step. */
	async beginEvaluation(
		batch: Batch,
		want: EvaluationOutputs,
		window = evaluationWindow(this.model.config),
	): Promise<{ readonly result: Promise<EvaluatedBatch> }> {
		const isSound = ({ logits, losses }: EvaluatedBatch) =>
			logits.every(Number.isFinite) && losses.every(Number.isFinite);
		return await this.#inRange(false, (wide) => this.#beginEvaluation(batch, want, { window, wide }), isSound);
	}

	async #beginEvaluation(
		batch: Batch,
		want: EvaluationOutputs,
		{ window, wide }: { readonly window: number; readonly wide: boolean },
	): Promise<{ readonly result: Promise<EvaluatedBatch> }> {
		const { session, model } = this;
		const cuts = this.#cut(batch, window);
		const program = ({ count }: Cut) => {
			const shape = { sequences: count, length: batch.length, window, segment: 0, train: false };
			return session.program(`evaluate ${JSON.stringify([shape, want])}`, (layout) =>
				evaluationProgram(model, shape, want, layout),
			);
		};
		const microBatches = this.#place(batch, cuts, program, 0);
		const slices = cuts[cuts.length - 1].slice + 1;
		const job = { seed: 0n, step: 0, slices, gradientWords: 0, microBatches, updates: [], wide };
		const { ended } = await session.submit(job);
		const rows = outputLength(model.config, batch.length);
		const read = (name: keyof EvaluationOutputs, columns: number) => {
			const values = new Float32Array(want[name] ? batch.sequences * rows * columns : 0);
			if (!want[name]) return values;
			microBatches.forEach(({ program: handle, outputsOffset }, i) => {
				const { first, count } = cuts[i];
				const stretch = values.subarray(first * rows * columns, (first + count) * rows * columns);
				session.runtime.read("outputs", outputsOffset + slot(handle, name), stretch);
			});
			return values;
		};
		const columns = outputSize(model.config);
		const result = ended.then(() => ({
			logits: read("logits", columns),
			losses: read("losses", 1),
			correct: read("correct", 1),
		}));
		return { result };
	}

	/**
	 * Put work on its way. Where its result is not sound and there is a wider range, it is put there once more, and so is what was on its
	 * way behind it, in the same order: whoever awaits results need not know.
	 *
	 * @param wide at once @param prepare what is to be done before it is done again
	 */
	async #inRange<Begun extends { result: Promise<unknown> }>(
		wide: boolean,
		begin: (wide: boolean) => Promise<Begun>,
		isSound: (result: Awaited<Begun["result"]>) => boolean,
		prepare = () => {},
	): Promise<Begun> {
		const put = async (inWide: boolean) => {
			if (inWide) this.doneWide++;
			const beginning = begin(inWide);
			this.#beginning = beginning.catch(() => {}); // whoever awaits it hears of it
			return await beginning;
		};
		// What is done again comes first; from here to its being put there nothing else can come in between.
		for (let before: unknown; before !== this.#again; ) {
			before = this.#again;
			await before;
		}
		if (wide || !this.session.runtime.wide) return await put(wide);
		const begun = await put(false);
		const result = begun.result.then(async (value) => {
			if (isSound(value as Awaited<Begun["result"]>)) return value;
			const again = this.#again.then(async () => {
				await this.#beginning;
				prepare();
				return await put(true);
			});
			this.#again = again.catch(() => {});
			return await (await again).result;
		});
		return { ...begun, result };
	}

	/** After a gradient that was not finite; what is on its way is not affected. */
	#allowUpdates(): void {
		const { runtime, layout } = this.session;
		runtime.write("optimizer", haltedOffset(layout.words, this.options.optimizer.ema), Float32Array.of(0));
	}

	#cut({ sequences, length }: Batch, window: number): Cut[] {
		const rows = rowsPerSequence(this.model.config.kind, length, window);
		return cutBatch(sequences, this.#slices, rows, this.session.runtime.rowsPerStep);
	}

	/** Write the inputs of every cut, side by side, and say where its outputs go. */
	#place(
		batch: Batch,
		cuts: readonly Cut[],
		programOf: (cut: Cut) => ProgramHandle,
		firstOutput: number,
	): MicroBatch[] {
		const { runtime } = this.session;
		const handles = cuts.map(programOf);
		runtime.reserve(
			"inputs",
			handles.reduce((sum, { program }) => sum + program.inputWords, 0),
		);
		runtime.reserve(
			"outputs",
			handles.reduce((sum, { program }) => sum + program.outputWords, firstOutput),
		);
		const outputs = outputLength(this.model.config, batch.length);
		let inputsOffset = 0;
		let outputsOffset = firstOutput;
		return cuts.map(({ slice, first, count }, i) => {
			const program = handles[i];
			const micro: MicroBatch = { program, slice, inputsOffset, outputsOffset, firstSequence: first };
			const write = (name: string, words: Int32Array, perSequence: number) => {
				const place = program.program.inputs.get(name);
				if (place)
					runtime.write(
						"inputs",
						inputsOffset + place.offset,
						words.subarray(first * perSequence, (first + count) * perSequence),
					);
			};
			write("ids", batch.ids, batch.length);
			write("targets", batch.targets, outputs);
			inputsOffset += program.program.inputWords;
			outputsOffset += program.program.outputWords;
			return micro;
		});
	}

	#trainingProgram(sequences: number, length: number, window: number): ProgramHandle {
		const { session, model, options } = this;
		const key = `train ${sequences} ${length} ${window}`;
		const build = (segment: number) =>
			session.program(`${key} ${segment}`, (layout) =>
				trainingProgram(model, { sequences, length, window, segment, train: true }, layout),
			);
		const known = this.#segments.get(key) ?? (options.recompute === "auto" ? undefined : options.recompute);
		if (known !== undefined) return build(known);
		// Counted as if all slices ran at once: the choice must not depend on the number of threads.
		const memory = session.runtime.activationBytes ?? options.memory;
		const budget = memory / this.#slices / 4;
		let handle = build(0);
		let segment = 0;
		// Fewer windows a segment need less memory up to about the square root of their number.
		const windows = Math.ceil(length / window);
		for (
			let size = Math.ceil(windows / 4);
			handle.program.arenaWords > budget && size >= 1;
			size = Math.floor(size / 2)
		) {
			const next = build(size);
			if (next.program.arenaWords >= handle.program.arenaWords) break;
			handle = next;
			segment = size;
		}
		this.#segments.set(key, segment);
		return handle;
	}
}

function slot({ program }: ProgramHandle, name: string): number {
	const place = program.outputs.get(name);
	if (!place) throw new Error(`[learner] the program has no output ${name}`);
	return place.offset;
}
