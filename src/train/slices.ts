/** How a batch is cut: into slices, whose gradients are summed in order, and these into micro-batches that fit the cache. */
import { processorRowsPerStep } from "../engine/backend.ts";
import type { ModelConfig } from "../models/index.ts";

export interface Cut {
	readonly slice: number;
	/** First sequence and number of sequences. */
	readonly first: number;
	readonly count: number;
}

/**
 * @param sequences B
 * @param slices at most this many; a slice has at least one sequence
 * @param rowsPerSequence rows that one sequence brings to a matrix product
 * @param rowsPerStep rows of a product that suit the runtime; infinite: a slice is one micro-batch
 */
export function cutBatch(
	sequences: number,
	slices: number,
	rowsPerSequence: number,
	rowsPerStep = processorRowsPerStep,
): Cut[] {
	const used = Math.min(slices, sequences);
	const most = Math.max(1, Math.round(rowsPerStep / rowsPerSequence));
	const cuts: Cut[] = [];
	for (let slice = 0; slice < used; slice++) {
		const start = Math.floor((slice * sequences) / used);
		const end = Math.floor(((slice + 1) * sequences) / used);
		const pieces = Math.max(1, Math.ceil((end - start) / most));
		for (let i = 0; i < pieces; i++) {
			const first = start + Math.floor((i * (end - start)) / pieces);
			const count = start + Math.floor(((i + 1) * (end - start)) / pieces) - first;
			cuts.push({ slice, first, count });
		}
	}
	return cuts;
}

/** Rows that one sequence brings to a product: a block of it, or all of it where there is no recurrence. */
export function rowsPerSequence(kind: ModelConfig["kind"], length: number, window: number): number {
	return kind === "recurrent" ? Math.min(length, window) : length;
}
