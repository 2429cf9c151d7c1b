/**
 * What stands between two windows of the accumulate recurrence (models/accumulate-scan.ts), where halves f and s of one value, one under
 * the other, become alpha f + s and alpha f + x: short launches that follow one another, in one. Forward it is done by the norm of the
 * next window, on rows that a warp has anyway; backward it comes before the dropout at the end of the window before.
 */
import type { Instruction, Operand } from "../../../program.ts";
import {
	type Fusion,
	halfOf,
	inFours,
	type LowerContext,
	matrix,
	operand,
	pointer,
	sameOperand,
} from "../lower-context.ts";
import type { Argument, Launch } from "../lower-types.ts";
import { groupOf } from "../order.ts";
import { meet } from "./halves.ts";
import { dropoutOf, inRegisters, normArguments, warps } from "./norms.ts";
import { bareProduct } from "./product.ts";
import { sumsOf } from "./sums.ts";

/** Is `whole` rows of `top` and, right under them, as many of `bottom`? */
function isJoined(whole: Operand | null, top: Operand | null, bottom: Operand | null): boolean {
	if (!whole || !top || !bottom) return false;
	const under = { ...top, offset: top.offset + top.rows * top.ld };
	return sameOperand({ ...top, rows: 2 * top.rows }, whole) && sameOperand(under, bottom);
}

/** A product with dropout and residual to `fs`, the sums alpha f + s and alpha f + x, and their norm. */
const productCarryNorm: Fusion = (instructions, context) => {
	const [product, past, present, norm] = instructions;
	const names = ["matmul", "addScaled", "addScaled", "layerNorm"];
	if (!names.every((name, i) => instructions[i]?.op.name === name)) return null;
	const { activation, accumulate } = product.attributes;
	const [, , bias, factor, residual] = product.inputs;
	const [fs, z] = product.outputs;
	if (activation !== 0 || accumulate || factor || z) return null;
	const [alpha, f, s] = past.inputs;
	const [otherAlpha, otherF, x] = present.inputs;
	if (!isJoined(fs, f, s) || !sameOperand(f, otherF) || !sameOperand(alpha, otherAlpha)) return null;
	const [joined, weight, shift] = norm.inputs;
	if (!isJoined(joined, operand(past.outputs, 0), operand(present.outputs, 0))) return null;
	const written = [fs, joined, ...norm.outputs];
	if (!inRegisters([fs, joined, norm.outputs[0], bias, residual, x, weight, shift])) return null;
	// Other warps may still be reading.
	const read = [alpha, bias, residual, x, weight, shift];
	if (written.some((each) => read.some((input) => meet(each, input)))) return null;
	if (written.some((each, i) => written.some((other, j) => i < j && meet(each, other)))) return null;
	const commands = bareProduct(product, context);
	const given = [matrix(fs), pointer(bias), matrix(residual), pointer(alpha), matrix(x), matrix(joined)];
	for (let i = 1; i < names.length; i++) context.next();
	const args = [...given, ...normArguments(norm, context), ...dropoutOf(product)];
	const launch = warps("carryNormRow", operand([f], 0), args, norm.label, context);
	return [groupOf([product, past, present, norm], [...commands, launch])];
};

/** Of a block of carryGrad. */
const threads = 64;

/** What the gradient of such a pair of sums comes to: df = alpha dpast + alpha dpresent, ds = dpast, and dropout of both. */
interface CarryGrad {
	/** Of dpresent and f, and of dpast and f, which the gradient of alpha is made of; none where alpha is not learned. */
	readonly dots: readonly Instruction[];
	readonly f: Operand | null;
	readonly alpha: Operand;
	readonly dpresent: Operand;
	readonly dpast: Operand;
	readonly add: Instruction;
	readonly copy: Instruction;
	readonly dropout: Instruction | null;
	/** Instructions in all. */
	readonly count: number;
}

