/** Every op in every case: the gradient rule against finite differences, the shape rule, and the table itself. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { RandomSequence } from "../../src/base/random.ts";
import { Graph, type Node, type Tensor } from "../../src/engine/graph.ts";
import type { OpCase, OpDefinition } from "../../src/engine/op.ts";
import { add, dropout, matmul, opNamed, ops } from "../../src/engine/ops/index.ts";
import { normal, valuesOf } from "./cases.ts";
import { evaluate, type Values } from "./evaluate.ts";

/** A graph of one node, with leaves for its inputs and their values. */
function single(op: OpDefinition, one: OpCase) {
	const graph = new Graph();
	const leaves = new Map<Tensor, Values>();
	const inputs = valuesOf(op, one).map((values, index) => {
		if (!values) return null;
		const dtype = values instanceof Int32Array ? "i32" : "f32";
		const leaf = graph.input(`input ${index}`, one.inputs[index] as [number, number], dtype);
		leaves.set(leaf, values instanceof Int32Array ? values : Float64Array.from(values));
		return leaf;
	});
	graph.apply(op, inputs, one.attributes);
	return { graph, node: graph.nodes[0], leaves };
}

function product(a: Values, b: Values): number {
	let sum = 0;
	for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
	return sum;
}

function flopsOf({ op, inputs, outputs, attributes }: Node): number {
	const shapes = (list: (Tensor | null)[]) => list.map((tensor) => tensor?.shape ?? null);
	return op.flops(shapes(inputs), shapes(outputs), attributes);
}

function randomLike(values: { length: number }, random: RandomSequence): Float64Array {
	return Float64Array.from({ length: values.length }, () => normal(random));
}

/** d loss / d input `index` in direction `direction`, by central differences; loss = <weights, first output>. */
function slopeAlong(
	graph: Graph,
	node: Node,
	leaves: Map<Tensor, Values>,
	weights: Values,
	index: number,
	direction: Values,
): number {
	const h = 1e-5;
	const leaf = node.inputs[index] as Tensor;
	const lossAt = (t: number) => {
		const moved = Float64Array.from(leaves.get(leaf) as Values, (value, i) => value + t * direction[i]);
		return product(weights, evaluate(graph, new Map(leaves).set(leaf, moved))(node.outputs[0]));
	};
	return (lossAt(h) - lossAt(-h)) / (2 * h);
}

function checkGradient(op: OpDefinition, one: OpCase): void {
	const { graph, node, leaves } = single(op, one);
	const floats = node.inputs.flatMap((input, index) => (input?.dtype === "f32" ? [index] : []));
	const checked = (one.differentiate ?? floats).filter((index) => floats.includes(index));
	if (checked.length === 0) return;
	const random = new RandomSequence(2, 2, 0);
	const weights = randomLike({ length: node.outputs[0].shape[0] * node.outputs[0].shape[1] }, random);
	const backward = new Graph();
	backward.nodes.push(node);
	const dy = backward.input("dy", node.outputs[0].shape, "f32");
	const dOutputs = node.outputs.map((_, index) => (index === 0 ? dy : null));
	const wants = (index: number) => checked.includes(index);
	const gradients = op.gradient?.({ graph: backward, node, dOutputs, wants }) ?? [];
	const value = evaluate(backward, new Map(leaves).set(dy, weights));
	for (const index of checked) {
		const leaf = node.inputs[index] as Tensor;
		const gradient = gradients[index];
		if (!gradient) throw new Error(`no gradient to ${op.inputs[index]}`);
		expect(gradient.shape).toEqual(leaf.shape);
		for (let i = 0; i < 4; i++) {
			const direction = randomLike(leaves.get(leaf) as Values, random);
			const expected = slopeAlong(graph, node, leaves, weights, index, direction);
			const actual = product(value(gradient), direction);
			const size = Math.max(1e-3, Math.sqrt(product(value(gradient), value(gradient)) * product(direction, direction)));
			const where = `${op.name}, ${one.name}: gradient to ${op.inputs[index]}: ${actual} by rule, ${expected} by differences`;
			expect(Math.abs(actual - expected) / size, where).toBeLessThan(1e-7);
		}
	}
}

