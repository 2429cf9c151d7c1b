/**
 * The graphs of streaming. Per token only the new row goes through each layer, against cached keys and values; whole blocks
 * go through at once. All are update programs: threads share each product.
 *
 * The state of a layer between blocks is what paper.md carries: s (w, C), and f (w, C) where it accumulates. Inside a block the
 * caches below hold what a row attends to. With i the index in the block, alpha = 0 and no f for forget:
 *
 *     b_i = alpha f_prev[i] + x_i        s_i = T-row(b_i | keys of a_prev, keys of b_0..b_i)
 *     a_i = alpha f[i] + s_i             y_i = f_next[i] = T-row(a_i | keys of a_0..a_i)
 */
import { Graph, type Tensor } from "../engine/graph.ts";
import { addScaled, decodeAttention, gather, sliceColumns, sliceRows, writeRows } from "../engine/ops/index.ts";
import { fuseEpilogues } from "../engine/passes/fuse-epilogues.ts";
import { type Layout, plan } from "../engine/plan.ts";
import type { Program } from "../engine/program.ts";
import { AccumulateScan, alphaOf } from "../models/accumulate-scan.ts";
import { embed, head } from "../models/embedding.ts";
import { ForgetScan } from "../models/forget-scan.ts";
import { type ModelConfig, minGruLayer, stateWidth } from "../models/index.ts";
import { keysValues } from "../nn/attend.ts";
import { type Blocks, joinBlocks } from "../nn/blocks.ts";
import { Layer } from "../nn/layer.ts";
import { type ParameterSpec, ParameterTable } from "../nn/parameters.ts";

/** What a stream needs of a model; `window` is the sequence length itself for a plain transformer. */
export interface StreamShape {
	readonly config: ModelConfig;
	readonly parameters: readonly ParameterSpec[];
	readonly window: number;
}

/** Caches of one layer, in the state space. */
interface LayerState {
	/** (2w, 2C): keys and values of the previous block's a, then of this block's b. In the first block b stands at the start. */
	chain: Tensor;
	/** (w, 2C): keys and values of this block's a. */
	read: Tensor;
	/** (w, C): rows s of this block. */
	s: Tensor;
	/** (w, C) each, accumulate only: f_prev, f, f_next. */
	f: Tensor[];
}

function declareState(g: Graph, { config, window }: StreamShape): LayerState[] {
	const { width } = config;
	const rows = (name: string, count: number, columns: number) => g.state(name, [count, columns]);
	return Array.from({ length: config.layers }, (_, l) => ({
		chain: rows(`${l}.chain`, config.kind === "transformer" ? window : 2 * window, 2 * width),
		read: rows(`${l}.read`, config.kind === "transformer" ? 1 : window, 2 * width),
		s: rows(`${l}.s`, config.kind === "transformer" ? 1 : window, width),
		f: accumulates(config) ? ["f.prev", "f", "f.next"].map((name) => rows(`${l}.${name}`, window, width)) : [],
	}));
}

function accumulates(config: ModelConfig): boolean {
	return config.kind === "recurrent" && config.variant === "accumulate";
}

interface Context {
	g: Graph;
	shape: StreamShape;
	table: ParameterTable;
	layers: Layer[];
	states: LayerState[];
	alpha: Tensor | null;
}

function open(shape: StreamShape): Context {
	const g = new Graph();
	const { config } = shape;
	const table = new ParameterTable(shape.parameters);
	const layers = Array.from({ length: config.layers }, (_, index) => new Layer(index, config, table, false));
	const states = declareState(g, shape);
	return { g, shape, table, layers, states, alpha: accumulates(config) ? alphaOf(g, config, table) : null };
}

function close({ g }: Context, layout: Layout, outputs: Map<string, Tensor>): Program {
	fuseEpilogues(g, new Set(outputs.values()));
	return plan(g, { kind: "update", layout, outputs });
}

/**
 * One token. Inputs, each 1 x 1 of i32: `id`; `position` (row of the position table); `index` (i, in the block) and `seen` (i + 1);
 * `slot` (row of the chain cache: i in the first block, w + i later) and `attended` (slot + 1). Output `logits`, 1 x V.
 */
