/**
 * Reverse-mode differentiation, graph to graph. Gradients of slices are kept as pieces and joined again by a
 * concatenation, so that a value consumed piece by piece (the blocks of a sequence) costs no additions and, once planned, no copies.
 */
import type { Graph, Node, Tensor } from "./graph.ts";
import { add, broadcast, concatColumns, concatRows, sliceColumns, sliceRows, sum } from "./ops/index.ts";

type Axis = "rows" | "columns";

/** One summand of a gradient: of the whole tensor, or of the rows or columns [start, end). */
interface Piece {
	axis: Axis | null;
	start: number;
	end: number;
	gradient: Tensor;
}

/**
 * Terms of the gradient of a scalar with respect to leaves. The gradient to a leaf is the sum of its terms; they are left
 * apart because a parameter that a recurrence uses at every step has one term per step, and passes/sum-weight-gradients.ts
 * computes them in one product.
 *
 * @param loss 1 x 1
 * @param leaves the tensors to differentiate to; slices of a leaf count as the leaf
 * @returns for each leaf its terms, each of the leaf's shape; none where the loss does not depend on it
 */
export function gradientTerms(graph: Graph, loss: Tensor, leaves: readonly Tensor[]): Map<Tensor, Tensor[]> {
	if (loss.shape[0] !== 1 || loss.shape[1] !== 1) {
		throw new Error(`[gradient] expected a 1 x 1 loss, got ${loss.shape.join(" x ")}`);
	}
	const forward = graph.nodes.slice();
	const needed = dependents(forward, leaves);
	const pieces = new Map<Tensor, Piece[]>();
	const wanted = new Set(leaves);
	const one = graph.constant(new Float32Array([1]), [1, 1]);
	if (needed.has(loss)) pieces.set(loss, [{ axis: null, start: 0, end: 1, gradient: one }]);

	const callerScope = graph.scope;
	for (let i = forward.length - 1; i >= 0; i--) {
		const node = forward[i];
		if (!node.outputs.some((output) => pieces.has(output))) continue;
		if (!node.inputs.some((input) => input !== null && needed.has(input))) continue;
		graph.scope = node.scope;
		const dOutputs = node.outputs.map((output) => {
			const list = pieces.get(output);
			pieces.delete(output);
			return list ? join(graph, output, list) : null;
		});
		for (const [input, piece] of inputPieces(graph, node, dOutputs, needed)) {
			const list = pieces.get(input);
			if (list) list.push(piece);
			else pieces.set(input, [piece]);
		}
	}

	const terms = new Map<Tensor, Tensor[]>();
	for (const leaf of wanted) {
		const list = pieces.get(leaf) ?? [];
		const sliced = list.filter((piece) => piece.axis !== null);
		const whole = list.filter((piece) => piece.axis === null).map((piece) => piece.gradient);
		if (sliced.length > 0) whole.push(join(graph, leaf, sliced));
		terms.set(leaf, whole);
	}
	graph.scope = callerScope;
	return terms;
}

/** Every tensor whose value depends on one of the leaves, the leaves included. */
function dependents(nodes: readonly Node[], leaves: readonly Tensor[]): Set<Tensor> {
	const found = new Set(leaves);
	for (const node of nodes) {
		if (node.inputs.some((input) => input !== null && found.has(input))) {
			for (const output of node.outputs) if (output.dtype === "f32") found.add(output);
		}
	}
	return found;
}

/** What one node passes on to its inputs. */
function inputPieces(graph: Graph, node: Node, dOutputs: (Tensor | null)[], needed: Set<Tensor>): [Tensor, Piece][] {
	const d = dOutputs[0];
	const view = node.op.view;
	if (view !== undefined && d !== null) {
		if (view === "rows" || view === "columns") {
			const { start, end } = node.attributes;
			return [[node.inputs[0] as Tensor, { axis: view, start, end, gradient: d }]];
		}
		return concatenationPieces(graph, node, d, needed, view === "concatRows" ? "rows" : "columns");
	}
	if (!node.op.gradient) throw new Error(`[gradient] op ${node.op.name} has no gradient`);
	const wants = (index: number) => {
		const input = node.inputs[index];
		return input !== null && input !== undefined && needed.has(input);
	};
	const gradients = node.op.gradient({ graph, node, dOutputs, wants });
	const result: [Tensor, Piece][] = [];
	gradients.forEach((gradient, index) => {
		const input = node.inputs[index];
		if (gradient !== null && input && wants(index)) {
			result.push([input, { axis: null, start: 0, end: 0, gradient }]);
		}
	});
	return result;
}

