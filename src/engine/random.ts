/** The dropout masks of docs/engine.md in plain TypeScript: what the kernels must reproduce to the bit. Not a general generator. */
import { philox } from "../base/random.ts";

/** Which row of a dropout mask: the op's id, the sequence in the whole batch, the row inside that sequence. */
export interface MaskRow {
	seed: bigint;
	step: number;
	dropoutId: number;
	sequence: number;
	row: number;
}

/** The key of a step: the low word of the seed, and its high word xor the step. */
export function stepKey(seed: bigint, step: number): [number, number] {
	return [Number(seed & 0xffffffffn), (Number((seed >> 32n) & 0xffffffffn) ^ step) >>> 0];
}

/** One row of a dropout mask over `columns`: 0 where a value is dropped, 1 / (1 - p) where it is kept. */
export function dropoutRow(
	{ seed, step, dropoutId, sequence, row }: MaskRow,
	columns: number,
	p: number,
): Float64Array {
	const rate = Math.fround(p); // kernels see p in single precision
	const threshold = Math.floor(rate * 2 ** 32);
	const [key0, key1] = stepKey(seed, step);
	const lanes = Math.ceil(columns / 4);
	const mask = new Float64Array(columns);
	const words = new Uint32Array(4);
	for (let lane = 0; lane < lanes; lane++) {
		philox(key0, key1, lane, row, sequence, dropoutId, words);
		for (let word = 0, column = lane; column < columns; word++, column += lanes) {
			mask[column] = words[word] >= threshold ? 1 / (1 - rate) : 0;
		}
	}
	return mask;
}

/**
 * The sequence and the row inside it of row r of a group-major matrix: groups of `rowsPerSequence` rows of each of
 * `sequences` sequences, `first` being the micro-batch's first sequence.
 */
export function placeOfRow(
	r: number,
	rowsPerSequence: number,
	sequences: number,
	first: number,
): { sequence: number; row: number } {
	const block = Math.floor(r / rowsPerSequence);
	const group = Math.floor(block / sequences);
	return { sequence: first + (block % sequences), row: group * rowsPerSequence + (r % rowsPerSequence) };
}