describe("gradient rules against finite differences", () => {
	for (const op of ops.filter(({ gradient }) => gradient)) {
		test(op.name, () => {
			for (const one of op.cases) checkGradient(op, one);
		});
	}
});

describe("shape rules", () => {
	for (const op of ops) {
		test(`${op.name} gives the shapes its reference fills`, () => {
			for (const one of op.cases) {
				const { graph, node, leaves } = single(op, one);
				const value = evaluate(graph, leaves);
				for (const output of node.outputs) {
					expect([...value(output)].every(Number.isFinite), one.name).toBe(true);
					expect(value(output).length).toBe(output.shape[0] * output.shape[1]);
				}
			}
		});

		test(`${op.name} refuses operands that do not fit`, () => {
			const one = op.cases[op.cases.length - 1];
			const { node } = single(op, one);
			const g = new Graph();
			const prefix = `[${op.name}] expected`;
			const refuses = (inputs: (Tensor | null)[], attributes = node.attributes) =>
				expect(() => g.apply(op, inputs, attributes)).toThrow(prefix);
			if (op.inputs[0].startsWith("...")) {
				refuses([]);
				refuses([g.input("a", [2, 3], "f32"), g.input("b", [5, 7], "f32")]);
				return;
			}
			refuses(node.inputs.slice(1));
			refuses([null, ...node.inputs.slice(1)]);
			// An input that must agree with another one is refused when it grows by a prime in both directions.
			for (let index = 1; index < node.inputs.length; index++) {
				const input = node.inputs[index];
				if (!input || op.name === "scaleBy") continue; // its x fits any other operand
				const grown = g.input(`grown ${index}`, [input.shape[0] + 101, input.shape[1] + 103], input.dtype);
				refuses(node.inputs.map((other, i) => (i === index ? grown : other)));
				const retyped = g.input(`retyped ${index}`, input.shape, input.dtype === "f32" ? "i32" : "f32");
				refuses(node.inputs.map((other, i) => (i === index ? retyped : other)));
			}
			for (const name of Object.keys(op.attributes)) {
				refuses(node.inputs, { ...node.attributes, [name]: Number.NaN });
			}
		});
	}

	test("attributes out of range", () => {
		const g = new Graph();
		const x = g.input("x", [6, 4], "f32");
		const refuses = (name: string, inputs: (Tensor | null)[], attributes: Record<string, number>, message: string) =>
			expect(() => g.apply(opNamed(name), inputs, attributes)).toThrow(message);
		refuses("sliceRows", [x], { start: 2, end: 7 }, "[sliceRows] expected 0 <= start < end <= 6, got start 2, end 7");
		refuses("sliceColumns", [x], { start: 3, end: 3 }, "0 <= start < end <= 4");
		refuses("clamp", [x], { lo: 1, hi: 0 }, "lo <= hi");
		refuses("dropout", [x], { p: 1.5, dropoutId: 0, rowsPerSequence: 1, sequences: 1 }, "p in [0, 1]");
		const kv = g.input("kv", [6, 8], "f32");
		const attention = { windows: 2, heads: 2, p: 0, dropoutId: 0, sequences: 1 };
		refuses("attention", [x, kv, null], { ...attention, windows: 4 }, "multiple of windows 4, got 6");
		refuses("attention", [x, kv, null], { ...attention, heads: 3 }, "multiple of heads 3, got 4");
		expect(() => matmul(g, x, x)).toThrow(
			"[matmul] expected b with 4 rows (transposeA 0, transposeB 0, batch 1), got a of 6 x 4, b of 6 x 4",
		);
	});
});

