/** Language modelling on token files: random windows to train on, consecutive windows to evaluate on. */

import { RivuletError } from "../base/errors.ts";
import { RandomSequence } from "../base/random.ts";
import { type Batch, type EvaluationBatch, randomStreams, sequenceIndex, type Task } from "./task.ts";
import type { TokenFile } from "./token-file.ts";

/** Next-token prediction in windows of N tokens. */
export class TextTask implements Task {
	readonly vocabularySize: number;
	readonly length: number;
	readonly outputs = "language";
	readonly outputLength: number;
	readonly bytesPerToken: number;
	readonly #train: TokenFile;
	readonly #validation: TokenFile;

	/** @throws RivuletError data-too-short when there is no window of N + 1 tokens to train on, or nothing to evaluate. */
	constructor(train: TokenFile, validation: TokenFile, length: number) {
		checkLengths(train.length, validation.length, length);
		this.vocabularySize = train.vocabularySize;
		this.length = length;
		this.outputLength = length;
		this.bytesPerToken = validation.bytes / validation.length;
		this.#train = train;
		this.#validation = validation;
	}

	/** Windows of N + 1 tokens at places drawn uniformly: ids are the first N, targets the last N. */
	trainBatch(seed: number | bigint, step: number, batch: number): Batch {
		const n = this.length;
		const ids = new Int32Array(batch * n);
		const targets = new Int32Array(batch * n);
		const window = new Int32Array(n + 1);
		for (let b = 0; b < batch; b++) {
			const random = new RandomSequence(seed, randomStreams.textWindows, sequenceIndex(step, b));
			this.#train.read(random.below(this.#train.length - n), n + 1, window);
			ids.set(window.subarray(0, n), b * n);
			targets.set(window.subarray(1), b * n);
		}
		return { ids, targets };
	}

	evaluationBatches(batch: number): Iterable<EvaluationBatch> {
		return evaluationWindows(this.#validation, this.length, batch);
	}

	describe(): string {
		const [train, validation] = [this.#train, this.#validation].map(({ length }) => length.toLocaleString("en"));
		return `text: ${train} training and ${validation} validation tokens of ${this.vocabularySize} kinds, windows of ${this.length}`;
	}
}

/**
 * Consecutive windows of N tokens that do not overlap: window k reads ids kN..kN+N-1 and is scored on kN+1..kN+N, so every
 * token but the very first is scored once. The last window may be shorter; it is padded, as are the rows of the last batch.
 */
export function* evaluationWindows(tokens: TokenFile, length: number, batch: number): Generator<EvaluationBatch> {
	const window = new Int32Array(length + 1);
	const scored = tokens.length - 1;
	for (let first = 0; first < scored; first += batch * length) {
		const ids = new Int32Array(batch * length);
		const targets = new Int32Array(batch * length).fill(-1);
		const sequences = Math.min(batch, Math.ceil((scored - first) / length));
		for (let b = 0; b < sequences; b++) {
			const start = first + b * length;
			const count = Math.min(length, scored - start);
			tokens.read(start, count + 1, window);
			ids.set(window.subarray(0, count), b * length);
			targets.set(window.subarray(1, count + 1), b * length);
		}
		yield { ids, targets, sequences };
	}
}

function checkLengths(train: number, validation: number, length: number): void {
	if (!Number.isInteger(length) || length < 1) {
		throw new RivuletError("data-length", `data.length must be a whole number of at least 1, not ${length}`, {
			exitStatus: 2,
		});
	}
	if (train < 2 || validation < 2) {
		throw new RivuletError(
			"data-too-short",
			`the text is too short: ${train} training and ${validation} validation tokens, where each part needs 2 at least`,
			{ hint: "Give more text, another data.split, or a validation file of its own (data.validation)." },
		);
	}
	if (train < length + 1) {
		throw new RivuletError(
			"data-too-short",
			`the training part has ${train} tokens, but one window of data.length ${length} takes ${length + 1}`,
			{ hint: `Set data.length to ${train - 1} or less, or give more text.` },
		);
	}
}
