/**
 * The accumulate recurrence of paper.md 1.2: a pair of blocks (f, s) is carried,
 *
 *     f = x_1,  s = T(x_1);   (f, s) = halves of T([alpha f + s ; alpha f + x_k]),  output block k-1 = f;   output block K = T(s)
 *
 * The two halves of a window are kept one under the other, so all products run over both at once; attention alone treats
 * them apart: the first half sees itself, the second also the whole first half.
 */
import type { Graph, Tensor } from "../engine/graph.ts";
import { addScaled, clamp, concatRows, gather } from "../engine/ops/index.ts";
import { attend, keysValues, wholeLayer } from "../nn/attend.ts";
import { type Blocks, blockAt, joinBlocks } from "../nn/blocks.ts";
import type { Layer } from "../nn/layer.ts";
import type { ParameterTable } from "../nn/parameters.ts";
import type { ModelConfig } from "./model.ts";
import type { Scan } from "./scan.ts";

/** The pair (f, s), one block each. */
interface Carried {
	f: Blocks;
	s: Blocks;
}

export class AccumulateScan implements Scan {
	readonly #layer: Layer;
	/** 1 x 1, in [0, 1] */
	readonly #alpha: Tensor;
	#carried: Carried | null;

	constructor(layer: Layer, alpha: Tensor, carried: Carried | null = null) {
		this.#layer = layer;
		this.#alpha = alpha;
		this.#carried = carried;
	}

	/** The pair carried now, each (B w, C). */
	boundary(): { f: Tensor; s: Tensor } {
		const { f, s } = this.#last();
		return { f: f.rows, s: s.rows };
	}

	/** The output of the block pushed last, if it is not the end: T(alpha f + s), known before the next block comes. */
	nextOutput(g: Graph): Tensor {
		const { f, s } = this.#last();
		return wholeLayer(g, this.#layer, { ...s, rows: addScaled(g, this.#alpha, f.rows, s.rows) });
	}

	push(g: Graph, blocks: Blocks): Blocks | null {
		const outputs: Blocks[] = [];
		for (let k = 0; k < blocks.lengths.length; k++) {
			const x = blockAt(g, blocks, k);
			if (this.#carried) {
				this.#carried = this.#step(g, this.#carried.f, this.#carried.s, x);
				outputs.push(this.#carried.f);
			} else {
				this.#carried = { f: x, s: { ...x, rows: wholeLayer(g, this.#layer, x) } };
			}
		}
		return outputs.length > 0 ? joinBlocks(g, outputs) : null;
	}

	finish(g: Graph): Blocks | null {
		if (!this.#carried) return null;
		const { s } = this.#last();
		return { ...s, rows: wholeLayer(g, this.#layer, s) };
	}

	#last(): Carried {
		if (!this.#carried) throw new Error("[accumulate] no block was pushed");
		return this.#carried;
	}

	#step(g: Graph, f: Blocks, s: Blocks, x: Blocks): Carried {
		const past: Blocks = { ...s, rows: addScaled(g, this.#alpha, f.rows, s.rows) };
		const present: Blocks = { ...x, rows: addScaled(g, this.#alpha, firstRows(g, f, x.lengths[0]), x.rows) };
		const window = joinBlocks(g, [past, present]);
		const projected: Blocks = { ...window, rows: this.#layer.queriesKeysValues(g, window.rows) };
		const first = blockAt(g, projected, 0);
		const attended = concatRows(g, [
			attend(g, this.#layer, first, null),
			attend(g, this.#layer, blockAt(g, projected, 1), keysValues(g, first.rows)),
		]);
		const output: Blocks = { ...window, rows: this.#layer.finish(g, window, attended) };
		return { f: blockAt(g, output, 0), s: blockAt(g, output, 1) };
	}
}

/** The clamped scalar; its gradient is zero outside [0, 1]. */
export function alphaOf(g: Graph, { alpha }: ModelConfig, table: ParameterTable): Tensor {
	if (alpha.learned) return clamp(g, table.get(g, "alpha"), 0, 1);
	return g.constant(new Float32Array([Math.min(1, Math.max(0, alpha.value))]), [1, 1]);
}

/** The first `count` rows of every sequence of a block: a ragged last block takes no more of f. */
function firstRows(g: Graph, block: Blocks, count: number): Tensor {
	const length = block.lengths[0];
	if (count === length) return block.rows;
	const take = new Int32Array(block.sequences * count);
	for (let i = 0; i < take.length; i++) take[i] = Math.floor(i / count) * length + (i % count);
	return gather(g, block.rows, g.constant(take, [take.length, 1]));
}
