/**
 * Recomputation instead of storage: the values of a segment (a few windows of a recurrence) are dropped after the forward pass and
 * computed again, from what earlier segments left, just before the backward pass reaches the segment.
 */
import type { Graph, Node, Source, Tensor } from "../graph.ts";

/**
 * @param forwardEnd nodes before this index are the forward pass, those from it on the backward pass
 * The last segment is left alone: its backward pass follows at once.
 */
export function recompute(graph: Graph, forwardEnd: number): void {
	const forward = graph.nodes.slice(0, forwardEnd);
	const lastSegment = Math.max(...forward.map((node) => node.scope.segment));
	const producer = new Map<Tensor, Node>();
	for (const node of forward) {
		if (node.scope.segment < 0 || node.scope.segment === lastSegment) continue;
		for (const output of node.outputs) producer.set(output, node);
	}
	const order = new Map(forward.map((node, index) => [node, index]));
	const copies = new Map<Tensor, Tensor>();
	const backward = graph.nodes.splice(forwardEnd);
	for (const node of backward) {
		const missing = new Set<Node>();
		for (const input of node.inputs) if (input) collect(input, node.scope.segment, producer, copies, missing);
		const again = [...missing].sort((a, b) => (order.get(a) as number) - (order.get(b) as number));
		for (const original of again) graph.nodes.push(clone(graph, original, copies));
		node.inputs.forEach((input, index) => {
			if (input) node.inputs[index] = copyOf(input, node.scope.segment, producer, copies);
		});
		graph.nodes.push(node);
	}
}

/** Nodes of `segment` that must run again to have `tensor`. What other segments made is still there. */
function collect(
	tensor: Tensor,
	segment: number,
	producer: Map<Tensor, Node>,
	copies: Map<Tensor, Tensor>,
	missing: Set<Node>,
): void {
	const pending = [tensor];
	for (let next = pending.pop(); next; next = pending.pop()) {
		const node = producer.get(next);
		if (!node || node.scope.segment !== segment || copies.has(next) || missing.has(node)) continue;
		missing.add(node);
		for (const input of node.inputs) if (input) pending.push(input);
	}
}

function copyOf(tensor: Tensor, segment: number, producer: Map<Tensor, Node>, copies: Map<Tensor, Tensor>): Tensor {
	return producer.get(tensor)?.scope.segment === segment ? (copies.get(tensor) ?? tensor) : tensor;
}

function clone(graph: Graph, original: Node, copies: Map<Tensor, Tensor>): Node {
	const inputs = original.inputs.map((input) => input && (copies.get(input) ?? input));
	const outputs: Tensor[] = [];
	const node: Node = { ...original, inputs, outputs };
	original.outputs.forEach((output, index) => {
		const copy = graph.leaf(output.shape, output.dtype, { kind: "intermediate", node, index } as Source);
		outputs.push(copy);
		copies.set(output, copy);
	});
	return node;
}
