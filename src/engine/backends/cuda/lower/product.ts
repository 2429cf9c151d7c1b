/** The matrix product: cuBLASLt, and one kernel for what the fusing pass put behind it; for small ones a kernel that is both. */
import type { Instruction, Operand } from "../../../program.ts";
import { type LowerContext, type Lowering, operand } from "../lower-context.ts";
import type { Command, DeviceOperand, Product } from "../lower-types.ts";
import { asItIs, cast, halfInput } from "./casts.ts";
import { fits, type HalfInputs, noHalves } from "./halves.ts";
import { epilogue } from "./pointwise.ts";
import { type Geometry, productHalf, productHalfGeometry } from "./product-half.ts";

const matmul: Lowering = (instruction, context) => {
	const [, , bias, factor, residual] = instruction.inputs;
	const y = operand(instruction.outputs, 0);
	const z = instruction.outputs[1] ?? null;
	const { activation, p, accumulate } = instruction.attributes;
	const halves = worthHalf(partsOf(instruction)) ? context.halves : null;
	const bare = activation === 0 && !(p > 0) && z === null;
	if (bare && !(residual && accumulate)) {
		const plain = !accumulate && !residual && !bias;
		const alone = plain ? halves?.outputAlone(y) : null;
		return product(instruction, { y: alone ?? y, c: accumulate ? y : residual, bias }, context);
	}
	// Without a bias the product is z itself. What nothing reads in single precision is not written in it.
	const ofZ = (z && halves?.outputAlone(z)) ?? z;
	const geometry = productHalfGeometry(instruction, context);
	if (geometry) return small(instruction, geometry, ofZ, context);
	const kept = ofZ && !bias;
	const place = () => (accumulate ? context.scratch(y.rows, y.cols) : (halves?.outputAlone(y) ?? y));
	const v = kept ? ofZ : place();
	const commands = product(instruction, { y: v, c: null, bias: null }, context);
	const read = factor && asItIs(factor, commands, instruction, context);
	return [...commands, epilogue(instruction, context, v, { bias, factor: read, residual, z: kept ? null : ofZ })];
};

/** The product and what follows it in one launch. */
function small(
	instruction: Instruction,
	geometry: Geometry,
	z: DeviceOperand | null,
	context: LowerContext,
): Command[] {
	const [a, b, , factor] = instruction.inputs;
	const commands: Command[] = [];
	const half = (x: Operand) => asHalf(x, commands, instruction, context);
	const given = { a: half(a as Operand), b: half(b as Operand), factor: factor && half(factor), z };
	return [...commands, productHalf(instruction, geometry, given, context)];
}

/** The product alone, at the place of the result; the rest is up to who asks. */
export function bareProduct(instruction: Instruction, context: LowerContext): Command[] {
	return product(instruction, { y: operand(instruction.outputs, 0), c: null, bias: null }, context);
}

function product(
	instruction: Instruction,
	{ y, c, bias }: { y: DeviceOperand; c: Operand | null; bias: Operand | null },
	context: LowerContext,
): Command[] {
	const [a, b] = [operand(instruction.inputs, 0), operand(instruction.inputs, 1)];
	const parts = split(instruction, a, b, y);
	const commands: Command[] = [];
	if (context.halves && worthHalf(parts)) {
		parts.a = { ...asHalf(a, commands, instruction, context), rows: parts.a.rows };
		parts.b = { ...asHalf(b, commands, instruction, context), rows: parts.b.rows };
		if (parts.strideA > 0) parts.strideA = parts.a.rows * parts.a.ld;
		if (parts.strideB > 0) parts.strideB = parts.b.rows * parts.b.ld;
	}
	const added = c && { ...parts.y, space: c.space, offset: c.offset, ld: c.ld };
	return [...commands, { ...parts, c: added, strideC: c ? parts.y.rows * c.ld : 0, bias }];
}

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

/** Operands in half precision need rows of 16 bytes; a cast must not cost more than the product saves. */
function worthHalf({ a, b, y }: Parts): boolean {
	return [a, b, y].every(({ cols }) => cols % 8 === 0) && a.rows >= 8 && b.rows >= 8;
}

function partsOf(instruction: Instruction): Parts {
	const { inputs, outputs } = instruction;
	return split(instruction, operand(inputs, 0), operand(inputs, 1), operand(outputs, 0));
}

/** Inputs that a product, and what comes with it, read as halves where that is the precision. */
export function halfInputs(instruction: Instruction): HalfInputs {
	if (instruction.op.name !== "matmul" || !worthHalf(partsOf(instruction))) return noHalves;
	const fitting = (i: number) => {
		const input = instruction.inputs[i];
		return !!input && fits(input);
	};
	return { always: [0, 1].filter(fitting), alone: [3].filter(fitting) };
}

/** A whole weight as the runtime keeps it in halves; a value of the arena as its copy; anything else is cast into scratch. */
function asHalf(x: Operand, commands: Command[], instruction: Instruction, context: LowerContext): DeviceOperand {
	if (x.space === "parameters" && x.offset % 8 === 0 && x.ld % 8 === 0) {
		context.useHalf();
		return { ...x, space: "half", dtype: "half" };
	}
	const copy = halfInput(x, commands, instruction, context);
	if (copy) return copy;
	const scratch = context.scratch(x.rows, Math.ceil(x.cols / 2));
	const to = { ...scratch, cols: x.cols, ld: x.cols, dtype: "half" } as const;
	commands.push(cast(x, to, instruction, context));
	return to;
}

export const productLowerings: Readonly<Record<string, Lowering>> = { matmul };
