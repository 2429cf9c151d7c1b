/**
 * What an op is: shape rule, gradient rule, cost, a plain reference, and cases for the conformance tests, in one
 * definition. The table of all ops is ops/index.ts. Operands and attributes are described in native/ABI.md.
 */
import type { Attributes, DType, Graph, Node, Shape, Tensor } from "./graph.ts";

/** A matrix in memory, as a kernel sees it: element (r, c) is data[offset + r * ld + c]. */
export interface Matrix {
	/** Float64Array only in the double-precision reference, for finite differences. */
	data: Float32Array | Float64Array | Int32Array;
	offset: number;
	rows: number;
	cols: number;
	ld: number;
}

/** One kernel call. Inputs and outputs are in declared order; an absent optional operand is null. */
export interface Call {
	inputs: (Matrix | null)[];
	outputs: (Matrix | null)[];
	attributes: Attributes;
	/** This call does part `part` of `parts`; 0 of 1 in a body. */
	part: number;
	parts: number;
	seed: bigint;
	step: number;
	firstSequence: number;
}

export interface OutputSpec {
	shape: Shape;
	dtype: DType;
}

/** A conformance case: shapes of the inputs (null: absent) and attributes. Values are random, or from `fill`. */
export interface OpCase {
	name: string;
	inputs: (Shape | null)[];
	attributes?: Attributes;
	/** Fill input `index` (element number i of n) instead of normal(0, 1): ids, targets, scalars. */
	fill?: (index: number, i: number, random: () => number) => number | undefined;
	/** Which inputs to check against finite differences; default all f32 inputs when the op has a gradient. */
	differentiate?: number[];
}

export interface GradientContext {
	graph: Graph;
	node: Node;
	/** Gradient to each output, null where nothing depends on it. */
	dOutputs: (Tensor | null)[];
	/** Is a gradient to input i wanted? Skip the work where not. */
	wants(index: number): boolean;
}

/** Everything the engine, its tests and its docs know of an op; the kernels are in native/. */
export interface OpDefinition {
	readonly name: string;
	/** One line, for the docs. */
	readonly formula: string;
	/**
	 * Names in order, "?" at the end marks an optional operand, "..." in front any number of them. The shape rule leaves out
	 * optional outputs (always the last) that make no sense for a node; one that nothing reads may be absent from the call.
	 */
	readonly inputs: readonly string[];
	readonly outputs: readonly string[];
	/** Names and kinds in the order of the ABI. */
	readonly attributes: Readonly<Record<string, "int" | "float">>;
	/** Attributes that only the shape rule reads (kernels see the outputs' shapes); not part of the ABI. */
	readonly shapeAttributes?: readonly string[];
	/** Types of inputs that are not f32, by index. */
	readonly i32Inputs?: readonly number[];
	shape(inputs: (Tensor | null)[], attributes: Attributes): OutputSpec[];
	/** Gradient to each input, as new nodes of the graph; null where there is none. Absent: not differentiable. */
	gradient?(context: GradientContext): (Tensor | null)[];
	/**
	 * Floating-point operations of one call. A multiply-add counts two; a comparison, exp, erf, division or root counts one;
	 * moving words and drawing random numbers count nothing.
	 */
	flops(inputs: (Shape | null)[], outputs: (Shape | null)[], attributes: Attributes): number;
	/** The specification: naive and readable. Does the work of all parts at once; accumulates in double precision. */
	reference(call: Call): void;
	/**
	 * f(A1, B1) + f(A2, B2) = f([A1; A2], [B1; B2]): sums over the rows of the inputs numbered here. For matmul true only of
	 * a^T b, that is transposeA = 1, transposeB = 0, batch = 1.
	 */
	readonly rowReduction?: readonly number[];
	/** Pairs [input, output] that may share memory. */
	readonly inPlace?: readonly (readonly [number, number])[];
	/** Pairs [input, output] that are one and the same memory: the op updates that input (a weight, a moment, a cache). */
	readonly updates?: readonly (readonly [number, number])[];
	/** Set where the op only renames memory: rows [start, end) or columns [start, end), or a concatenation. Never executed unless a copy is needed. */
	readonly view?: "rows" | "columns" | "concatRows" | "concatColumns";
	/** The size along which an update program may split the op; absent: it always runs in one part. */
	parts?(inputs: (Shape | null)[], outputs: (Shape | null)[], attributes: Attributes): number;
	/** `parts` is not a limit but the number of parts itself: the outputs' shape depends on it. */
	readonly exactParts?: true;
	readonly cases: readonly OpCase[];
}

/** The names of `native/ABI.md`'s spaces, in order of their numbers. */
export const spaces = [
	"parameters",
	"gradients",
	"arena",
	"inputs",
	"constants",
	"outputs",
	"shared",
	"optimizer",
	"slices",
	"state",
] as const;
export type Space = (typeof spaces)[number];
