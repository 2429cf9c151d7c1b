/**
 * The forget recurrence of paper.md 1.1, in the order that does each thing once:
 *
 *     s_1 = T(x_1),   s_k = second half of T([s_{k-1} ; x_k]),   y_k = T(s_k)
 *
 * T is causal, so the second half needs of s_{k-1} only its keys and values, and y_k needs nothing of x_{k+1}. Hence
 * queries, keys and values of all x_k are one product before the chain; the chain runs over w rows a step; queries, keys and values of
 * s_k serve both the next step and the readout; and the readout of all blocks is one batch after the chain.
 */
import type { Graph, Tensor } from "../engine/graph.ts";
import { attend, keysValues } from "../nn/attend.ts";
import { type Blocks, blockAt, blockRange, equalRuns, joinBlocks } from "../nn/blocks.ts";
import type { Layer } from "../nn/layer.ts";
import type { Scan } from "./scan.ts";

export class ForgetScan implements Scan {
	readonly #layer: Layer;
	/** Keys and values of the last state, (B w, 2C); null before the first block. */
	#prefix: Tensor | null;
	/** Blocks still to come before the first that is read out. */
	#unread: number;
	#state: Tensor | null = null;

	constructor(layer: Layer, firstRead: number, prefix: Tensor | null = null) {
		this.#layer = layer;
		this.#unread = firstRead;
		this.#prefix = prefix;
	}

	/** The last state, (B w, C). */
	boundary(): { s: Tensor } {
		if (!this.#state) throw new Error("[forget] no block was pushed");
		return { s: this.#state };
	}

	push(g: Graph, blocks: Blocks): Blocks | null {
		const layer = this.#layer;
		const count = blocks.lengths.length;
		const inputs: Blocks = { ...blocks, rows: layer.queriesKeysValues(g, blocks.rows) };
		const states: Blocks[] = [];
		const projections: Blocks[] = [];
		for (let k = 0; k < count; k++) {
			const x = blockAt(g, blocks, k);
			const state = layer.finish(g, x, attend(g, layer, blockAt(g, inputs, k), this.#prefix));
			const projection = layer.queriesKeysValues(g, state);
			this.#prefix = keysValues(g, projection);
			this.#state = state;
			states.push({ ...x, rows: state });
			projections.push({ ...x, rows: projection });
		}
		const skip = Math.min(this.#unread, count);
		this.#unread -= skip;
		if (skip === count) return null;
		return this.#readOut(g, joinBlocks(g, states.slice(skip)), joinBlocks(g, projections.slice(skip)));
	}

	finish(): null {
		return null;
	}

	/** y_k = T(s_k) for all blocks, as one batch of windows (and one more for a ragged last block). */
	#readOut(g: Graph, states: Blocks, projections: Blocks): Blocks {
		const runs: Blocks[] = [];
		let start = 0;
		for (const run of equalRuns(g, states)) {
			const end = start + run.lengths.length;
			const attended = attend(g, this.#layer, blockRange(g, projections, start, end), null);
			runs.push({ ...run, rows: this.#layer.finish(g, run, attended) });
			start = end;
		}
		return joinBlocks(g, runs);
	}
}
