/** What the trainer needs of a task: batches that are pure functions of (seed, step), and the whole validation split. */

/** Ids (B x N, row by row) and what should come out (B x M); a target of -1 is not scored. */
export interface Batch {
	readonly ids: Int32Array;
	readonly targets: Int32Array;
}

/** A batch of the validation split: the first `sequences` rows are real, the others padding (ids 0, targets -1). */
export interface EvaluationBatch extends Batch {
	readonly sequences: number;
}

/**
 * Where the M scored outputs of a sequence stand: at all N positions, each the next token ("language"); at the last M
 * positions ("last"); one class, read at the last position ("class").
 */
export type Outputs = "language" | "last" | "class";

/** Something to learn: training batches without end, and a validation split. */
export interface Task {
	readonly vocabularySize: number;
	/** N: positions of a sequence. */
	readonly length: number;
	readonly outputs: Outputs;
	/** M: scored outputs of a sequence; N for "language", 1 for "class". */
	readonly outputLength: number;
	/** Bytes of text per token of the validation split, for bits per byte; only where there is text. */
	readonly bytesPerToken?: number;
	/** Batch number `step` of B sequences. Sequence b depends on (seed, step, b) alone. */
	trainBatch(seed: number | bigint, step: number, batch: number): Batch;
	/** The whole validation split, in order, every output once, in batches of B sequences. */
	evaluationBatches(batch: number): Iterable<EvaluationBatch>;
	/** One line for people. */
	describe(): string;
}

/** What random numbers are drawn for: one stream each, so that one seed serves them all (see `RandomSequence`). */
export const randomStreams = {
	textWindows: 0xda7a0001,
	copyTraining: 0xda7a0002,
	copyValidation: 0xda7a0003,
	tales: 0xda7a0004,
	images: 0xda7a0005,
} as const;

const mostSequences = 2 ** 20;

/** The random-sequence index of sequence b of a step. */
export function sequenceIndex(step: number, b: number): number {
	return step * mostSequences + b;
}
