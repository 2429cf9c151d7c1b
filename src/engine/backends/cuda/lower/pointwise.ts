/** Ops on single elements, dropout, and rows moved by index. */
import type { Instruction, Operand } from "../../../program.ts";
import {
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
	strided,
} from "../lower-context.ts";
import type { DeviceOperand } from "../lower-types.ts";

/** Numbers of `enum` in pointwise.cu. */
const operations = [
	"gelu",
	"relu",
	"geluGrad",
	"reluGrad",
	"add",
	"sub",
	"mul",
	"addRow",
	"scale",
	"scaleBy",
	"addScaled",
	"lerp",
	"clamp",
	"clampGrad",
	"broadcast",
	"copy",
	"accumulate",
];

/** Which input is what: a, b element by element, s a scalar, row one row for all. */
interface Roles {
	a?: number;
	b?: number;
	s?: number;
	row?: number;
}

const roles: Readonly<Record<string, Roles>> = {
	gelu: { a: 0 },
	relu: { a: 0 },
	geluGrad: { a: 0, b: 1 },
	reluGrad: { a: 0, b: 1 },
	add: { a: 0, b: 1 },
	sub: { a: 0, b: 1 },
	mul: { a: 0, b: 1 },
	addRow: { a: 0, row: 1 },
	scale: { a: 0 },
	scaleBy: { s: 0, a: 1 },
	addScaled: { s: 0, a: 1, b: 2 },
	lerp: { a: 0, b: 1, s: 2 },
	clamp: { a: 0 },
	clampGrad: { a: 0, b: 1 },
	broadcast: { s: 0 },
	copy: { a: 0 },
};

function pointwise(instruction: Instruction, context: LowerContext) {
	const { op, inputs, outputs, attributes } = instruction;
	const { a, b, s, row } = roles[op.name];
	const of = (index: number | undefined) => (index === undefined ? null : operand(inputs, index));
	const y = operand(outputs, 0);
	const number = operations.indexOf(op.name === "copy" && attributes.accumulate ? "accumulate" : op.name);
	const [f, g] = [attributes.c ?? attributes.lo ?? 0, attributes.hi ?? 0];
	const wide = [of(a), of(b), of(row), y].every((each) => each === null || inFours(each));
	const given = [matrix(of(a)), matrix(of(b)), pointer(of(s)), pointer(of(row)), matrix(y)];
	const args = [...given, int(number), float(f), float(g)];
	if (!wide) return [strided("pointwise", "pointwise", y.rows * y.cols, args, instruction, context)];
	args.push(...halfOf(y, context));
	return [strided("pointwise", "pointwise4", (y.rows * y.cols) / 4, args, instruction, context)];
}

/** Beside a product's result. */
interface Rest {
	readonly bias: Operand | null;
	readonly factor: DeviceOperand | null;
	readonly residual: Operand | null;
	readonly z: DeviceOperand | null;
}

/** An activation alone, or its gradient, from halves to halves without gaps; null where it is not that. */
function halvesOnly(instruction: Instruction, context: LowerContext, v: DeviceOperand, rest: Rest) {
	const { activation = 0, accumulate = 0, p } = instruction.attributes;
	if (v.dtype !== "half" || rest.bias || rest.residual || rest.z || accumulate || p > 0) return null;
	const y = context.halves?.outputAlone(operand(instruction.outputs, 0));
	const flat = [v, rest.factor, y].every((each) => !each || (each.dtype === "half" && each.ld === each.cols));
	if (!y || !flat) return null;
	const eights = (y.rows * y.cols) / 8;
	const args = [...[v, rest.factor, y].map(pointer), int(eights), int(activation)];
	return strided("pointwise", "epilogueHalves", eights, args, instruction, context);
}

/** What follows a product `v`, as the attributes of `instruction` say; `y` may be `v`. */
export function epilogue(instruction: Instruction, context: LowerContext, v: DeviceOperand, rest: Rest) {
	const y = operand(instruction.outputs, 0);
	const { activation = 0, accumulate = 0, p, dropoutId, rowsPerSequence, sequences } = instruction.attributes;
	const inHalves = halvesOnly(instruction, context, v, rest);
	if (inHalves) return inHalves;
	const args = [
		matrix(v),
		pointer(rest.bias),
		...[rest.factor, rest.residual, y, rest.z].map(matrix),
		...halfOf(y, context),
		int(activation),
		int(accumulate),
	];
	const dropped = p > 0;
	const wide = [v, rest.bias, rest.factor, rest.residual, y, rest.z].every((each) => each === null || inFours(each));
	if (wide && !dropped) return strided("pointwise", "epilogue4", (y.rows * y.cols) / 4, args, instruction, context);
	args.push(float(p), int(dropoutId), int(rowsPerSequence), int(sequences), job, firstSequence);
	if (wide && y.cols % 16 === 0) {
		return strided("pointwise", "epilogue4Dropout", (y.rows * y.cols) / 16, args, instruction, context);
	}
	return strided("pointwise", "epilogue", y.rows * Math.ceil(y.cols / 4), args, instruction, context);
}

const moved: Readonly<Record<string, Lowering>> = {
	dropout: (instruction, context) => [
		epilogue(instruction, context, operand(instruction.inputs, 0), {
			bias: null,
			factor: null,
			residual: null,
			z: null,
		}),
	],
	gather: (instruction, context) => {
		const y = operand(instruction.outputs, 0);
		const args = [...instruction.inputs, y].map(matrix);
		return [strided("pointwise", "gather", y.rows * y.cols, args, instruction, context)];
	},
	writeRows: (instruction, context) => {
		const x = operand(instruction.inputs, 0);
		return [strided("pointwise", "writeRows", x.rows * x.cols, instruction.inputs.map(matrix), instruction, context)];
	},
};

export const pointwiseLowerings: Readonly<Record<string, Lowering>> = {
	...Object.fromEntries(Object.keys(roles).map((name) => [name, pointwise])),
	...moved,
};
