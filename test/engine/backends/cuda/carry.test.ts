/** What stands between two windows of the accumulate recurrence, in one launch each way: emulated kernels against the reference. */
import { describe, expect, test } from "vitest";
import type { Precision, Runtime } from "../../../../src/engine/backend.ts";
import { lower } from "../../../../src/engine/backends/cuda/lower.ts";
import { ReferenceRuntime } from "../../../../src/engine/backends/reference.ts";
import { Graph } from "../../../../src/engine/graph.ts";
import {
	add,
	addScaled,
	concatRows,
	copy,
	matmul,
	opNamed,
	scaleBy,
	sliceRows,
} from "../../../../src/engine/ops/index.ts";
import { plan } from "../../../../src/engine/plan.ts";
import type { Operand, Program } from "../../../../src/engine/program.ts";
import { relativeDifference } from "../../close.ts";
import { compilerHere, emulatedRuntime } from "./emulator/device.ts";
import { runProgram } from "./run-program.ts";

interface Sizes {
	/** Rows of f, and of s. */
	rows: number;
	cols: number;
	p?: number;
	bias?: boolean;
	/** Is alpha learned? */
	learned?: boolean;
}

const program = (g: Graph, results: Record<string, Parameters<typeof copy>[1]>): Program =>
	plan(g, {
		kind: "body",
		layout: { parameter: () => 0, shared: () => 0 },
		outputs: new Map(Object.entries(results).map(([name, result]) => [name, copy(g, result)])),
	});

/** The end of a window and the norm of the next. */
function forward({ rows, cols, p = 0, bias = false }: Sizes): Program {
	const g = new Graph();
	const given = (name: string, height: number, width: number) => copy(g, g.input(name, [height, width], "f32"));
	const [a, w, residual] = [given("a", 2 * rows, 32), given("w", cols, 32), given("residual", 2 * rows, cols)];
	const [alpha, x, weight] = [given("alpha", 1, 1), given("x", rows, cols), given("weight", 1, cols)];
	const [row, shift] = ["row", "shift"].map((name) => (bias ? given(name, 1, cols) : null));
	const place = { dropoutId: 5, rowsPerSequence: 2, sequences: rows / 2 };
	const attributes = { transposeA: 0, transposeB: 1, batch: 1, accumulate: 0, activation: 0, p, ...place };
	const fs = g.apply(opNamed("matmul"), [a, w, row, null, residual], attributes)[0];
	const f = sliceRows(g, fs, 0, rows);
	const past = addScaled(g, alpha, f, sliceRows(g, fs, rows, 2 * rows));
	const joined = concatRows(g, [past, addScaled(g, alpha, f, x)]);
	const [y, stats] = g.apply(opNamed("layerNorm"), [joined, weight, shift], { eps: 1e-5 });
	// As in training, what the gradient will read is kept.
	const kept = { residual, x, alpha, weight, ...(row && shift ? { row, shift } : {}) };
	return program(g, { fs, joined, y, stats, product: matmul(g, y, given("v", cols, 16)), ...kept });
}

/** The gradient of that, down to the dropout of the product. */
function backward({ rows, cols, p = 0, learned = true }: Sizes, scaledToo = false): Program {
	const g = new Graph();
	const given = (name: string, height: number, width: number) => copy(g, g.input(name, [height, width], "f32"));
	const [both, f, alpha] = [given("both", 2 * rows, cols), given("f", rows, cols), given("alpha", 1, 1)];
	const [past, present] = [sliceRows(g, both, 0, rows), sliceRows(g, both, rows, 2 * rows)];
	const dot = (x: typeof f) => g.apply(opNamed("dot"), [x, f], { accumulate: 0 })[0];
	const results: Record<string, typeof f> = {};
	if (learned) results.ofPresent = dot(present);
	const scaled = scaleBy(g, alpha, present);
	if (learned) results.ofPast = dot(past);
	const sum = add(g, scaled, scaleBy(g, alpha, past));
	const joined = concatRows(g, [sum, copy(g, past)]);
	results.joined = joined;
	const place = { dropoutId: 7, rowsPerSequence: 2, sequences: rows / 2 };
	const made = p > 0 ? g.apply(opNamed("dropout"), [joined], { p, ...place })[0] : joined;
	if (scaledToo) results.scaled = scaled;
	return program(g, { ...results, made, product: matmul(g, made, given("v", cols, 16)), both });
}

const kernelsOf = (given: Program, precision: Precision) =>
	lower(given, { precision, multiprocessors: 4, sharedMemory: 227 << 10 }).commands.flatMap((each) =>
		each.kind === "kernel" ? [each.kernel] : [],
	);

const run = (runtime: Runtime, given: Program) => runProgram(runtime, given, { mean: 0.5, deviation: 1 });

async function compare(given: Program, precision: Precision): Promise<void> {
	const expected = await run(new ReferenceRuntime({ precision: "double" }), given);
	const actual = await run(emulatedRuntime({ precision }), given);
	const tolerance = { fp32: 1e-5, tf32: 2e-3, bf16: 2e-2, fp16: 2e-3 }[precision];
	for (const [name, values] of expected) {
		expect(relativeDifference(values, actual.get(name) ?? []), name).toBeLessThan(tolerance);
	}
}

/** Everything from instruction `first` on that lies where `from` does has its place at `to`. */
function moved(given: Program, first: number, from: Operand, to: number): Program {
	const there = (each: Operand | null) =>
		each?.space === "arena" && each.offset === from.offset && each.rows === from.rows ? { ...each, offset: to } : each;
	const instructions = given.instructions.map((each, i) => ({
		...each,
		inputs: i > first ? each.inputs.map(there) : each.inputs,
		outputs: i >= first ? each.outputs.map(there) : each.outputs,
	}));
	return { ...given, instructions: instructions as Program["instructions"] };
}

const cases: [string, Sizes][] = [
	["one row of 16 columns", { rows: 2, cols: 16 }],
	["dropout", { rows: 14, cols: 96, p: 0.2 }],
	["bias, and alpha that is not learned", { rows: 6, cols: 48, bias: true, learned: false }],
	["more columns than a warp takes at once", { rows: 4, cols: 528, p: 0.1, bias: true }],
];

describe.skipIf(!compilerHere)("emulated (skipped where there is no g++)", { timeout: 60_000 }, () => {
	describe.each(["fp32", "fp16"] as const)("%s", (precision) => {
		test.each(cases)("forward: %s", async (_, sizes) => {
			const given = forward(sizes);
			expect(kernelsOf(given, precision)).toContain("carryNormRow");
			await compare(given, precision);
		});

		test.each(cases)("backward: %s", async (_, sizes) => {
			const given = backward(sizes);
			expect(kernelsOf(given, precision)).toContain("carryGrad");
			await compare(given, precision);
		});
	});

	test("what others may still be reading is not written over", async () => {
		const given = forward({ rows: 4, cols: 32 });
		const norm = given.instructions.findIndex(({ op }) => op.name === "layerNorm");
		const alpha = given.instructions.find(({ op }) => op.name === "addScaled")?.inputs[0] as Operand;
		const over = moved(given, norm, given.instructions[norm].outputs[0] as Operand, alpha.offset - (alpha.offset % 4));
		expect(kernelsOf(over, "fp32")).not.toContain("carryNormRow");
	});

	test("a product that something else reads as well is made", async () => {
		const given = backward({ rows: 4, cols: 32 }, true);
		expect(kernelsOf(given, "fp32")).not.toContain("carryGrad");
		await compare(given, "fp32");
	});
});
