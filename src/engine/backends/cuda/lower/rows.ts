/** Ops on whole rows: a warp has a short row, a block a long one. */
import type { Instruction } from "../../../program.ts";
import { float, type LowerContext, type Lowering, matrix, operand, pointer } from "../lower-context.ts";
import type { Argument, Launch } from "../lower-types.ts";

/** Columns from which a row is worth a block. */
const longRow = 2048;

function rowwise(
	kernel: string,
	args: Argument[],
	{ inputs, label }: Instruction,
	index: number,
	context: LowerContext,
): Launch[] {
	const { rows, cols } = operand(inputs, index);
	const wide = cols >= longRow;
	const perBlock = wide ? 1 : rows >= 4 * context.multiprocessors ? 4 : 1;
	const blocks = Math.max(1, Math.min(Math.ceil(rows / perBlock), 64 * context.multiprocessors));
	const block = [wide ? 512 : 32, perBlock, 1] as const;
	return [{ kind: "kernel", file: "rows", kernel, grid: [blocks, 1, 1], block, shared: 0, args, label }];
}

export const rowLowerings: Readonly<Record<string, Lowering>> = {
	layerNorm: (instruction, context) => {
		const [x, weight, bias] = instruction.inputs;
		const [y, stats] = instruction.outputs;
		const args = [
			matrix(x),
			pointer(weight),
			pointer(bias),
			matrix(y),
			matrix(stats),
			float(instruction.attributes.eps),
		];
		return rowwise("layerNorm", args, instruction, 0, context);
	},
	layerNormGrad: (instruction, context) => {
		const [dy, x, weight, stats, residual] = instruction.inputs;
		const [dx] = instruction.outputs;
		const args = [matrix(dy), matrix(x), pointer(weight), matrix(stats), matrix(residual), matrix(dx)];
		return rowwise("layerNormGrad", args, instruction, 0, context);
	},
	...Object.fromEntries(
		["softmax", "crossEntropy", "crossEntropyGrad", "correct"].map((name): [string, Lowering] => [
			name,
			(instruction, context) =>
				rowwise(name, [...instruction.inputs, ...instruction.outputs].map(matrix), instruction, 0, context),
		]),
	),
};
