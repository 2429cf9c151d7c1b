/** How kernels get the copies in halves of values that they read, with a cast where who made a value did not make its copy. */
import type { Instruction, Operand } from "../../../program.ts";
import { halfOf, inFours, type LowerContext, matrix, strided } from "../lower-context.ts";
import type { Argument, Command, DeviceOperand } from "../lower-types.ts";

/** The copy of a value of the arena; null where it has none. */
export function halfInput(
	x: Operand,
	commands: Command[],
	instruction: Instruction,
	context: LowerContext,
): DeviceOperand | null {
	const known = context.halves?.input(x) ?? null;
	for (const part of known?.missing ?? []) {
		const { offset, rows, cols, ld } = part;
		const to = { space: "scratch", offset: offset / 2, rows, cols, ld, dtype: "half" } as const;
		commands.push(cast(part, to, instruction, context));
	}
	return known?.from ?? null;
}

/** The copy of a value for a kernel that can read nothing else. */
export function neededHalf(
	x: Operand,
	commands: Command[],
	instruction: Instruction,
	context: LowerContext,
): DeviceOperand {
	const copy = halfInput(x, commands, instruction, context);
	if (!copy) throw new Error(`[${instruction.op.name}] expected an operand that can be had in halves`);
	return copy;
}

/** Arguments of a kernel that makes a value: in single precision, if that is wanted, and its copy. */
export function results(y: Operand, context: LowerContext): Argument[] {
	const [copy, only] = halfOf(y, context);
	const alone = only.kind === "int" && only.value === 1;
	return [matrix(alone ? null : y), copy];
}

/** For a kernel that can read either: the copy where some of the value was made in halves alone, else the value. */
export function asItIs(
	x: Operand,
	commands: Command[],
	instruction: Instruction,
	context: LowerContext,
): DeviceOperand {
	return (context.halves?.madeAlone(x) && halfInput(x, commands, instruction, context)) || x;
}

export function cast(x: Operand, to: DeviceOperand, instruction: Instruction, context: LowerContext): Command {
	const wide = inFours(x) && to.ld % 4 === 0;
	const count = (x.rows * x.cols) / (wide ? 4 : 1);
	const kernel = wide ? "castRows4" : "castRows";
	return strided("pointwise", kernel, count, [matrix(x), matrix(to)], instruction, context);
}
