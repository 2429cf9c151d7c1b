/**
 * The static graph: nodes in single-assignment form over matrix values. It is built once, never run; gradient.ts and
 * passes/ rewrite it and plan.ts turns it into a Program. Shapes are [rows, cols] (docs/engine.md, "Values are matrices").
 */
import type { OpDefinition } from "./op.ts";

/** Type of a matrix's words, 32 bits each. */
export type DType = "f32" | "i32";
/** Every value is a matrix. */
export type Shape = readonly [rows: number, cols: number];
export type Attributes = Readonly<Record<string, number>>;

/** Where a leaf's words live. `intermediate` values get their place in the arena from the plan. */
export type Source =
	| { readonly kind: "intermediate"; readonly node: Node; readonly index: number }
	| { readonly kind: "parameter"; readonly name: string }
	| { readonly kind: "input"; readonly name: string }
	| { readonly kind: "shared"; readonly name: string }
	| { readonly kind: "state"; readonly name: string }
	| { readonly kind: "buffer"; readonly name: string; readonly space: BufferSpace; readonly offset: number }
	| { readonly kind: "constant"; readonly data: Float32Array | Int32Array };

/** Spaces that hold a runtime's long-lived buffers. */
export type BufferSpace = "parameters" | "gradients" | "slices" | "optimizer";

/** One value: a matrix of `dtype` words. Compared by identity. */
export interface Tensor {
	readonly id: number;
	readonly shape: Shape;
	readonly dtype: DType;
	readonly source: Source;
}

/** One application of an op. `inputs` has one entry per declared operand, null where an optional one is absent. */
export interface Node {
	readonly op: OpDefinition;
	readonly inputs: (Tensor | null)[];
	readonly attributes: Attributes;
	readonly outputs: Tensor[];
	/** Label of the part of the model that made it, for messages and recomputation (a segment of windows). */
	readonly scope: Scope;
}

/** `segment`: number of the recomputation segment, -1 outside any. */
export interface Scope {
	readonly label: string;
	readonly segment: number;
}

let nextId = 0;

/** A graph being built: nodes in the order they are to run, and the leaves they start from. */
export class Graph {
	/** In the order they are to run. */
	readonly nodes: Node[] = [];
	readonly parameters = new Map<string, Tensor>();
	readonly inputs = new Map<string, Tensor>();
	readonly shared = new Map<string, Tensor>();
	readonly states = new Map<string, Tensor>();
	scope: Scope = { label: "", segment: -1 };
	#dropouts = 0;

	/** A value that no node makes, or the output of one; the methods below are the usual ways to get one. */
	leaf(shape: Shape, dtype: DType, source: Source): Tensor {
		return { id: nextId++, shape, dtype, source };
	}

	/** A weight matrix, (rows, cols) of f32. Asking again for a name gives the same tensor. */
	parameter(name: string, shape: Shape): Tensor {
		return this.#named(this.parameters, name, shape, "f32", "parameter");
	}

	/** A per-micro-batch input the host writes before a run. */
	input(name: string, shape: Shape, dtype: DType): Tensor {
		return this.#named(this.inputs, name, shape, dtype, "input");
	}

	/** A value of the whole step, the same for every micro-batch (learning rate, loss scale). */
	sharedInput(name: string, shape: Shape): Tensor {
		return this.#named(this.shared, name, shape, "f32", "shared");
	}

	/** A matrix that outlives the call: a cache of the stream being decoded. */
	state(name: string, shape: Shape): Tensor {
		return this.#named(this.states, name, shape, "f32", "state");
	}

	/** Words known when the graph is built. */
	constant(data: Float32Array | Int32Array, shape: Shape): Tensor {
		if (data.length !== shape[0] * shape[1]) {
			throw new Error(`[constant] expected ${shape[0] * shape[1]} words for ${shape.join(" x ")}, got ${data.length}`);
		}
		return this.leaf(shape, data instanceof Int32Array ? "i32" : "f32", { kind: "constant", data });
	}

	/** A stretch of a runtime buffer (weights, gradients, moments), for the update program. */
	buffer(name: string, space: BufferSpace, offset: number, shape: Shape): Tensor {
		return this.leaf(shape, "f32", { kind: "buffer", name, space, offset });
	}

	/** Append an application of `op`; checks shapes and returns its outputs. */
	apply(op: OpDefinition, inputs: (Tensor | null)[], attributes: Attributes = {}): Tensor[] {
		const outputs: Tensor[] = [];
		const node: Node = { op, inputs, attributes, outputs, scope: this.scope };
		op.shape(inputs, attributes).forEach((output, index) => {
			outputs.push(this.leaf(output.shape, output.dtype, { kind: "intermediate", node, index }));
		});
		this.nodes.push(node);
		return outputs;
	}

	/** Number of the next dropout op; part of the random counter, so equal graphs draw equal masks. */
	nextDropout(): number {
		return this.#dropouts++;
	}

	#named(
		table: Map<string, Tensor>,
		name: string,
		shape: Shape,
		dtype: DType,
		kind: "parameter" | "input" | "shared" | "state",
	): Tensor {
		const known = table.get(name);
		if (known) {
			if (known.shape[0] !== shape[0] || known.shape[1] !== shape[1] || known.dtype !== dtype) {
				throw new Error(`[${kind}] ${name}: declared ${known.shape.join(" x ")} before, now ${shape.join(" x ")}`);
			}
			return known;
		}
		const tensor = this.leaf(shape, dtype, { kind, name });
		table.set(name, tensor);
		return tensor;
	}
}
