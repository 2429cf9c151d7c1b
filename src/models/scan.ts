/** One layer's recurrence: takes blocks in order, gives output blocks in the same order, possibly later. */
import type { Graph } from "../engine/graph.ts";
import type { Blocks } from "../nn/blocks.ts";

export interface Scan {
	/** Feed blocks; returns the output blocks that are known now (none: null). */
	push(g: Graph, blocks: Blocks): Blocks | null;
	/** No more blocks: the outputs still owed. */
	finish(g: Graph): Blocks | null;
}