function concatenationPieces(graph: Graph, node: Node, d: Tensor, needed: Set<Tensor>, axis: Axis): [Tensor, Piece][] {
	const result: [Tensor, Piece][] = [];
	let start = 0;
	for (const input of node.inputs) {
		if (!input) continue;
		const end = start + input.shape[axis === "rows" ? 0 : 1];
		if (needed.has(input)) {
			const gradient = slice(graph, d, axis, start, end);
			result.push([input, { axis: null, start: 0, end: 0, gradient }]);
		}
		start = end;
	}
	return result;
}

/** The sum of all pieces of the gradient to `tensor`, as one tensor of its shape. */
function join(graph: Graph, tensor: Tensor, list: Piece[]): Tensor {
	const whole = list.filter(({ axis }) => axis === null).map(({ gradient }) => gradient);
	let result = whole.length > 0 ? total(graph, whole) : null;
	for (const axis of ["rows", "columns"] as const) {
		for (const layer of layers(list.filter((piece) => piece.axis === axis))) {
			result = lay(graph, tensor, axis, layer, result);
		}
	}
	return result as Tensor;
}

/** The sum of tensors of one shape. Many scalars (one for each step of a recurrence) are one sum, not a chain of additions. */
function total(graph: Graph, terms: readonly Tensor[]): Tensor {
	const [rows, cols] = terms[0].shape;
	if (rows * cols === 1 && terms.length > 2) return sum(graph, concatRows(graph, [...terms]));
	return terms.reduce((before, term) => add(graph, before, term));
}

/** Partition pieces into layers of pairwise disjoint ranges; equal ranges are kept together. */
function layers(list: Piece[]): Piece[][] {
	const sorted = list.slice().sort((a, b) => a.start - b.start || a.end - b.end);
	const result: Piece[][] = [];
	for (const piece of sorted) {
		const fits = (layer: Piece[]) => {
			const last = layer[layer.length - 1];
			return piece.start >= last.end || (piece.start === last.start && piece.end === last.end);
		};
		const layer = result.find(fits);
		if (layer) layer.push(piece);
		else result.push([piece]);
	}
	return result;
}

/**
 * Concatenate a layer of pieces along `axis`, adding what `base` holds; gaps are taken from `base`, or are zero. Pieces without gaps are
 * added at once: whoever made `base` may do that as it goes.
 */
function lay(graph: Graph, tensor: Tensor, axis: Axis, layer: Piece[], base: Tensor | null): Tensor {
	const size = tensor.shape[axis === "rows" ? 0 : 1];
	if (base && covers(layer, size)) return add(graph, base, lay(graph, tensor, axis, layer, null));
	const parts: Tensor[] = [];
	let position = 0;
	const gap = (end: number) => {
		if (position < end)
			parts.push(base ? slice(graph, base, axis, position, end) : zeros(graph, tensor, axis, end - position));
		position = end;
	};
	for (let i = 0; i < layer.length; ) {
		const { start, end } = layer[i];
		gap(start);
		let part = layer[i++].gradient;
		while (i < layer.length && layer[i].start === start) part = add(graph, part, layer[i++].gradient);
		if (base) part = add(graph, slice(graph, base, axis, start, end), part);
		parts.push(part);
		position = end;
	}
	gap(size);
	if (parts.length === 1) return parts[0];
	return axis === "rows" ? concatRows(graph, parts) : concatColumns(graph, parts);
}

/** Are there pieces of everything up to `size`? In order of their starts, apart or equal. */
function covers(layer: readonly Piece[], size: number): boolean {
	let end = 0;
	for (const piece of layer) {
		if (piece.start > end) return false;
		end = piece.end;
	}
	return end === size;
}

function slice(graph: Graph, tensor: Tensor, axis: Axis, start: number, end: number): Tensor {
	if (start === 0 && end === tensor.shape[axis === "rows" ? 0 : 1]) return tensor;
	return axis === "rows" ? sliceRows(graph, tensor, start, end) : sliceColumns(graph, tensor, start, end);
}

function zeros(graph: Graph, like: Tensor, axis: Axis, length: number): Tensor {
	const zero = graph.constant(new Float32Array([0]), [1, 1]);
	return broadcast(graph, zero, axis === "rows" ? [length, like.shape[1]] : [like.shape[0], length]);
}
