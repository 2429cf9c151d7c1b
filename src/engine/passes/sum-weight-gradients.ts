/**
 * A weight used at every step of a recurrence has one gradient term per step, each a sum over the few rows of that
 * step. Terms of one kind are joined: their rows are laid one under the other and summed in one product.
 *
 * With A_k, B_k the rows of step k: sum_k A_k^T B_k = [A_1; ..; A_K]^T [B_1; ..; B_K]. The same holds for every op
 * that sums over the rows of its inputs (`rowReduction`). Terms of different recomputation segments stay apart.
 */
import type { Graph, Node, Tensor } from "../graph.ts";
import { concatRows, sliceRows } from "../ops/index.ts";

/** @returns the terms per leaf, fewer than before; the replaced nodes stay in the graph, unused */
export function sumWeightGradients(graph: Graph, terms: ReadonlyMap<Tensor, Tensor[]>): Map<Tensor, Tensor[]> {
	const position = new Map(graph.nodes.map((node, index) => [node, index]));
	const inserted = new Map<number, Node[]>();
	const joins = new Map<string, Tensor>();
	const result = new Map<Tensor, Tensor[]>();

	for (const [leaf, list] of terms) {
		const groups = new Map<string | Tensor, Node[]>();
		for (const term of list) {
			const node = reduction(term);
			const key = node ? kindOf(node) : term;
			const group = groups.get(key);
			if (group && node) group.push(node);
			else groups.set(key, node ? [node] : []);
		}
		const summed: Tensor[] = [];
		for (const [key, group] of groups) {
			if (group.length < 2) {
				summed.push(typeof key === "string" ? group[0].outputs[0] : key);
				continue;
			}
			// Backward runs from the last step to the first; rows are laid in forward order.
			group.sort((a, b) => (position.get(b) as number) - (position.get(a) as number));
			const last = Math.max(...group.map((node) => position.get(node) as number));
			const before = graph.nodes.length;
			graph.scope = group[0].scope;
			summed.push(sumOf(graph, group, joins, last));
			const created = graph.nodes.splice(before);
			inserted.set(last, [...(inserted.get(last) ?? []), ...created]);
		}
		result.set(leaf, summed);
	}

	const nodes = graph.nodes.splice(0);
	nodes.forEach((node, index) => graph.nodes.push(node, ...(inserted.get(index) ?? [])));
	return result;
}

/** The node of a term that sums over rows, or null when it is something else. */
function reduction(term: Tensor): Node | null {
	if (term.source.kind !== "intermediate") return null;
	const { node } = term.source;
	const { op, attributes } = node;
	if (!op.rowReduction || node.outputs.length !== 1 || attributes.accumulate) return null;
	const product = op.name === "matmul";
	if (product && !(attributes.transposeA && !attributes.transposeB && attributes.batch === 1)) return null;
	return node;
}

/** Terms with the same key may be summed in one call. */
function kindOf({ op, inputs, attributes, scope }: Node): string {
	const operands = inputs.map((input, index) => {
		if (!input) return "-";
		return op.rowReduction?.includes(index) ? `rows x ${input.shape[1]} ${input.dtype}` : `#${input.id}`;
	});
	return [op.name, scope.segment, JSON.stringify(attributes), ...operands].join("|");
}

function sumOf(graph: Graph, group: Node[], joins: Map<string, Tensor>, last: number): Tensor {
	const { op, inputs, attributes } = group[0];
	const joined = inputs.map((input, index) => {
		if (!input || !op.rowReduction?.includes(index)) return input;
		return joinRows(
			graph,
			group.map((node) => node.inputs[index] as Tensor),
			joins,
			last,
		);
	});
	return graph.apply(op, joined, attributes)[0];
}

/** The rows of all `parts`, one under the other; neighbouring slices of one value are one slice again. */
function joinRows(graph: Graph, parts: Tensor[], joins: Map<string, Tensor>, last: number): Tensor {
	const key = `${last}:${parts.map((part) => part.id).join(",")}`;
	const known = joins.get(key);
	if (known) return known;
	const joined = neighbours(graph, parts) ?? concatRows(graph, parts);
	joins.set(key, joined);
	return joined;
}

function neighbours(graph: Graph, parts: Tensor[]): Tensor | null {
	const slices = parts.map(({ source }) =>
		source.kind === "intermediate" && source.node.op.view === "rows" ? source.node : null,
	);
	const first = slices[0];
	if (!first) return null;
	const whole = first.inputs[0] as Tensor;
	let end = first.attributes.start;
	for (const node of slices) {
		if (!node || node.inputs[0] !== whole || node.attributes.start !== end) return null;
		end = node.attributes.end;
	}
	return sliceRows(graph, whole, first.attributes.start, end);
}
