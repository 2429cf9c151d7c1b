/**
 * Elementwise work on the result of a matrix product moves into the product's epilogue, where the tile is still in
 * cache: bias, activation (or the activation's slope, in a gradient), dropout, residual. The addition of a skip
 * connection's gradient moves into layerNormGrad likewise.
 */
import type { Graph, Node, Source, Tensor } from "../graph.ts";
import { activations } from "../ops/matmul.ts";

/** A product being extended: stages are taken in the order in which the kernel applies them. */
interface Fusion {
	inputs: (Tensor | null)[];
	attributes: Record<string, number>;
	output: Tensor;
	/** The value before the activation, when somebody else needs it. */
	z: Tensor | null;
	stage: number;
	replaced: Node[];
}

/** Stages of the epilogue, in the kernel's order. */
const stages = { product: 0, bias: 1, activation: 2, dropout: 3, residual: 4 } as const;

/** @param results tensors that must exist by themselves when the program has run */
export function fuseEpilogues(graph: Graph, results: ReadonlySet<Tensor>): void {
	const uses = new Map<Tensor, Node[]>();
	const position = new Map<Node, number>();
	graph.nodes.forEach((node, index) => {
		position.set(node, index);
		for (const input of new Set(node.inputs)) {
			if (!input) continue;
			const list = uses.get(input);
			if (list) list.push(node);
			else uses.set(input, [node]);
		}
	});
	const removed = new Set<Node>();
	const replacement = new Map<Node, Node>();
	for (const node of graph.nodes) {
		if (removed.has(node)) continue;
		if (node.op.name === "matmul" && !node.attributes.accumulate) {
			fuseProduct(node, uses, position, results, removed, replacement);
		} else if (node.op.name === "layerNormGrad" && !node.inputs[4]) {
			fuseResidual(node, uses, results, removed, replacement);
		}
	}
	const nodes = graph.nodes.splice(0);
	for (const node of nodes) {
		const fused = replacement.get(node);
		if (fused) graph.nodes.push(fused);
		else if (!removed.has(node)) graph.nodes.push(node);
	}
}

function fuseProduct(
	product: Node,
	uses: Map<Tensor, Node[]>,
	position: Map<Node, number>,
	results: ReadonlySet<Tensor>,
	removed: Set<Node>,
	replacement: Map<Node, Node>,
): void {
	const fusion: Fusion = {
		inputs: product.inputs.slice(),
		attributes: { ...product.attributes },
		output: product.outputs[0],
		z: null,
		stage: stages.product,
		replaced: [product],
	};
	for (;;) {
		const users = uses.get(fusion.output) ?? [];
		if (results.has(fusion.output) || users.length === 0) break;
		const [next, ...others] = users;
		if (removed.has(next) || replacement.has(next) || !extend(fusion, next, others, position)) break;
	}
	if (fusion.replaced.length === 1) return;
	const last = fusion.replaced[fusion.replaced.length - 1];
	const outputs = fusion.z ? [fusion.output, fusion.z] : [fusion.output];
	const node: Node = {
		op: product.op,
		inputs: fusion.inputs,
		attributes: fusion.attributes,
		outputs,
		scope: product.scope,
	};
	reassign(outputs, node);
	for (const old of fusion.replaced) removed.add(old);
	replacement.set(last, node);
	for (const input of fusion.inputs) {
		if (input) uses.set(input, [...(uses.get(input) ?? []).filter((user) => !fusion.replaced.includes(user)), node]);
	}
	position.set(node, position.get(last) as number);
}

/** Take `next` into the product if it is the next stage; false where it is not. */
function extend(fusion: Fusion, next: Node, others: Node[], position: Map<Node, number>): boolean {
	const { op, inputs, attributes } = next;
	const value = fusion.output;
	const alone = others.length === 0;
	const take = (stage: number) => {
		fusion.stage = stage;
		fusion.output = next.outputs[0];
		fusion.replaced.push(next);
		return true;
	};
	const slope = (activation: number) => {
		if (!alone || fusion.stage >= stages.activation) return false;
		const factor = inputs.find((input) => input !== value) ?? null;
		if (!factor) return false;
		fusion.inputs[3] = factor;
		fusion.attributes.activation = activation;
		return take(stages.activation);
	};
	switch (op.name) {
		case "addRow":
			if (!alone || fusion.stage >= stages.bias || inputs[0] !== value) return false;
			fusion.inputs[2] = inputs[1];
			return take(stages.bias);
		case "gelu":
		case "relu": {
			const later = others.every((node) => (position.get(node) as number) > (position.get(next) as number));
			if (fusion.stage >= stages.activation || !later) return false;
			if (!alone) fusion.z = value;
			fusion.attributes.activation = op.name === "gelu" ? activations.gelu : activations.relu;
			return take(stages.activation);
		}
		case "geluGrad":
			return inputs[1] === value && slope(activations.timesGeluSlope);
		case "reluGrad":
			return inputs[1] === value && slope(activations.timesPositive);
		case "mul":
			return slope(activations.timesFactor);
		case "dropout":
			if (!alone || fusion.stage >= stages.dropout) return false;
			Object.assign(fusion.attributes, attributes);
			return take(stages.dropout);
		case "add": {
			const other = inputs[0] === value ? inputs[1] : inputs[0];
			if (!alone || fusion.stage >= stages.residual || !other || other === value) return false;
			fusion.inputs[4] = other;
			return take(stages.residual);
		}
		default:
			return false;
	}
}

function fuseResidual(
	node: Node,
	uses: Map<Tensor, Node[]>,
	results: ReadonlySet<Tensor>,
	removed: Set<Node>,
	replacement: Map<Node, Node>,
): void {
	const value = node.outputs[0];
	const users = uses.get(value) ?? [];
	const [next] = users;
	if (users.length !== 1 || results.has(value) || next.op.name !== "add" || removed.has(next) || replacement.has(next))
		return;
	const other = next.inputs[0] === value ? next.inputs[1] : next.inputs[0];
	if (!other || other === value) return;
	const inputs = node.inputs.slice();
	inputs[4] = other;
	const fused: Node = { ...node, inputs, outputs: [next.outputs[0]] };
	reassign(fused.outputs, fused);
	removed.add(node);
	removed.add(next);
	replacement.set(next, fused);
}

/** The tensors keep their identity; only the node that makes them changes. */
function reassign(outputs: Tensor[], node: Node): void {
	outputs.forEach((output, index) => {
		(output as { source: Source }).source = { kind: "intermediate", node, index };
	});
}
