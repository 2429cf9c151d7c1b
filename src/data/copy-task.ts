/**
 * The copy and selective copy tasks of the paper (section 2), generated: 16 symbols among noise, then 16 recall markers, at
 * which the symbols are to be given back in order.
 */

import { RivuletError } from "../base/errors.ts";
import { RandomSequence } from "../base/random.ts";
import { type Batch, type EvaluationBatch, randomStreams, sequenceIndex, type Task } from "./task.ts";

/** Alphabet: 0 noise, 1..14 symbols, 15 marker. */
const noiseId = 0;
const symbolIds = 14;
const markerId = 15;
/** Symbols of a sequence, and so markers. */
const symbols = 16;

/** Which of the two tasks, and how long. */
export interface CopyOptions {
	/** Number of noise tokens; N = 16 + noise + 16. */
	readonly noise: number;
	/** Symbols at 16 random places, in increasing order, instead of at the start. */
	readonly selective?: boolean;
	/** Sequences of the validation split. Default 256. */
	readonly validationSequences?: number;
	/** Seed of the validation split, which does not depend on the run's. Default 0. */
	readonly validationSeed?: number;
}

/** 16 symbols, noise, 16 markers; scored on the markers only. */
export class CopyTask implements Task {
	readonly vocabularySize = 16;
	readonly length: number;
	readonly outputs = "last";
	readonly outputLength = symbols;
	readonly #noise: number;
	readonly #selective: boolean;
	readonly #sequences: number;
	readonly #seed: number;

	constructor({ noise, selective = false, validationSequences = 256, validationSeed = 0 }: CopyOptions) {
		if (!Number.isInteger(noise) || noise < 0) {
			throw new RivuletError(
				"data-noise",
				`the number of noise tokens must be a whole number of at least 0, not ${noise}`,
				{
					exitStatus: 2,
				},
			);
		}
		this.length = 2 * symbols + noise;
		this.#noise = noise;
		this.#selective = selective;
		this.#sequences = validationSequences;
		this.#seed = validationSeed;
	}

	trainBatch(seed: number | bigint, step: number, batch: number): Batch {
		const ids = new Int32Array(batch * this.length);
		const targets = new Int32Array(batch * symbols);
		for (let b = 0; b < batch; b++) {
			this.#fill(ids, targets, b, new RandomSequence(seed, randomStreams.copyTraining, sequenceIndex(step, b)));
		}
		return { ids, targets };
	}

	*evaluationBatches(batch: number): Generator<EvaluationBatch> {
		for (let first = 0; first < this.#sequences; first += batch) {
			const ids = new Int32Array(batch * this.length);
			const targets = new Int32Array(batch * symbols).fill(-1);
			const sequences = Math.min(batch, this.#sequences - first);
			for (let b = 0; b < sequences; b++) {
				this.#fill(ids, targets, b, new RandomSequence(this.#seed, randomStreams.copyValidation, first + b));
			}
			yield { ids, targets, sequences };
		}
	}

	describe(): string {
		return `${this.#selective ? "selective copy" : "copy"}: ${symbols} symbols, ${this.#noise} noise tokens, sequences of ${this.length}`;
	}

	/** Writes sequence b and its targets. */
	#fill(ids: Int32Array, targets: Int32Array, b: number, random: RandomSequence): void {
		const sequence = ids.subarray(b * this.length, (b + 1) * this.length).fill(noiseId);
		const places = this.#selective ? increasingPlaces(symbols + this.#noise, random) : undefined;
		for (let i = 0; i < symbols; i++) {
			const symbol = 1 + random.below(symbolIds);
			sequence[places === undefined ? i : places[i]] = symbol;
			targets[b * symbols + i] = symbol;
		}
		sequence.fill(markerId, this.length - symbols);
	}
}

/** 16 different places among 0..count-1, every set equally likely, in increasing order. */
function increasingPlaces(count: number, random: RandomSequence): number[] {
	// Floyd's sampling: at each j one new place, so no draw is ever repeated in vain.
	const places = new Set<number>();
	for (let j = count - symbols; j < count; j++) {
		const place = random.below(j + 1);
		places.add(places.has(place) ? j : place);
	}
	return [...places].sort((a, b) => a - b);
}
