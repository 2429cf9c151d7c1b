/**
 * Sequences cut into blocks of rows, and the order in which their rows lie: block-major, so that a block of all
 * sequences is one contiguous matrix. Row (k, b, i) is row i of block k of sequence b.
 */
import type { Graph, Tensor } from "../engine/graph.ts";
import { concatRows, dropout, sliceRows } from "../engine/ops/index.ts";

/** Some consecutive blocks of B sequences: block k has lengths[k] rows a sequence, B * lengths[k] rows in all. */
export interface Blocks {
	/** (B * sum of lengths, C), block-major. */
	readonly rows: Tensor;
	readonly lengths: readonly number[];
	/** B */
	readonly sequences: number;
}

/** Lengths of the blocks of a sequence of `length` rows: all `window`, the last one possibly shorter. */
export function blockLengths(length: number, window: number): number[] {
	const lengths: number[] = [];
	for (let start = 0; start < length; start += window) lengths.push(Math.min(window, length - start));
	return lengths;
}

/** Position in its sequence of every row of blocks [first, last), and its row b * length + position in natural order. */
export function blockOrder(lengths: readonly number[], first: number, last: number, sequences: number) {
	const length = lengths.reduce((sum, n) => sum + n, 0);
	const positions: number[] = [];
	const rows: number[] = [];
	let start = lengths.slice(0, first).reduce((sum, n) => sum + n, 0);
	for (let k = first; k < last; k++) {
		for (let b = 0; b < sequences; b++) {
			for (let i = 0; i < lengths[k]; i++) {
				positions.push(start + i);
				rows.push(b * length + start + i);
			}
		}
		start += lengths[k];
	}
	return { positions: Int32Array.from(positions), rows: Int32Array.from(rows) };
}

/** Block k as blocks of one. */
export function blockAt(g: Graph, blocks: Blocks, k: number): Blocks {
	return blockRange(g, blocks, k, k + 1);
}

/** Blocks [first, last). */
export function blockRange(g: Graph, blocks: Blocks, first: number, last: number): Blocks {
	const lengths = blocks.lengths.slice(first, last);
	if (lengths.length === blocks.lengths.length) return blocks;
	const rowsOf = (list: readonly number[]) => list.reduce((sum, n) => sum + n, 0) * blocks.sequences;
	const start = rowsOf(blocks.lengths.slice(0, first));
	return { rows: sliceRows(g, blocks.rows, start, start + rowsOf(lengths)), lengths, sequences: blocks.sequences };
}

export function joinBlocks(g: Graph, list: readonly Blocks[]): Blocks {
	if (list.length === 1) return list[0];
	const rows = concatRows(
		g,
		list.map((blocks) => blocks.rows),
	);
	return { rows, lengths: list.flatMap((blocks) => blocks.lengths), sequences: list[0].sequences };
}

/** Runs of blocks of equal length: all but a ragged last one form one run. Ops on windows work run by run. */
export function equalRuns(g: Graph, blocks: Blocks): Blocks[] {
	const runs: Blocks[] = [];
	for (let k = 0; k < blocks.lengths.length; ) {
		let end = k + 1;
		while (end < blocks.lengths.length && blocks.lengths[end] === blocks.lengths[k]) end++;
		runs.push(blockRange(g, blocks, k, end));
		k = end;
	}
	return runs;
}

/** Dropout with one mask per row, whatever the slicing of the batch (docs/engine.md, "Random numbers"). */
export function dropoutBlocks(g: Graph, blocks: Blocks, p: number): Tensor {
	if (p === 0) return blocks.rows;
	const { sequences } = blocks;
	const dropped = equalRuns(g, blocks).map((run) =>
		dropout(g, run.rows, { p, rowsPerSequence: run.lengths[0], sequences }),
	);
	return dropped.length === 1 ? dropped[0] : concatRows(g, dropped);
}
