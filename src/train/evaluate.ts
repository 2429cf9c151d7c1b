/** The loss over a whole split, with its standard error: nats per target, bits per byte, accuracy. */
import type { EvaluatedBatch, Learner } from "./learner.ts";

/** How well a model predicts a split. */
export interface Evaluation {
	/** Nats per target. */
	readonly loss: number;
	/** Standard error of the loss, from the spread between sequences. */
	readonly error: number;
	/** Bits per byte of text; null where the task is not text. */
	readonly bitsPerByte: number | null;
	/** Share of targets that have the largest logit. */
	readonly accuracy: number;
	readonly targets: number;
	readonly sequences: number;
}

/** Sequences of equal length with their targets (negative: ignored). */
export interface EvaluationBatch {
	readonly ids: Int32Array;
	readonly targets: Int32Array;
	readonly sequences: number;
}

/**
 * @param batches the split, every target once
 * @param length N of the batches
 * @param bytesPerToken of the split's text, for bits per byte; null where there is none
 */
export async function evaluate(
	learner: Learner,
	batches: Iterable<EvaluationBatch>,
	length: number,
	bytesPerToken: number | null,
	signal?: AbortSignal,
): Promise<Evaluation> {
	let loss = 0;
	let right = 0;
	let targets = 0;
	/** Loss and number of targets of each sequence. */
	const perSequence: [number, number][] = [];
	for await (const { batch, losses, correct } of evaluated(learner, batches, length, signal)) {
		const outputs = batch.targets.length / batch.sequences;
		for (let b = 0; b < batch.sequences; b++) {
			let sum = 0;
			let count = 0;
			for (let i = b * outputs; i < (b + 1) * outputs; i++) {
				if (batch.targets[i] < 0) continue;
				sum += losses[i];
				right += correct[i];
				count++;
			}
			if (count === 0) continue;
			loss += sum;
			targets += count;
			perSequence.push([sum, count]);
		}
	}
	const mean = loss / targets;
	return {
		loss: mean,
		error: standardError(perSequence, mean, targets),
		bitsPerByte: bytesPerToken === null ? null : mean / Math.LN2 / bytesPerToken,
		accuracy: right / targets,
		targets,
		sequences: perSequence.length,
	};
}

/** Batches with the loss of each target, and whether it has the largest logit. While one is looked at the next is under way. */
async function* evaluated(
	learner: Learner,
	batches: Iterable<EvaluationBatch>,
	length: number,
	signal?: AbortSignal,
): AsyncGenerator<{ batch: EvaluationBatch; losses: Float32Array; correct: Float32Array }> {
	let before: { batch: EvaluationBatch; result: Promise<EvaluatedBatch> } | undefined;
	for (const batch of batches) {
		if (signal?.aborted) break;
		const { result } = await learner.beginEvaluation({ ...batch, length }, { losses: true, correct: true });
		result.catch(() => {}); // it is heard of below
		if (before) yield { batch: before.batch, ...(await before.result) };
		before = { batch, result };
	}
	if (before) yield { batch: before.batch, ...(await before.result) };
}

/** Of a ratio of sums over sequences: sqrt(n / (n - 1) sum (loss_i - mean count_i)^2) / targets. */
function standardError(perSequence: readonly [number, number][], mean: number, targets: number): number {
	const n = perSequence.length;
	if (n < 2) return Number.NaN;
	const squares = perSequence.reduce((sum, [loss, count]) => sum + (loss - mean * count) ** 2, 0);
	return Math.sqrt((squares * n) / (n - 1)) / targets;
}
