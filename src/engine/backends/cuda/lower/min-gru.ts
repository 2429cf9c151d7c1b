/** The scan of a minGRU and its gradient: a thread per sequence and column. */
import { int, type Lowering, matrix, operand } from "../lower-context.ts";

/** Columns of a block. */
const columns = 64;

const scan: Lowering = ({ op, inputs, outputs, attributes, label }) => {
	const [gate, optional] = op.name === "minGru" ? [0, 1] : [1, 3];
	const { cols } = operand(inputs, gate);
	const results = Array.from({ length: optional }, (_, i) => outputs[i] ?? null);
	const args = [...[...inputs, ...results].map(matrix), int(attributes.sequences)];
	const grid = [Math.ceil(cols / columns), attributes.sequences, 1] as const;
	return [{ kind: "kernel", file: "min_gru", kernel: op.name, grid, block: [columns, 1, 1], shared: 0, args, label }];
};

export const minGruLowerings: Readonly<Record<string, Lowering>> = { minGru: scan, minGruGrad: scan };
