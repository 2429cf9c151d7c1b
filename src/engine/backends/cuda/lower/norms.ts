/**
 * Layer norm, rows in registers where they fit, after a product's dropout and residual sum where those stand before it. Its gradients are
 * in norm-grads.ts.
 */
import type { Instruction, Operand } from "../../../program.ts";
import {
	type Fusion,
	firstSequence,
	float,
	halfOf,
	inFours,
	int,
	job,
	type LowerContext,
	type Lowering,
	matrix,
	operand,
	pointer,
	sameOperand,
} from "../lower-context.ts";
import type { Argument, Command, Launch } from "../lower-types.ts";
import { groupOf } from "../order.ts";
import { bareProduct } from "./product.ts";
import { rowwise } from "./rows.ts";

/** Columns that a warp can hold. */
const most = 1024;

/** Can a warp hold rows of all of these? */
export function inRegisters(operands: readonly (Operand | null)[]): boolean {
	const held = (each: Operand) => inFours(each) && each.cols % 16 === 0 && each.cols <= most;
	return operands.every((each) => each === null || held(each));
}

/** A launch with a warp, or as many lanes of one as there is work for, for each row. */
export function warps(
	kernel: string,
	x: Operand,
	args: Argument[],
	label: string,
	{ multiprocessors }: LowerContext,
): Launch {
	const count = Math.ceil(x.rows / rowsOfWarp(x));
	const perBlock = count >= 8 * multiprocessors ? 4 : 1;
	const grid = [Math.ceil(count / perBlock), 1, 1] as const;
	return { kind: "kernel", ...moduleFor(x), kernel, grid, block: [32, perBlock, 1], shared: 0, args, label };
}

/** Rows as wide as those of x that a warp has at once: a lane takes 16 columns. */
export function rowsOfWarp({ cols }: Operand): number {
	return Math.max(1, 32 >> Math.ceil(Math.log2(cols / 16)));
}

/** The kernels for rows as wide as those of x. */
export function moduleFor(x: Operand): Pick<Launch, "file" | "defines"> {
	return { file: "norms", defines: { TURNS: Math.ceil(x.cols / 512), LANES: 32 / rowsOfWarp(x) } };
}

/** Arguments that tell the dropout of `of`; none where it is null. */
export function dropoutOf(of: Instruction | null): Argument[] {
	const { p = 0, dropoutId = 0, rowsPerSequence = 1, sequences = 1 } = of?.attributes ?? {};
	return [float(p), int(dropoutId), int(rowsPerSequence), int(sequences), job, firstSequence];
}

/** Of a norm, all but its input: weight, bias, results. */
export function normArguments({ inputs, outputs, attributes }: Instruction, context: LowerContext): Argument[] {
	const [, weight, bias] = inputs;
	const [y, stats] = outputs;
	const given = [pointer(weight), pointer(bias), matrix(y), ...halfOf(operand([y], 0), context)];
	return [...given, matrix(stats), float(attributes.eps)];
}

/** The norm, after dropout and residual of the product before it where that is given. */
function norm(instruction: Instruction, before: Instruction | null, context: LowerContext): Launch {
	const [x] = instruction.inputs;
	const args = [
		...[matrix(before && x), pointer(before?.inputs[2] ?? null), matrix(before?.inputs[4] ?? null), matrix(x)],
		...[...normArguments(instruction, context), ...dropoutOf(before)],
	];
	return warps("normRow", operand([x], 0), args, instruction.label, context);
}

const layerNorm: Lowering = (instruction, context) => {
	const [x, weight, bias] = instruction.inputs;
	const [y, stats] = instruction.outputs;
	if (inRegisters([x, weight, bias, y])) return [norm(instruction, null, context)];
	const args = [matrix(x), pointer(weight), pointer(bias), matrix(y), ...halfOf(operand([y], 0), context)];
	return rowwise("layerNorm", [...args, matrix(stats), float(instruction.attributes.eps)], instruction, 0, context);
};

/** A product with dropout and residual, and the norm of the result. */
const productThenNorm: Fusion = ([first, second], context) => {
	if (first.op.name !== "matmul" || second?.op.name !== "layerNorm") return null;
	const { activation, accumulate, p } = first.attributes;
	const [, , bias, factor, residual] = first.inputs;
	const [x, z] = first.outputs;
	if (!(p > 0) || activation !== 0 || accumulate || factor || z) return null;
	if (!sameOperand(x, second.inputs[0])) return null;
	if (!inRegisters([x, bias, residual, second.inputs[1], second.inputs[2], second.outputs[0]])) return null;
	const commands: Command[] = bareProduct(first, context);
	context.next();
	return [groupOf([first, second], [...commands, norm(second, first, context)])];
};

export const normLowerings: Readonly<Record<string, Lowering>> = { layerNorm };
export const normFusions: readonly Fusion[] = [productThenNorm];
