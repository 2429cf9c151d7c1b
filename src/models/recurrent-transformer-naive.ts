/**
 * The recurrent transformer as the equations of paper.md stand: every window is concatenated along the sequence and goes
 * through the whole layer. This is the specification; recurrent-transformer.ts is tested against it. Slow on purpose.
 */
import type { Graph, Tensor } from "../engine/graph.ts";
import { addScaled, concatRows, dropout, gather } from "../engine/ops/index.ts";
import { wholeLayer } from "../nn/attend.ts";
import { type Blocks, blockLengths, blockOrder } from "../nn/blocks.ts";
import { Layer } from "../nn/layer.ts";
import type { ParameterTable } from "../nn/parameters.ts";
import { alphaOf } from "./accumulate-scan.ts";
import { embed, head, takeRows } from "./embedding.ts";
import { type ForwardShape, type LogitsPiece, type ModelConfig, outputRows } from "./model.ts";

/** A block of B sequences: rows (B length, C), sequence after sequence. */
interface Block {
	rows: Tensor;
	length: number;
}

export function naiveForward(
	g: Graph,
	config: ModelConfig,
	table: ParameterTable,
	ids: Tensor,
	shape: ForwardShape,
): LogitsPiece[] {
	const { sequences, length, window, train } = shape;
	const lengths = blockLengths(length, window);
	let blocks = lengths.map((size, k) => {
		const { positions, rows } = blockOrder(lengths, k, k + 1, sequences);
		const blockIds = gather(g, ids, g.constant(rows, [rows.length, 1]));
		const places = config.positions === "window" ? positions.map((position) => position % window) : positions;
		const embedded = embed(g, config, table, blockIds, g.constant(places, [places.length, 1]));
		return {
			rows: dropout(g, embedded, { p: train ? config.dropout : 0, rowsPerSequence: size, sequences }),
			length: size,
		};
	});
	const alpha = config.variant === "accumulate" ? alphaOf(g, config, table) : null;
	for (let index = 0; index < config.layers; index++) {
		const layer = new Layer(index, config, table, train);
		const T = (rows: Tensor, size: number) =>
			wholeLayer(g, layer, { rows, lengths: [size], sequences } satisfies Blocks);
		blocks = alpha ? accumulate(g, T, alpha, blocks, sequences) : forget(g, T, blocks, sequences);
	}
	return blocks.flatMap((block, k) => {
		const { take, rows } = outputRows(config, lengths, k, k + 1, sequences);
		return take.length > 0 ? [{ logits: head(g, config, table, takeRows(g, block.rows, take)), rows }] : [];
	});
}

type T = (rows: Tensor, length: number) => Tensor;

/** s_1 = T(x_1); (y_{k-1}, s_k) = T([s_{k-1} ; x_k]); y_K = T(s_K). */
function forget(g: Graph, T: T, x: Block[], sequences: number): Block[] {
	const y: Block[] = [];
	let s: Block = { rows: T(x[0].rows, x[0].length), length: x[0].length };
	for (const block of x.slice(1)) {
		const [first, second] = applyToWindow(g, T, s, block, sequences);
		y.push(first);
		s = second;
	}
	y.push({ rows: T(s.rows, s.length), length: s.length });
	return y;
}

/** f = x_1, s = T(x_1); (f, s) = T([alpha f + s ; alpha f + x_k]), y_{k-1} = f; y_K = T(s). */
function accumulate(g: Graph, T: T, alpha: Tensor, x: Block[], sequences: number): Block[] {
	const y: Block[] = [];
	let f = x[0];
	let s: Block = { rows: T(x[0].rows, x[0].length), length: x[0].length };
	for (const block of x.slice(1)) {
		const start = rowsOf(g, f, 0, block.length, sequences);
		const past = { rows: addScaled(g, alpha, f.rows, s.rows), length: s.length };
		const present = { rows: addScaled(g, alpha, start, block.rows), length: block.length };
		[f, s] = applyToWindow(g, T, past, present, sequences);
		y.push(f);
	}
	y.push({ rows: T(s.rows, s.length), length: s.length });
	return y;
}

/** Both halves of T([a ; b]), concatenated along each sequence. */
function applyToWindow(g: Graph, T: T, a: Block, b: Block, sequences: number): [Block, Block] {
	const length = a.length + b.length;
	const order = new Int32Array(sequences * length);
	for (let n = 0; n < sequences; n++) {
		for (let i = 0; i < length; i++) {
			order[n * length + i] = i < a.length ? n * a.length + i : sequences * a.length + n * b.length + (i - a.length);
		}
	}
	const window = gather(g, concatRows(g, [a.rows, b.rows]), g.constant(order, [order.length, 1]));
	const output: Block = { rows: T(window, length), length };
	return [
		{ rows: rowsOf(g, output, 0, a.length, sequences), length: a.length },
		{ rows: rowsOf(g, output, a.length, length, sequences), length: b.length },
	];
}

/** Rows [start, end) of every sequence of a block. */
function rowsOf(g: Graph, block: Block, start: number, end: number, sequences: number): Tensor {
	const count = end - start;
	const take = new Int32Array(sequences * count);
	for (let i = 0; i < take.length; i++) take[i] = Math.floor(i / count) * block.length + start + (i % count);
	return gather(g, block.rows, g.constant(take, [take.length, 1]));
}
