/** A tiny evaluator of graphs in double precision: every node through its op's reference, no plan, no program. */
import type { Graph, Tensor } from "../../src/engine/graph.ts";
import type { Matrix } from "../../src/engine/op.ts";

export type Values = Float64Array | Int32Array;

/** What random ops draw from. */
export const draw = { part: 0, parts: 1, seed: 0x1234567890abcdefn, step: 17, firstSequence: 2 };

/**
 * Run all nodes of `graph`.
 *
 * @param leaves values of the leaves that are not constants, row-major
 * @returns the value of any tensor, row-major
 */
export function evaluate(graph: Graph, leaves: ReadonlyMap<Tensor, Values>): (tensor: Tensor) => Values {
	const matrices = new Map<Tensor, Matrix>();
	const matrixOf = (tensor: Tensor): Matrix => {
		const known = matrices.get(tensor);
		if (known) return known;
		const matrix = matrixFrom(tensor, leaves.get(tensor)?.slice() ?? constantOf(tensor));
		matrices.set(tensor, matrix);
		return matrix;
	};
	for (const { op, inputs, attributes, outputs } of graph.nodes) {
		const from = inputs.map((input) => input && matrixOf(input));
		for (const [input, output] of op.updates ?? []) matrices.set(outputs[output], from[input] as Matrix);
		const to: (Matrix | null)[] = op.outputs.map(() => null);
		outputs.forEach((output, index) => {
			const words = output.shape[0] * output.shape[1];
			const fresh = output.dtype === "i32" ? new Int32Array(words) : new Float64Array(words);
			to[index] = matrices.get(output) ?? matrixFrom(output, fresh);
			matrices.set(output, to[index] as Matrix);
		});
		op.reference({ ...draw, inputs: from, outputs: to, attributes });
	}
	return (tensor) => matrixOf(tensor).data as Values;
}

function matrixFrom({ shape: [rows, cols] }: Tensor, data: Values): Matrix {
	return { data, offset: 0, rows, cols, ld: cols };
}

function constantOf({ source }: Tensor): Values {
	if (source.kind !== "constant")
		throw new Error(`[evaluate] expected a value for the leaf of kind ${source.kind}, got none`);
	return source.data instanceof Int32Array ? source.data : Float64Array.from(source.data);
}
