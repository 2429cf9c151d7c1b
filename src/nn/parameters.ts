/** What a model says of its weights: name, shape, initial value, whether weight decay applies. Values live in the runtime. */
import type { Graph, Shape, Tensor } from "../engine/graph.ts";

export type Initializer =
	| { readonly kind: "normal"; readonly deviation: number }
	| { readonly kind: "constant"; readonly value: number };

export interface ParameterSpec {
	/** Names of the author's checkpoints (GPT-2's), so that weights can be exchanged. */
	readonly name: string;
	/** As the engine sees it: vectors are 1 x C. */
	readonly shape: Shape;
	/** As files keep it: vectors have one dimension. */
	readonly fileShape: readonly number[];
	readonly initial: Initializer;
	/** Weight decay applies to tensors of two or more dimensions (paper.md section 2). */
	readonly decay: boolean;
}

export function matrixParameter(name: string, rows: number, cols: number, deviation: number): ParameterSpec {
	return { name, shape: [rows, cols], fileShape: [rows, cols], initial: { kind: "normal", deviation }, decay: true };
}

export function vectorParameter(name: string, length: number, value: number): ParameterSpec {
	return { name, shape: [1, length], fileShape: [length], initial: { kind: "constant", value }, decay: false };
}

/** The graph's tensor for a declared parameter. */
export class ParameterTable {
	readonly #specs: ReadonlyMap<string, ParameterSpec>;
	constructor(specs: readonly ParameterSpec[]) {
		this.#specs = new Map(specs.map((spec) => [spec.name, spec]));
	}

	get(g: Graph, name: string): Tensor {
		const spec = this.#specs.get(name);
		if (!spec) throw new Error(`[parameters] the model declares no ${name}`);
		return g.parameter(name, spec.shape);
	}

	/** The tensor, or null where the model has none (biases are optional). */
	find(g: Graph, name: string): Tensor | null {
		return this.#specs.has(name) ? this.get(g, name) : null;
	}
}

/** Number of weights. */
export function parameterCount(specs: readonly ParameterSpec[]): number {
	return specs.reduce((sum, { shape }) => sum + shape[0] * shape[1], 0);
}
