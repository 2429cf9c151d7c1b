/** Ops on whole rows: a warp has a short row, a block a long one. Norms are in norms.ts. */
import type { Instruction } from "../../../program.ts";
import { halfOf, inFours, int, type LowerContext, type Lowering, matrix, operand } from "../lower-context.ts";
import type { Argument, Command, Launch } from "../lower-types.ts";
import { asItIs } from "./casts.ts";
import { fits, type HalfInputs, noHalves } from "./halves.ts";

/** Columns from which a row is worth a block. */
const longRow = 2048;

export function rowwise(
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
	...Object.fromEntries(
		["softmax", "correct"].map((name): [string, Lowering] => [
			name,
			(instruction, context) =>
				rowwise(name, [...instruction.inputs, ...instruction.outputs].map(matrix), instruction, 0, context),
		]),
	),
	crossEntropy: (instruction, context) => {
		const { inputs, outputs } = instruction;
		const commands: Command[] = [];
		const logits = asItIs(operand(inputs, 0), commands, instruction, context);
		const args = [logits, ...inputs.slice(1), ...outputs].map(matrix);
		args.push(int(Number(inFours(logits))));
		return [...commands, ...rowwise("crossEntropy", args, instruction, 0, context)];
	},
	crossEntropyGrad: (instruction, context) => {
		const { inputs, outputs } = instruction;
		const commands: Command[] = [];
		const logits = asItIs(operand(inputs, 0), commands, instruction, context);
		const dlogits = operand(outputs, 0);
		const args = [logits, ...inputs.slice(1), dlogits].map(matrix);
		args.push(...halfOf(dlogits, context), int(Number(inFours(logits) && inFours(dlogits))));
		return [...commands, ...rowwise("crossEntropyGrad", args, instruction, 0, context)];
	},
};

/** As halves if nothing needs them in single precision: a matrix of the size of the vocabulary is what takes time to write and read. */
export function logitsAsHalf({ op, inputs }: Instruction): HalfInputs {
	const known = op.name === "crossEntropy" || op.name === "crossEntropyGrad";
	return known && fits(operand(inputs, 0)) ? { always: [], alone: [0] } : noHalves;
}
