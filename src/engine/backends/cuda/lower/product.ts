/** The matrix product: cuBLASLt, and one kernel for what the fusing pass put behind it. */
import type { Instruction, Operand } from "../../../program.ts";
import { int, type LowerContext, type Lowering, matrix, operand, pointer, strided } from "../lower-context.ts";
import type { Command, DeviceOperand, Product } from "../lower-types.ts";
import { epilogue } from "./pointwise.ts";

const matmul: Lowering = (instruction, context) => {
	const [a, b, bias, factor, residual] = instruction.inputs;
	const y = operand(instruction.outputs, 0);
	const z = instruction.outputs[1] ?? null;
	const { activation, p, accumulate } = instruction.attributes;
	const bare = activation === 0 && !(p > 0) && z === null;
	const commands: Command[] = [];
	const product = (to: DeviceOperand, c: Operand | null, row: Operand | null) => {
		const parts = split(instruction, operand([a], 0), operand([b], 0), to);
		const half = context.precision === "bf16" && worthHalf(parts);
		if (half) {
			parts.a = asHalf(parts.a, parts.batch, parts.strideA, commands, instruction, context);
			parts.b = asHalf(parts.b, parts.batch, parts.strideB, commands, instruction, context);
			if (parts.batch > 1) parts.strideA = parts.a.rows * parts.a.ld;
			if (parts.batch > 1 && parts.strideB > 0) parts.strideB = parts.b.rows * parts.b.ld;
		}
		commands.push({
			...parts,
			c: c && { ...parts.y, space: c.space, offset: c.offset, ld: c.ld },
			strideC: c ? parts.y.rows * c.ld : 0,
			bias: row,
		});
	};
	if (bare && !(residual && accumulate)) {
		product(y, accumulate ? y : residual, bias);
		return commands;
	}
	const v = accumulate ? context.scratch(y.rows, y.cols) : y;
	product(v, null, null);
	return [...commands, epilogue(instruction, context, v, { bias, factor, residual, z })];
};

type Parts = { -readonly [K in keyof Omit<Product, "c" | "strideC" | "bias">]: Product[K] };

/** Operands of one matrix of the batch, and the distance to the next. */
function split({ attributes, label }: Instruction, a: Operand, b: Operand, y: DeviceOperand): Parts {
	const { transposeA, transposeB, batch } = attributes;
	const inner = transposeA ? a.rows / batch : a.cols;
	const rowsB = transposeB ? y.cols : inner;
	const shared = b.rows === rowsB;
	// Rows under one another times one matrix are a single product.
	const count = shared && !transposeA ? 1 : batch;
	const one = (x: DeviceOperand, parts: number): DeviceOperand => ({ ...x, rows: x.rows / parts });
	const [oneA, oneB, oneY] = [one(a, count), one(b, shared ? 1 : count), one(y, count)];
	return {
		kind: "product",
		a: oneA,
		b: oneB,
		y: oneY,
		transposeA: !!transposeA,
		transposeB: !!transposeB,
		batch: count,
		strideA: count > 1 ? oneA.rows * a.ld : 0,
		strideB: count > 1 && !shared ? oneB.rows * b.ld : 0,
		strideY: count > 1 ? oneY.rows * y.ld : 0,
		label,
	};
}

/** bf16 operands need rows of 16 bytes; a cast must not cost more than the product saves. */
function worthHalf({ a, b, y }: Parts): boolean {
	return [a, b, y].every(({ cols }) => cols % 8 === 0) && a.rows >= 8 && b.rows >= 8;
}

/** A whole weight as the runtime keeps it in bf16; anything else is cast into scratch, all matrices of a batch. */
function asHalf(
	x: DeviceOperand,
	batch: number,
	stride: number,
	commands: Command[],
	instruction: Instruction,
	context: LowerContext,
): DeviceOperand {
	if (x.space === "parameters" && x.offset % 8 === 0) {
		context.useHalf();
		return { ...x, space: "half", dtype: "bf16" };
	}
	const rows = x.rows * (batch > 1 && stride > 0 ? batch : 1);
	const from = { ...x, rows };
	const to: DeviceOperand = {
		...context.scratch(rows, Math.ceil(x.cols / 2)),
		cols: x.cols,
		ld: x.cols,
		dtype: "bf16",
	};
	const args = [matrix(from), pointer(to), int(x.cols)];
	commands.push(strided("pointwise", "castRows", rows * x.cols, args, instruction, context));
	return { ...to, rows: x.rows };
}

export const productLowerings: Readonly<Record<string, Lowering>> = { matmul };