export function rowProgram(shape: StreamShape, first: boolean, layout: Layout): Program {
	const context = open(shape);
	const { g, table } = context;
	const id = g.input("id", [1, 1], "i32");
	let x = embedAt(context, id, g.input("position", [1, 1], "i32"));
	for (let l = 0; l < shape.config.layers; l++) x = rowThroughLayer(context, l, x, first);
	return close(context, layout, new Map([["logits", head(g, shape.config, table, x)]]));
}

function rowThroughLayer(context: Context, l: number, x: Tensor, first: boolean): Tensor {
	const { g, shape, alpha } = context;
	const layer = context.layers[l];
	const { chain, read, s, f } = context.states[l];
	const index = g.input("index", [1, 1], "i32");
	const seen = g.input("seen", [1, 1], "i32");
	const slot = g.input("slot", [1, 1], "i32");
	const attended = g.input("attended", [1, 1], "i32");
	const row = (rows: Tensor): Blocks => ({ rows, lengths: [1], sequences: 1 });
	const through = (rows: Tensor, cache: Tensor, at: Tensor, length: Tensor) => {
		const projected = layer.queriesKeysValues(g, rows);
		const filled = writeRows(g, keysValues(g, projected), cache, at);
		const seenRows = decodeAttention(g, sliceColumns(g, projected, 0, shape.config.width), filled, length, {
			heads: shape.config.heads,
		});
		return layer.finish(g, row(rows), seenRows);
	};
	if (shape.config.kind === "transformer") return through(x, chain, slot, attended);
	const b = alpha && !first ? addScaled(g, alpha, gather(g, f[0], index), x) : x;
	const state = through(b, chain, slot, attended);
	writeRows(g, state, s, index);
	let a = state;
	if (alpha) {
		const current = first ? x : gather(g, f[1], index);
		if (first) writeRows(g, x, f[1], index);
		a = addScaled(g, alpha, current, state);
	}
	const y = through(a, read, index, seen);
	if (alpha) writeRows(g, y, f[2], index);
	return y;
}

function embedAt({ g, shape, table }: Context, id: Tensor, position: Tensor): Tensor {
	return embed(g, shape.config, table, id, position);
}

/** After the last row of a block: what was this block's becomes the previous one's. */
export function turnProgram(shape: StreamShape, layout: Layout): Program {
	const context = open(shape);
	const { g } = context;
	for (const { chain, read, f } of context.states) {
		overwrite(g, read, sliceRows(g, chain, 0, shape.window));
		if (f.length > 0) {
			overwrite(g, f[1], f[0]);
			overwrite(g, f[2], f[1]);
		}
	}
	return close(context, layout, new Map());
}

/** Copy into a part of the state. */
function overwrite(g: Graph, from: Tensor, to: Tensor): void {
	const rows = Int32Array.from({ length: from.shape[0] }, (_, i) => i);
	// One stream of `rows` rows is `rows` streams of one row, each written at position 0.
	writeRows(g, from, to, g.constant(rows.fill(0), [rows.length, 1]));
}

/** Inputs of a boundary: `l.s` and, where it accumulates, `l.f` (w, D) for every layer l. */
function boundary({ g, shape }: Context): { f: Tensor | null; s: Tensor }[] {
	const { config, window } = shape;
	const input = (name: string) => g.input(name, [window, stateWidth(config)], "f32");
	return Array.from({ length: config.layers }, (_, l) => ({
		s: input(`${l}.s`),
		f: accumulates(config) ? input(`${l}.f`) : null,
	}));
}

/** Fill the caches from a boundary, so that rows of the next block can follow. */
export function restoreProgram(shape: StreamShape, layout: Layout): Program {
	const context = open(shape);
	const { g, alpha, layers, states } = context;
	boundary(context).forEach(({ f, s }, l) => {
		const a = alpha && f ? addScaled(g, alpha, f, s) : s;
		const projected = layers[l].queriesKeysValues(g, a);
		overwrite(g, keysValues(g, projected), sliceRows(g, states[l].chain, 0, shape.window));
		if (!alpha || !f) return;
		overwrite(g, f, states[l].f[0]);
		const next = new AccumulateScan(layers[l], alpha, { f: block(shape, f), s: block(shape, s) });
		overwrite(g, next.nextOutput(g), states[l].f[1]);
	});
	return close(context, layout, new Map());
}

