/** Planning: views instead of copies, memory used again but never while it is needed, results where they are wanted. */
import { expect, test } from "vitest";
import { RandomSequence } from "../../src/base/random.ts";
import { reference } from "../../src/engine/backends/reference.ts";
import { Graph, type Tensor } from "../../src/engine/graph.ts";
import {
	add,
	concatColumns,
	concatRows,
	gelu,
	matmul,
	mul,
	relu,
	scale,
	sliceColumns,
	sliceRows,
} from "../../src/engine/ops/index.ts";
import { type Layout, plan } from "../../src/engine/plan.ts";
import type { Program } from "../../src/engine/program.ts";

const layout: Layout = { parameter: () => 0, shared: () => 0 };

function planned(g: Graph, outputs: Record<string, Tensor>): Program {
	return plan(g, { kind: "body", layout, outputs: new Map(Object.entries(outputs)) });
}

async function run(program: Program, input: Float32Array, names: string[]): Promise<Float32Array[]> {
	const runtime = await reference.create({});
	runtime.reserve("inputs", program.inputWords);
	runtime.reserve("outputs", program.outputWords);
	runtime.write("inputs", 0, input);
	const handle = runtime.load(program);
	const micro = { program: handle, slice: 0, inputsOffset: 0, outputsOffset: 0, firstSequence: 0 };
	await runtime.run({
		weightsChanged: true,
		seed: 1n,
		step: 1,
		slices: 1,
		gradientWords: 0,
		microBatches: [micro],
		updates: [],
	});
	return names.map((name) => {
		const slot = program.outputs.get(name);
		if (!slot) throw new Error(name);
		const words = new Float32Array(slot.shape[0] * slot.shape[1]);
		runtime.read("outputs", slot.offset, words);
		return words;
	});
}

const names = (program: Program) => program.instructions.map(({ op }) => op.name);

test("slices and concatenations of computed values are names, not copies", () => {
	const g = new Graph();
	const x = g.input("x", [4, 6], "f32");
	const parts = [gelu(g, sliceRows(g, x, 0, 2)), relu(g, sliceRows(g, x, 2, 4))];
	const wide = concatColumns(g, [concatRows(g, parts), scale(g, x, 2)]);
	const program = planned(g, { y: scale(g, sliceColumns(g, wide, 3, 9), 1) });
	expect(names(program)).toEqual(["gelu", "relu", "scale", "scale"]);
	const [first, second] = program.instructions.map(({ outputs }) => outputs[0]);
	expect(first).toMatchObject({ ld: 12 });
	expect((second?.offset ?? 0) - (first?.offset ?? 0)).toBe(2 * 12);
});

test("a value in two concatenations is copied into one of them, and both are right", async () => {
	const g = new Graph();
	const x = g.input("x", [2, 3], "f32");
	const y = scale(g, x, 3);
	const z = scale(g, x, 5);
	const a = concatRows(g, [y, z, y]);
	const b = concatColumns(g, [z, y]);
	const program = planned(g, { a, b });
	expect(names(program).filter((name) => name === "copy").length).toBeGreaterThan(0);
	const [ra, rb] = await run(program, Float32Array.of(1, 2, 3, 4, 5, 6), ["a", "b"]);
	expect([...ra]).toEqual([3, 6, 9, 12, 15, 18, 5, 10, 15, 20, 25, 30, 3, 6, 9, 12, 15, 18]);
	expect([...rb]).toEqual([5, 10, 15, 3, 6, 9, 20, 25, 30, 12, 15, 18]);
});

test("a chain of elementwise ops needs the memory of one value", () => {
	const g = new Graph();
	let y = scale(g, g.input("x", [8, 16], "f32"), 2);
	for (let i = 0; i < 20; i++) y = gelu(g, y);
	expect(planned(g, { y }).arenaWords).toBeLessThanOrEqual(2 * 128);
});

test("what no result needs is not computed", () => {
	const g = new Graph();
	const x = g.input("x", [2, 2], "f32");
	matmul(g, x, x);
	expect(names(planned(g, { y: relu(g, x) }))).toEqual(["relu"]);
});

test.each(Array.from({ length: 40 }, (_, seed) => seed))(
	"random graph %i: reuse of memory changes no value",
	async (seed) => {
		const g = new Graph();
		const random = new RandomSequence(seed, 99, 0);
		const x = g.input("x", [4, 4], "f32");
		const values: Tensor[] = [x];
		const pick = () => values[random.below(values.length)];
		const makers: (() => Tensor)[] = [
			() => add(g, pick(), pick()),
			() => mul(g, pick(), pick()),
			() => gelu(g, pick()),
			() => scale(g, pick(), 0.5),
			() => matmul(g, pick(), pick(), { transposeB: true }),
			() => concatRows(g, [sliceRows(g, pick(), 0, 2), sliceRows(g, pick(), 1, 3)]),
			() => concatRows(g, [scale(g, sliceRows(g, pick(), 2, 4), 2), relu(g, sliceRows(g, pick(), 0, 2))]),
			() => concatColumns(g, [sliceColumns(g, pick(), 0, 1), scale(g, sliceColumns(g, pick(), 1, 4), -1)]),
		];
		for (let i = 0; i < 25; i++) values.push(makers[random.below(makers.length)]());
		const input = Float32Array.from({ length: 16 }, () => random.uniform() - 0.5);
		const last = values[values.length - 1];
		const alone = await run(planned(g, { last }), input, ["last"]);
		// With every value an output, none may share memory: the specification.
		const all = Object.fromEntries(values.slice(1).map((value, i) => [`v${i}`, value]));
		const separate = await run(planned(g, all), input, [`v${values.length - 2}`]);
		expect(alone).toEqual(separate);
	},
);
