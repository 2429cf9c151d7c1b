/** What the op files share: operand checks, access to matrix elements, cost helpers. Not an op. */
import type { Attributes, DType, Graph, Node, Shape, Tensor } from "../graph.ts";
import type { Call, GradientContext, Matrix, OpCase, OpDefinition, OutputSpec } from "../op.ts";

export type {
	Attributes,
	Call,
	DType,
	GradientContext,
	Graph,
	Matrix,
	Node,
	OpCase,
	OpDefinition,
	OutputSpec,
	Shape,
	Tensor,
};

/** A definition whose generic checks (operands present, types, attributes) are added by `define`. */
interface Rule extends OpDefinition {
	/** Inputs, by index, whose words are only moved, so that they may be of either type. */
	readonly anyType?: readonly number[];
}

/** Complete a definition: its shape rule runs after the checks that are the same for every op. */
export function define({ anyType = [], ...rule }: Rule): OpDefinition {
	return {
		...rule,
		shape(inputs, attributes) {
			if (!rule.inputs[0].startsWith("...")) checkInputs(rule, anyType, inputs);
			checkAttributes(rule, attributes);
			return rule.shape(inputs, attributes);
		},
	};
}

function checkInputs(rule: OpDefinition, anyType: readonly number[], inputs: (Tensor | null)[]): void {
	expect(inputs.length === rule.inputs.length, rule.name, `${rule.inputs.length} inputs`, String(inputs.length));
	rule.inputs.forEach((name, index) => {
		const tensor = inputs[index];
		expect(tensor !== null || name.endsWith("?"), rule.name, `an input ${name}`, "none");
		if (tensor === null || anyType.includes(index)) return;
		const dtype = rule.i32Inputs?.includes(index) ? "i32" : "f32";
		expect(tensor.dtype === dtype, rule.name, `${name} of type ${dtype}`, tensor.dtype);
	});
}

function checkAttributes(rule: OpDefinition, attributes: Attributes): void {
	for (const name of [...Object.keys(rule.attributes), ...(rule.shapeAttributes ?? [])]) {
		const value = attributes[name];
		const whole = rule.attributes[name] !== "float";
		const valid = typeof value === "number" && (whole ? Number.isInteger(value) : !Number.isNaN(value));
		expect(valid, rule.name, `attribute ${name} to be ${whole ? "a whole number" : "a number"}`, String(value));
	}
}

/** Throw "[op] expected ..., got ..." unless `condition` holds. */
export function expect(condition: boolean, op: string, expected: string, found: string): asserts condition {
	if (!condition) throw new Error(`[${op}] expected ${expected}, got ${found}`);
}

/** Check the shape of an operand against rows and columns; an absent optional operand passes. */
export function expectShape(op: string, name: string, tensor: Tensor | null, rows: number, cols: number): void {
	if (tensor === null) return;
	const [r, c] = tensor.shape;
	expect(r === rows && c === cols, op, `${name} of ${rows} x ${cols}`, `${r} x ${c}`);
}

/** Check that attribute `name` is at least `least`. */
export function expectAtLeast(op: string, name: string, attributes: Attributes, least: number): void {
	expect(attributes[name] >= least, op, `${name} to be at least ${least}`, String(attributes[name]));
}

/** The shape of a required operand. */
export function shapeOf(tensor: Tensor | null): Shape {
	if (tensor === null) throw new Error("[shape] expected an operand, got none");
	return tensor.shape;
}

export function f32(rows: number, cols: number): OutputSpec {
	return { shape: [rows, cols], dtype: "f32" };
}

/** Inputs of a node whose gradient is asked; required operands are never null after the shape rule. */
export function present(node: Node): Tensor[] {
	return node.inputs as Tensor[];
}

/** The gradient to output 0; a gradient rule is only called when there is one. */
export function gradientOf({ node, dOutputs }: GradientContext): Tensor {
	const gradient = dOutputs[0];
	if (!gradient) throw new Error(`[${node.op.name}] expected a gradient to ${node.op.outputs[0]}, got none`);
	return gradient;
}

/** Throw when a gradient is asked to an output that is only a by-product. */
export function refuseGradient({ node, dOutputs }: GradientContext, index: number): void {
	expect(!dOutputs[index], node.op.name, `no gradient to ${node.op.outputs[index]}`, "one");
}

export function get(matrix: Matrix, row: number, column: number): number {
	return matrix.data[matrix.offset + row * matrix.ld + column];
}

export function set(matrix: Matrix, row: number, column: number, value: number): void {
	matrix.data[matrix.offset + row * matrix.ld + column] = value;
}

/** y[r, c] = value(r, c), or y + value where `accumulate` is 1. */
export function fill(y: Matrix, value: (row: number, column: number) => number, accumulate = 0): void {
	for (let r = 0; r < y.rows; r++) {
		for (let c = 0; c < y.cols; c++) {
			const v = value(r, c);
			set(y, r, c, accumulate ? get(y, r, c) + v : v);
		}
	}
}

/** The operands of a call, required ones as they are, absent ones null. */
export function operands<I extends (Matrix | null)[], O extends (Matrix | null)[]>(
	call: Call,
): { inputs: I; outputs: O } {
	return call as unknown as { inputs: I; outputs: O };
}

export function size(shape: Shape | null): number {
	return shape ? shape[0] * shape[1] : 0;
}
