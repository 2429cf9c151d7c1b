/**
 * Layer norm and its gradient, rows in registers where they fit, and what is joined with them: a product's dropout and residual sum
 * before a norm, dropout behind its gradient.
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
import { asItIs } from "./casts.ts";
import { fits, type HalfInputs, noHalves } from "./halves.ts";
import { bareProduct } from "./product.ts";
import { rowwise } from "./rows.ts";

/** Columns that a warp can hold. */
const most = 1024;

function inRegisters(operands: readonly (Operand | null)[]): boolean {
	const held = (each: Operand) => inFours(each) && each.cols % 16 === 0 && each.cols <= most;
	return operands.every((each) => each === null || held(each));
}

function warps(kernel: string, x: Operand, args: Argument[], label: string, { multiprocessors }: LowerContext): Launch {
	const perBlock = x.rows >= 8 * multiprocessors ? 4 : 1;
	const grid = [Math.ceil(x.rows / perBlock), 1, 1] as const;
	return { kind: "kernel", file: "norms", kernel, grid, block: [32, perBlock, 1], shared: 0, args, label };
}

/** Arguments that tell the dropout of `of`; none where it is null. */
function dropoutOf(of: Instruction | null): Argument[] {
	const { p = 0, dropoutId = 0, rowsPerSequence = 1, sequences = 1 } = of?.attributes ?? {};
	return [float(p), int(dropoutId), int(rowsPerSequence), int(sequences), job, firstSequence];
}

/** The norm, after dropout and residual of the product before it where that is given. */
function norm(instruction: Instruction, before: Instruction | null, context: LowerContext): Launch {
	const [x, weight, bias] = instruction.inputs;
	const [y, stats] = instruction.outputs;
	const args = [
		...[matrix(before && x), pointer(before?.inputs[2] ?? null), matrix(before?.inputs[4] ?? null)],
		...[matrix(x), pointer(weight), pointer(bias), matrix(y), ...halfOf(operand([y], 0), context)],
		...[matrix(stats), float(instruction.attributes.eps), ...dropoutOf(before)],
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

/** Is the gradient one that a warp can hold? */
function gradInRegisters({ inputs: [dy, x, weight, , residual], outputs: [dx] }: Instruction): boolean {
	return inRegisters([dy, x, weight, residual, dx]);
}

/** What comes back from the products behind a norm: as bf16 where nothing else reads it. */
export function normsHalf(instruction: Instruction): HalfInputs {
	const { op, inputs } = instruction;
	const able = op.name === "layerNormWeightGrad" || (op.name === "layerNormGrad" && gradInRegisters(instruction));
	return able && fits(operand(inputs, 0)) ? { always: [], alone: [0] } : noHalves;
}

/** `commands`: to have gone before. */
function gradArguments(instruction: Instruction, commands: Command[], context: LowerContext): Argument[] {
	const { inputs, outputs } = instruction;
	const [, x, weight, stats, residual] = inputs;
	const dy = asItIs(operand(inputs, 0), commands, instruction, context);
	const given = [matrix(dy), matrix(x), pointer(weight), matrix(stats), matrix(residual)];
	return [...given, matrix(outputs[0]), ...halfOf(operand(outputs, 0), context)];
}

const layerNormGrad: Lowering = (instruction, context) => {
	const commands: Command[] = [];
	const args = gradArguments(instruction, commands, context);
	if (!gradInRegisters(instruction)) return rowwise("layerNormGrad", args, instruction, 1, context);
	const rest = [matrix(null), matrix(null), int(0), ...dropoutOf(null)];
	commands.push(warps("normRowGrad", operand(instruction.inputs, 1), [...args, ...rest], instruction.label, context));
	return commands;
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
	return [...commands, norm(second, first, context)];
};

/** A norm's gradient, and dropout of it. */
const gradThenDropout: Fusion = ([first, second], context) => {
	if (first.op.name !== "layerNormGrad" || second?.op.name !== "dropout") return null;
	const dropped = second.outputs[0];
	if (!sameOperand(first.outputs[0], second.inputs[0]) || sameOperand(first.outputs[0], dropped)) return null;
	if (!gradInRegisters(first) || !inRegisters([dropped])) return null;
	const commands: Command[] = [];
	const args = gradArguments(first, commands, context);
	context.next();
	args.push(matrix(dropped), ...halfOf(operand([dropped], 0), context), ...dropoutOf(second));
	commands.push(warps("normRowGrad", operand(first.inputs, 1), args, `${first.label}; ${second.label}`, context));
	return commands;
};

export const normLowerings: Readonly<Record<string, Lowering>> = { layerNorm, layerNormGrad };
export const normFusions: readonly Fusion[] = [productThenNorm, gradThenDropout];