describe("gradient rules refuse what they cannot do", () => {
	test("a fused product", () => {
		const one = opNamed("matmul").cases.find(({ name }) => name === "bias") as OpCase;
		const { graph, node } = single(opNamed("matmul"), one);
		const context = { graph, node, dOutputs: [node.outputs[0]], wants: () => true };
		expect(() => node.op.gradient?.(context)).toThrow("differentiate before fusing");
	});

	test("by-products", () => {
		for (const name of ["layerNorm", "crossEntropy"]) {
			const { graph, node } = single(opNamed(name), opNamed(name).cases[0]);
			const context = { graph, node, dOutputs: [null, node.outputs[1]], wants: () => true };
			expect(() => node.op.gradient?.(context)).toThrow(`[${name}] expected no gradient to`);
		}
	});
});

describe("builders", () => {
	test("dropout of nothing is no op, and every dropout has its own id", () => {
		const g = new Graph();
		const x = g.input("x", [4, 6], "f32");
		const rows = { rowsPerSequence: 2, sequences: 2 };
		expect(dropout(g, x, { p: 0, ...rows })).toBe(x);
		const [a, b] = [dropout(g, x, { p: 0.5, ...rows }), dropout(g, x, { p: 0.5, ...rows })];
		add(g, a, b);
		expect(g.nodes.map((node) => node.attributes.dropoutId)).toEqual([0, 1, undefined]);
	});
});

describe("the table", () => {
	/** Rows of the kernels' table in native/ABI.md: name -> attribute names. */
	const documented = new Map(
		readFileSync(new URL("../../native/ABI.md", import.meta.url), "utf8")
			.split("## Kernels")[1]
			.split("\n")
			.filter((line) => line.startsWith("| ") && !line.startsWith("| kernel") && !line.startsWith("| ---"))
			.flatMap((line) => {
				const cells = line.split("|").map((cell) => cell.trim());
				const names = cells[1].replace(/\(.*\)/, "").split(",");
				return names.map(
					(name) =>
						[
							name.trim(),
							cells[4]
								.split(",")
								.map((attribute) => attribute.trim())
								.filter(Boolean),
						] as const,
				);
			}),
	);

	test("has an op for every kernel of the ABI, with its attributes in its order", () => {
		expect(documented.size).toBeGreaterThan(30);
		for (const [name, attributes] of documented) {
			if (name === "attentionGrad") continue; // "as attention"
			const declared = Object.entries(opNamed(name).attributes).map(([attribute, kind]) =>
				kind === "float" ? `f${attribute}` : attribute,
			);
			expect(declared, name).toEqual(attributes);
		}
		const kernels = ops.filter(({ view }) => !view).map(({ name }) => name);
		expect([...documented.keys()].sort()).toEqual(kernels.sort());
		expect(opNamed("attentionGrad").attributes).toEqual(opNamed("attention").attributes);
	});

	test("is the one in docs/ops.md (node scripts/op-table.mjs writes it)", () => {
		const page = readFileSync(new URL("../../docs/ops.md", import.meta.url), "utf8");
		const rows = page
			.split("\n")
			.flatMap((line) => line.match(/^\| (\w+ \| .*?) \| (?:yes)? *\| (?:yes|view) /)?.[1] ?? []);
		expect(rows).toEqual(ops.map(({ name, formula }) => `${name} | ${formula}`));
		expect(page).not.toContain("| none |");
	});

	test("says what is wrong with a name that is in no table", () => {
		expect(() => opNamed("convolution")).toThrow('[ops] expected the name of an op, got "convolution"');
	});

	test("counts the multiply-adds of a product as two", () => {
		const g = new Graph();
		matmul(g, g.input("a", [10, 7], "f32"), g.input("b", [7, 3], "f32"));
		expect(flopsOf(g.nodes[0])).toBe(2 * 10 * 7 * 3);
	});

	test("counts only the visible pairs of attention", () => {
		const { node } = single(opNamed("attention"), {
			name: "two windows of four rows with a prefix of three",
			inputs: [
				[8, 6],
				[8, 12],
				[6, 12],
			],
			attributes: { windows: 2, heads: 1, p: 0, dropoutId: 0, sequences: 1 },
		});
		const pairs = 2 * (4 * 3 + 10);
		expect(flopsOf(node)).toBe(pairs * (4 * 6 + 4));
	});
});
