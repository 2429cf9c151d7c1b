/** Both ends of an embedding: rows looked up, added and dropped in one launch, and the gradient of a table with many rows; emulated. */
import { describe, expect, test } from "vitest";
import type { Precision } from "../../../../src/engine/backend.ts";
import { lower } from "../../../../src/engine/backends/cuda/lower.ts";
import { ReferenceRuntime } from "../../../../src/engine/backends/reference.ts";
import { Graph, type Tensor } from "../../../../src/engine/graph.ts";
import { add, copy, dropout, gather, matmul, scatterAdd } from "../../../../src/engine/ops/index.ts";
import { plan } from "../../../../src/engine/plan.ts";
import type { Program } from "../../../../src/engine/program.ts";
import { relativeDifference } from "../../close.ts";
import { compilerHere, emulatedRuntime } from "./emulator/device.ts";
import { runProgram } from "./run-program.ts";

function planned(g: Graph, results: Record<string, Tensor>): Program {
	const outputs = new Map(Object.entries(results).map(([name, result]) => [name, copy(g, result)]));
	return plan(g, { kind: "body", layout: { parameter: () => 0, shared: () => 0 }, outputs });
}

/** 12 tokens of two sequences, one of which has no row. */
function embedding(cols: number, p: number, tokensToo = false): Program {
	const g = new Graph();
	const table = (name: string, rows: number) => copy(g, g.input(name, [rows, cols], "f32"));
	const ids = g.constant(Int32Array.of(3, 1, 4, 1, 5, 0, 2, -1, 5, 3, 5, 4), [12, 1]);
	const places = g.constant(
		Int32Array.from({ length: 12 }, (_, i) => i % 6),
		[12, 1],
	);
	const tables = [table("tokens", 6), table("places", 6)];
	const tokens = gather(g, tables[0], ids);
	const sum = add(g, tokens, gather(g, tables[1], places));
	const y = dropout(g, sum, { p, rowsPerSequence: 6, sequences: 2 });
	const product = matmul(g, y, copy(g, g.input("w", [cols, 16], "f32")));
	return planned(g, { y, product, ...(tokensToo ? { tokens } : {}) });
}

const kernelsOf = (program: Program, precision: Precision) =>
	lower(program, { precision, multiprocessors: 4, sharedMemory: 227 << 10 }).commands.flatMap((each) =>
		each.kind === "kernel" ? [each.kernel] : [],
	);

async function compare(program: Program, precision: Precision, tolerance: number): Promise<void> {
	const given = { mean: 0.5, deviation: 1 };
	const expected = await runProgram(new ReferenceRuntime({ precision: "double" }), program, given);
	const actual = await runProgram(emulatedRuntime({ precision }), program, given);
	for (const [name, values] of expected) {
		expect(relativeDifference(values, actual.get(name) ?? []), name).toBeLessThan(tolerance);
	}
}

describe.skipIf(!compilerHere)("emulated (skipped where there is no g++)", { timeout: 60_000 }, () => {
	test.each([
		[16, 0],
		[48, 0.3],
		[144, 0.1],
	])("%i columns, dropout %f", async (cols, p) => {
		const program = embedding(cols, p);
		expect(kernelsOf(program, "fp16")).toContain("embed");
		expect(kernelsOf(program, "fp16").filter((name) => name === "gather")).toEqual([]);
		await compare(program, "fp32", 1e-6);
		await compare(program, "fp16", 2e-3);
	});

	test("apart where something else reads the rows, or columns are not sixteens", async () => {
		for (const program of [embedding(48, 0.3, true), embedding(20, 0.3)]) {
			expect(kernelsOf(program, "fp32")).not.toContain("embed");
			await compare(program, "fp32", 1e-6);
		}
	});

	// Tables so large that ids are passed over by stretches of 128: in order, in no order, and none at all in the last stretch.
	test.each([
		["in order", (i: number) => Math.floor(i / 2)],
		["mixed", (i: number) => (i * 2477) % 3000],
		["few", (i: number) => (i < 4200 ? i % 5 : -1)],
	])("a table of many rows, ids %s", async (_, idOf) => {
		const [rows, table] = [4301, 4001];
		const g = new Graph();
		const dy = copy(g, g.input("dy", [rows, 3], "f32"));
		const ids = g.constant(
			Int32Array.from({ length: rows }, (_, i) => idOf(i)),
			[rows, 1],
		);
		const program = planned(g, { y: scatterAdd(g, dy, ids, table) });
		expect(kernelsOf(program, "fp32")).toContain("idRanges");
		await compare(program, "fp32", 1e-6);
	});
});
