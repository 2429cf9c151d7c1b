/**
 * A norm's gradients in one launch: emulated kernels against the reference, in every order in which models have them, and apart where what
 * one writes another has yet to read.
 */
import { describe, expect, test } from "vitest";
import type { Precision, Runtime } from "../../../../src/engine/backend.ts";
import { lower } from "../../../../src/engine/backends/cuda/lower.ts";
import type { Lowered } from "../../../../src/engine/backends/cuda/lower-types.ts";
import { ReferenceRuntime } from "../../../../src/engine/backends/reference.ts";
import { Graph, type Tensor } from "../../../../src/engine/graph.ts";
import { columnSum, copy, matmul, opNamed } from "../../../../src/engine/ops/index.ts";
import { plan } from "../../../../src/engine/plan.ts";
import type { Operand, Program } from "../../../../src/engine/program.ts";
import { relativeDifference } from "../../close.ts";
import { compilerHere, emulatedRuntime } from "./emulator/device.ts";
import { runProgram } from "./run-program.ts";

type Part = "dx" | "weight" | "bias" | "dropped";

/** Few, so that few rows are several to a warp. */
const fewMultiprocessors: typeof lower = (program, target) => lower(program, { ...target, multiprocessors: 2 });

/** dy is a product, and what is made of it goes into products, so that in bf16 there are copies on both sides. */
function programOf(order: readonly Part[], rows: number, cols: number, residual = true): Program {
	const g = new Graph();
	const given = (name: string, height: number, width: number) => copy(g, g.input(name, [height, width], "f32"));
	const [x, weight, w] = [given("x", rows, cols), given("weight", 1, cols), given("w", cols, 16)];
	const added = residual ? given("residual", rows, cols) : null;
	const stats = g.apply(opNamed("layerNorm"), [x, weight, null], { eps: 1e-5 })[1];
	const dy = matmul(g, given("a", rows, 24), given("b", 24, cols));
	const made = new Map<string, Tensor>();
	const make: Record<Part, () => Tensor> = {
		dx: () => g.apply(opNamed("layerNormGrad"), [dy, x, weight, stats, added], {})[0],
		weight: () => g.apply(opNamed("layerNormWeightGrad"), [dy, x, stats], { accumulate: 0 })[0],
		bias: () => columnSum(g, dy),
		dropped: () => {
			const attributes = { p: 0.3, dropoutId: 5, rowsPerSequence: 4, sequences: 3 };
			return g.apply(opNamed("dropout"), [made.get("dx") as Tensor], attributes)[0];
		},
	};
	for (const part of order) made.set(part, make[part]());
	const outputs = new Map([...made].map(([name, result]) => [name, copy(g, result)]));
	for (const name of ["dx", "dropped"]) {
		const result = made.get(name);
		if (result) outputs.set(`product of ${name}`, copy(g, matmul(g, result, w)));
	}
	return plan(g, { kind: "body", layout: { parameter: () => 0, shared: () => 0 }, outputs });
}

function lowered(program: Program, precision: Precision): Lowered {
	return lower(program, { precision, multiprocessors: 2, sharedMemory: 227 << 10 });
}

function kernelsOf(program: Program, precision: Precision): string[] {
	return lowered(program, precision).commands.flatMap((each) => (each.kind === "kernel" ? [each.kernel] : []));
}

const run = (runtime: Runtime, program: Program) => runProgram(runtime, program, { mean: 0.5, deviation: 1 });

async function compareWithReference(program: Program, precision: Precision): Promise<void> {
	const expected = await run(new ReferenceRuntime({ precision: "double" }), program);
	const emulated = () => run(emulatedRuntime({ precision, lower: fewMultiprocessors }), program);
	const actual = await emulated();
	for (const [name, values] of expected) {
		expect(relativeDifference(values, actual.get(name) ?? []), name).toBeLessThan(precision === "fp32" ? 1e-5 : 2e-2);
	}
	expect(await emulated()).toEqual(actual);
}

/** What lies where `from` does has its place at `to`: everything, or from what the first instruction of op `since` writes. */
function moved(program: Program, { offset, rows, cols }: Operand, to: number, since?: string): Program {
	const there = (each: Operand | null) => {
		const same = each?.space === "arena" && each.offset === offset && each.rows === rows && each.cols === cols;
		return same ? { ...each, offset: to } : each;
	};
	const first = program.instructions.findIndex(({ op }) => op.name === since);
	const instructions = program.instructions.map((each, i) => ({
		...each,
		inputs: i > first ? each.inputs.map(there) : each.inputs,
		outputs: i >= first ? each.outputs.map(there) : each.outputs,
	}));
	const arenaWords = Math.max(program.arenaWords, to + rows * cols);
	return { ...program, arenaWords, instructions: instructions as Program["instructions"] };
}