function carryGradOf(instructions: readonly Instruction[], context: LowerContext): CarryGrad | null {
	const names = instructions.map(({ op }) => op.name);
	const found = [
		["dot", "scaleBy", "dot", "scaleBy", "add", "copy"],
		["scaleBy", "scaleBy", "add", "copy"],
	].find((all) => all.every((name, i) => names[i] === name));
	if (!found) return null;
	const first = instructions.slice(0, found.length);
	const dots = first.filter(({ op }) => op.name === "dot");
	const [scaled, other] = first.filter(({ op }) => op.name === "scaleBy");
	const [add, copy] = first.slice(-2);
	const [alpha, dpresent] = scaled.inputs as Operand[];
	const [otherAlpha, dpast] = other.inputs as Operand[];
	const sums = [scaled, other].map(({ outputs }) => operand(outputs, 0));
	if (!sameOperand(alpha, otherAlpha) || !sums.every((each, i) => sameOperand(each, add.inputs[i]))) return null;
	if (!sameOperand(dpast, copy.inputs[0]) || copy.attributes.accumulate) return null;
	const [df, ds] = [operand(add.outputs, 0), operand(copy.outputs, 0)];
	const next = instructions[found.length];
	const dropout = next?.op.name === "dropout" && isJoined(next.inputs[0], df, ds) ? next : null;
	const count = found.length + (dropout ? 1 : 0);
	const written = [df, ds, ...(dropout?.outputs ?? [])];
	if (![dpresent, dpast, ...written].every((each) => each && inFours(each) && each.cols % 16 === 0)) return null;
	const f = dots.length > 0 ? dots[0].inputs[1] : null;
	const fits = ({ inputs }: Instruction, i: number) =>
		sameOperand(inputs[0], [dpresent, dpast][i]) && sameOperand(inputs[1], f);
	if (!dots.every((dot, i) => fits(dot, i) && !dot.attributes.accumulate) || (f && !inFours(f))) return null;
	// A thread reads all before it writes, but others may still be reading then.
	const read = [dpresent, dpast, alpha, f];
	if ([...written, ...dots.map(({ outputs }) => outputs[0])].some((each) => read.some((input) => meet(each, input))))
		return null;
	if (sums.some((each) => context.readAfter(each, count))) return null;
	return { dots, alpha, dpresent, dpast, f, add, copy, dropout, count };
}

const carryGrad: Fusion = (instructions, context) => {
	const found = carryGradOf(instructions, context);
	if (!found) return null;
	const { dots, alpha, dpresent, dpast, f, add, copy, dropout, count } = found;
	const results: Argument[] = [];
	instructions.slice(0, count).forEach((each, i) => {
		if (i > 0) context.next();
		if (each !== add && each !== copy && each !== dropout) return;
		const y = operand(each.outputs, 0);
		results.push(matrix(y), ...halfOf(y, context));
	});
	if (!dropout) results.push(matrix(null), ...halfOf(operand(copy.outputs, 0), { ...context, halves: null }));
	const blocks = Math.ceil((dpast.rows * dpast.cols) / 16 / threads);
	const parts = context.scratch(blocks, 2);
	const given = [matrix(dpresent), matrix(dpast), pointer(alpha), matrix(f), pointer(parts)];
	const launch: Launch = {
		...{
			kind: "kernel",
			file: "pointwise",
			kernel: "carryGrad",
			grid: [blocks, 1, 1],
			block: [threads, 1, 1],
			shared: 0,
		},
		...{ args: [...given, ...results, ...dropoutOf(dropout)], label: add.label },
	};
	const written = [add, copy, ...(dropout ? [dropout] : [])].flatMap(({ outputs }) => outputs);
	// Nothing but the dots themselves waits for the parts to be added up.
	const totals = dots.map(({ outputs, label }, i) => {
		const column = { ...parts, offset: parts.offset + i, cols: 1 };
		return { commands: [sumsOf(column, null, operand(outputs, 0), 1, 0, label)], reads: [], writes: outputs };
	});
	return [{ commands: [launch], reads: [alpha, dpresent, dpast, f], writes: written }, ...totals];
};

export const carryFusions: readonly Fusion[] = [productCarryNorm, carryGrad];
