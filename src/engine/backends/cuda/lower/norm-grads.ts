/**
 * Layer norm's gradients. That to its input goes over the very rows whose sums those of weight and bias are: one launch gives it, with
 * dropout of it, and those sums over the rows of each block.
 */
import type { Instruction, Operand } from "../../../program.ts";
import {
	type Fusion,
	halfOf,
	int,
	type LowerContext,
	type Lowering,
	matrix,
	operand,
	pointer,
	sameOperand,
} from "../lower-context.ts";
import type { Argument, Command, Launch } from "../lower-types.ts";
import { type Group, groupOf } from "../order.ts";
import { asItIs } from "./casts.ts";
import { fits, type HalfInputs, meet, noHalves } from "./halves.ts";
import { dropoutOf, inRegisters, moduleFor, rowsOfWarp, warps } from "./norms.ts";
import { rowwise } from "./rows.ts";
import { sumOfParts } from "./sums.ts";

/** Warps of a block that go over rows and keep sums: what its registers allow on each multiprocessor. */
const mostWarps = 12;

/** Is the gradient one that a warp can hold? */
function gradInRegisters({ inputs: [dy, x, weight, , residual], outputs: [dx] }: Instruction): boolean {
	return inRegisters([dy, x, weight, residual, dx]);
}

/** What comes back from the products behind a norm: as halves where nothing else reads it. */
export function normsHalf(instruction: Instruction): HalfInputs {
	const { op, inputs } = instruction;
	const able = op.name === "layerNormWeightGrad" || (op.name === "layerNormGrad" && gradInRegisters(instruction));
	return able && fits(operand(inputs, 0)) ? { always: [], alone: [0] } : noHalves;
}

/** Arguments up to the dropout; `commands`: to have gone before; `replaced`: dropout puts its result in the place of the gradient. */
function gradArguments(
	instruction: Instruction,
	commands: Command[],
	context: LowerContext,
	replaced = false,
): Argument[] {
	const { inputs, outputs } = instruction;
	const [, x, weight, stats, residual] = inputs;
	const dy = asItIs(operand(inputs, 0), commands, instruction, context);
	const given = [matrix(dy), matrix(x), pointer(weight), matrix(stats), matrix(residual)];
	const copies = replaced ? [matrix(null), int(1)] : halfOf(operand(outputs, 0), context);
	return [...given, matrix(outputs[0]), ...copies];
}

function dropArguments(dropout: Instruction | null, context: LowerContext): Argument[] {
	const dropped = dropout && operand(dropout.outputs, 0);
	const results = dropped ? [matrix(dropped), ...halfOf(dropped, context)] : [matrix(null), matrix(null), int(0)];
	return [...results, ...dropoutOf(dropout)];
}

const layerNormGrad: Lowering = (instruction, context) => {
	const commands: Command[] = [];
	const args = gradArguments(instruction, commands, context);
	if (!gradInRegisters(instruction)) return rowwise("layerNormGrad", args, instruction, 1, context);
	args.push(...dropArguments(null, context));
	commands.push(warps("normRowGrad", operand(instruction.inputs, 1), args, instruction.label, context));
	return commands;
};

/** What one launch can do: the gradient to a norm's input, and at least one of the others. */
interface Joined {
	readonly instructions: readonly Instruction[];
	readonly grad: Instruction;
	readonly dropout: Instruction | null;
	/** Of the weight, and of the bias. */
	readonly sums: readonly Instruction[];
}

/** All of these instructions as one launch's; null where they are not of that kind or may not be done at once. */
function joined(instructions: readonly Instruction[]): Joined | null {
	const named = (name: string) => instructions.findIndex(({ op }) => op.name === name);
	const places = ["layerNormGrad", "dropout", "layerNormWeightGrad", "columnSum"].map(named);
	if (places.filter((place) => place >= 0).length < instructions.length) return null;
	const [grad, dropout, weightGrad, biasGrad] = places.map((place) => instructions[place] ?? null);
	if (!grad || !gradInRegisters(grad) || (biasGrad && !weightGrad)) return null;
	const [dy, x, , stats] = grad.inputs;
	if (weightGrad && ![dy, x, stats].every((each, i) => sameOperand(each, weightGrad.inputs[i]))) return null;
	if (biasGrad && !sameOperand(dy, biasGrad.inputs[0])) return null;
	const [dx] = grad.outputs;
	if (dropout && (places[1] < places[0] || !sameOperand(dx, dropout.inputs[0]) || !inRegisters(dropout.outputs))) {
		return null;
	}
	if (!atOnce(instructions, dropout)) return null;
	return { instructions, grad, dropout, sums: [weightGrad, biasGrad].filter((each) => each !== null) };
}