/** An operand of the first instruction of an op, by its name there. */
function operandOf(program: Program, op: string, name: string): Operand {
	const found = program.instructions.find((each) => each.op.name === op);
	const place = found?.op.inputs.indexOf(name) ?? -1;
	return (place >= 0 ? found?.inputs[place] : found?.outputs[0]) as Operand;
}

const cases: [Part[], number, number, boolean?][] = [
	[["weight", "dx"], 131, 48],
	[["dx", "weight"], 53, 528, false],
	[["weight", "dx", "dropped"], 29, 1024],
	[["dx", "weight", "dropped"], 5, 16, false],
	[["weight", "bias", "dx", "dropped"], 75, 64],
	[["dx", "weight", "bias", "dropped"], 26, 560],
	[["weight", "dx"], 1, 32],
];

describe.skipIf(!compilerHere)("a norm's gradients (skipped where there is no g++)", { timeout: 60_000 }, () => {
	for (const precision of ["fp32", "bf16"] as const) {
		test.each(cases)(`${precision}: %j together, %i x %i`, async (order, rows, cols, residual) => {
			const program = programOf(order, rows, cols, residual);
			const kernels = kernelsOf(program, precision);
			const sums = order.includes("bias") ? 2 : 1;
			expect(kernels.filter((name) => name === "normRowGradSums")).toHaveLength(1);
			expect(kernels.filter((name) => name.startsWith("columnSums"))).toHaveLength(sums);
			expect(kernels).not.toContain("normRowGrad");
			expect(kernels.filter((name) => name.startsWith("epilogue"))).toEqual([]);
			await compareWithReference(program, precision);
		});
	}

	test.each(["fp32", "bf16"] as const)("%s: sums alone, in chunks of rows", async (precision) => {
		for (const cols of [40, 136]) {
			const program = programOf(["weight", "bias"], 150, cols);
			expect(kernelsOf(program, precision).filter((name) => name.startsWith("columnSums"))).toHaveLength(4);
			await compareWithReference(program, precision);
			await compareWithReference(programOf(["weight"], 150, cols), precision);
		}
	});

	test("in bf16, dy is there as bf16 alone", () => {
		const { commands } = lowered(programOf(["weight", "dx"], 40, 64), "bf16");
		const launch = commands.find((each) => each.kind === "kernel" && each.kernel === "normRowGradSums");
		const [dy] = launch?.kind === "kernel" ? launch.args : [];
		expect(dy?.kind === "matrix" && dy.operand?.dtype).toBe("half");
	});

	test("nothing but the sums waits for the parts to be added up", () => {
		const program = programOf(["weight", "dx", "dropped"], 40, 64);
		const { commands, dependencies = [] } = lowered(program, "bf16");
		const names = commands.map((each) => (each.kind === "kernel" ? each.kernel : each.kind));
		const total = names.findIndex((name) => name.startsWith("columnSums"));
		expect(dependencies[total].map((each) => names[each])).toEqual(["normRowGradSums"]);
		const waiting = dependencies.flatMap((needed, i) => (needed.includes(total) ? [commands[i].label] : []));
		expect(waiting).toEqual(["copy"]);
	});

	test.each(["dy", "x"])("apart where dx is written over %s before the sums", async (name) => {
		const planned = programOf(["dx", "weight"], 37, 48);
		const over = operandOf(planned, "layerNormGrad", name);
		const program = moved(planned, operandOf(planned, "layerNormGrad", "dx"), over.offset, "layerNormGrad");
		const kernels = kernelsOf(program, "fp32");
		expect(kernels).toContain("normRowGrad");
		expect(kernels).not.toContain("normRowGradSums");
		await compareWithReference(program, "fp32");
	});

	test.each(["x", "dy", "residual"])("dropout is apart where its rows lie over other rows of %s", async (name) => {
		const planned = programOf(["weight", "dx", "dropped"], 37, 48);
		const end = planned.arenaWords;
		const apart = moved(planned, operandOf(planned, "layerNormGrad", name), end);
		const free = moved(apart, operandOf(apart, "layerNormGrad", "dx"), end + 64 * 48, "layerNormGrad");
		const program = moved(free, operandOf(free, "dropout", "y"), end + 3 * 48, "dropout");
		const together = lowered(program, "fp32").commands.map(({ label }) => label);
		expect(together).toContain("layerNormGrad; layerNormWeightGrad");
		expect(together).toContain("dropout");
		await compareWithReference(program, "fp32");
	});

	test.each([
		["weight", "dx", "dropped"],
		["dx", "dropped"],
	] as Part[][])("%s, %s, %s: dropout in the place of dx", async (...order) => {
		const planned = programOf(order, 37, 48);
		const dx = operandOf(planned, "layerNormGrad", "dx");
		const program = moved(planned, operandOf(planned, "dropout", "y"), dx.offset, "dropout");
		expect(kernelsOf(program, "fp32").filter((name) => name.startsWith("epilogue"))).toEqual([]);
		await compareWithReference(program, "fp32");
		await compareWithReference(program, "bf16");
	});
});