function block({ window }: StreamShape, rows: Tensor): Blocks {
	return { rows, lengths: [window], sequences: 1 };
}

/**
 * `count` whole blocks at once. Inputs `ids` (count w, 1), `positions` likewise, and a boundary unless `first`. Outputs `logits` (count w, V) and the new boundary.
 */
export function blocksProgram(shape: StreamShape, count: number, first: boolean, layout: Layout): Program {
	const context = open(shape);
	const { g, table } = context;
	const { config } = shape;
	const rows = count * shape.window;
	const x = embedAt(context, g.input("ids", [rows, 1], "i32"), g.input("positions", [rows, 1], "i32"));
	let blocks: Blocks = { rows: x, lengths: new Array<number>(count).fill(shape.window), sequences: 1 };
	const before = first ? null : boundary(context);
	const outputs = new Map<string, Tensor>();
	for (let l = 0; l < config.layers; l++) {
		if (config.kind === "mingru") {
			blocks = { rows: blocks.rows, lengths: [rows], sequences: 1 };
			const { rows: through, states } = minGruLayer(g, context.layers[l], blocks, before?.[l].s ?? null);
			outputs.set(`${l}.s`, sliceRows(g, states, rows - 1, rows));
			blocks = { ...blocks, rows: through };
			continue;
		}
		const scan = scanOf(context, l, before?.[l] ?? null);
		const pushed = scan.push(g, blocks);
		outputs.set(`${l}.s`, scan.boundary().s);
		if (scan instanceof AccumulateScan) {
			outputs.set(`${l}.f`, scan.boundary().f);
			// Blocks pushed give the outputs up to the one before; the last block's output does not need what follows either.
			const known = pushed && !first ? joinedTail(g, pushed) : pushed;
			const last = block(shape, scan.nextOutput(g));
			blocks = known ? joinBlocks(g, [known, last]) : last;
		} else {
			blocks = pushed as Blocks;
		}
	}
	outputs.set("logits", head(g, config, table, blocks.rows));
	return close(context, layout, outputs);
}

/** Outputs without the first block, which belongs to the boundary's block. */
function joinedTail(g: Graph, blocks: Blocks): Blocks | null {
	const count = blocks.lengths.length;
	if (count === 1) return null;
	const skip = blocks.lengths[0] * blocks.sequences;
	return {
		rows: sliceRows(g, blocks.rows, skip, blocks.rows.shape[0]),
		lengths: blocks.lengths.slice(1),
		sequences: blocks.sequences,
	};
}

/**
 * The end of a sequence: the last block (of `rows` rows) read out as paper.md's y_K = T(s_K). Inputs as blocksProgram's. Output `logits` (rows, V).
 */
export function finalProgram(shape: StreamShape, rows: number, first: boolean, layout: Layout): Program {
	const context = open(shape);
	const { g } = context;
	const x = embedAt(context, g.input("ids", [rows, 1], "i32"), g.input("positions", [rows, 1], "i32"));
	let blocks: Blocks = { rows: x, lengths: [rows], sequences: 1 };
	const before = first ? null : boundary(context);
	for (let l = 0; l < shape.config.layers; l++) {
		const scan = scanOf(context, l, before?.[l] ?? null);
		const pushed = scan.push(g, blocks);
		blocks = scan.finish(g) ?? (pushed as Blocks);
	}
	return close(context, layout, new Map([["logits", head(g, shape.config, context.table, blocks.rows)]]));
}

function scanOf(
	{ g, shape, layers, alpha }: Context,
	l: number,
	before: { f: Tensor | null; s: Tensor } | null,
): ForgetScan | AccumulateScan {
	const layer = layers[l];
	if (!alpha) return new ForgetScan(layer, 0, before && keysValues(g, layer.queriesKeysValues(g, before.s)));
	return new AccumulateScan(layer, alpha, before?.f ? { f: block(shape, before.f), s: block(shape, before.s) } : null);
}