/** Does dropout put its result in the place of the gradient? */
function isReplaced(grad: Instruction, dropout: Instruction | null): boolean {
	return dropout !== null && sameOperand(grad.outputs[0], dropout.outputs[0]);
}

/** Do these give the same when a row is read, then written by the same warp, other warps being anywhere, and sums are written last? */
function atOnce(instructions: readonly Instruction[], dropout: Instruction | null): boolean {
	const grad = instructions.find(({ op }) => op.name === "layerNormGrad");
	const replaced = grad && isReplaced(grad, dropout) ? grad : null;
	const outputs = instructions.flatMap((each) => (each === replaced ? [] : each.outputs));
	if (outputs.some((a, i) => outputs.some((b, j) => i < j && meet(a, b)))) return false;
	const fine = (writer: number, reader: number, input: Operand | null) => {
		const [output] = instructions[writer].outputs;
		if (!meet(output, input)) return true;
		// What was written before is wanted, and in registers only for dropout.
		if (writer < reader) return instructions[reader] === dropout && sameOperand(output, input);
		const rows = instructions[writer].op.name === "layerNormGrad" || instructions[writer] === dropout;
		return !rows || sameOperand(output, input);
	};
	return instructions.every((_, writer) =>
		instructions.every(({ inputs }, reader) => inputs.every((input) => fine(writer, reader, input))),
	);
}

function commandsOf({ instructions, grad, dropout, sums }: Joined, context: LowerContext): Group[] {
	const commands: Command[] = [];
	const args: Argument[] = [];
	instructions.forEach((each, i) => {
		if (i > 0) context.next();
		if (each === grad) args.push(...gradArguments(grad, commands, context, isReplaced(grad, dropout)));
		if (each === dropout) args.push(...dropArguments(dropout, context));
	});
	if (!dropout) args.push(...dropArguments(null, context));
	const x = operand(grad.inputs, 1);
	const own = dropout ? [grad, dropout] : [grad];
	if (sums.length === 0) {
		const label = own.map((each) => each.label).join("; ");
		return [groupOf(own, [...commands, warps("normRowGrad", x, args, label, context)])];
	}
	const { multiprocessors, sharedMemory } = context;
	const atOnce = rowsOfWarp(x);
	const shared = 4 * x.cols * sums.length * atOnce;
	const count = Math.ceil(x.rows / atOnce);
	const perBlock = Math.min(Math.ceil(count / multiprocessors), mostWarps, Math.floor(sharedMemory / shared));
	const blocks = Math.min(Math.ceil(count / perBlock), multiprocessors);
	const parts = sums.map(() => context.scratch(blocks, x.cols));
	const launch: Launch = {
		...{ kind: "kernel", ...moduleFor(x), kernel: "normRowGradSums", shared: shared * perBlock },
		...{ grid: [blocks, 1, 1], block: [32, perBlock, 1] },
		args: [...args, ...[0, 1].map((i) => matrix(parts[i] ?? null))],
		label: [...own, ...sums].map((each) => each.label).join("; "),
	};
	// Nothing but the sums themselves waits for the parts to be added up.
	const totals = sums.map(({ outputs, attributes, label }, i) => ({
		commands: [sumOfParts(parts[i], operand(outputs, 0), attributes.accumulate, label)],
		reads: [],
		writes: outputs,
	}));
	return [groupOf(own, [...commands, launch]), ...totals];
}

/** A norm's gradient with as many as can be of those that stand about it: dropout of it, and the gradients of weight and bias. */
const gradAndMore: Fusion = (instructions, context) => {
	for (let count = instructions.length; count > 1; count--) {
		const found = joined(instructions.slice(0, count));
		if (found) return commandsOf(found, context);
	}
	return null;
};

export const normGradLowerings: Readonly<Record<string, Lowering>> = { layerNormGrad };
export const normGradFusions: readonly Fusion[] = [gradAndMore];
