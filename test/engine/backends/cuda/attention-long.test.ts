/** Attention of long windows in halves as it stands in a model, operands and results in the arena: emulated kernels against the reference. */
import { afterAll, describe, expect, test } from "vitest";
import type { Runtime } from "../../../../src/engine/backend.ts";
import { lower } from "../../../../src/engine/backends/cuda/lower.ts";
import { ReferenceRuntime } from "../../../../src/engine/backends/reference.ts";
import { Graph } from "../../../../src/engine/graph.ts";
import { attention, copy, opNamed } from "../../../../src/engine/ops/index.ts";
import { plan } from "../../../../src/engine/plan.ts";
import type { Program } from "../../../../src/engine/program.ts";
import { relativeDifference } from "../../close.ts";
import { compilerHere, emulatedRuntime } from "./emulator/device.ts";
import { runProgram } from "./run-program.ts";

interface Sizes {
	windows: number;
	/** Rows of a window, heads, columns of a head. */
	n: number;
	heads: number;
	size: number;
	p?: number;
	sequences?: number;
	/** Which results are wanted. */
	wanted?: readonly string[];
}

const cases: [string, Sizes][] = [
	["one row more than two blocks", { windows: 2, n: 65, heads: 2, size: 32 }],
	["several blocks, the last ragged", { windows: 1, n: 203, heads: 1, size: 64 }],
	["whole blocks", { windows: 1, n: 128, heads: 2, size: 64 }],
	["dropout", { windows: 4, n: 70, heads: 1, size: 32, p: 0.3, sequences: 2 }],
	["heads of 96", { windows: 1, n: 97, heads: 2, size: 96 }],
	["heads of 128", { windows: 2, n: 64, heads: 1, size: 128 }],
	["forward alone", { windows: 1, n: 90, heads: 2, size: 32, wanted: ["o"] }],
];

function programOf({ windows, n, heads, size, p = 0, sequences = windows, wanted }: Sizes): Program {
	const g = new Graph();
	const rows = windows * n;
	const width = heads * size;
	const inArena = (name: string, cols: number) => copy(g, g.input(name, [rows, cols], "f32"));
	const [q, kv, dout] = [inArena("q", width), inArena("kv", 2 * width), inArena("dout", width)];
	const o = attention(g, q, kv, null, { windows, heads, dropout: p, sequences });
	const made = g.nodes.find(({ op }) => op.name === "attention");
	const [dq, dkv] = g.apply(opNamed("attentionGrad"), [q, kv, null, dout], made?.attributes ?? {});
	const results = Object.entries({ o, dq, dkv }).filter(([name]) => wanted?.includes(name) ?? true);
	const outputs = new Map(results.map(([name, result]) => [name, copy(g, result)]));
	return plan(g, { kind: "body", layout: { parameter: () => 0, shared: () => 0 }, outputs });
}

const run = (runtime: Runtime, program: Program) => runProgram(runtime, program, { mean: 0, deviation: 2 });

describe.skipIf(!compilerHere)("attention of long windows (skipped where there is no g++)", { timeout: 60_000 }, () => {
	const exact = new ReferenceRuntime({ precision: "double" });
	const runtimes = { bf16: emulatedRuntime({ precision: "bf16" }), fp16: emulatedRuntime({ precision: "fp16" }) };
	afterAll(async () => {
		for (const runtime of Object.values(runtimes)) await runtime.close();
	});

	describe.each([
		["bf16", 1e-2],
		["fp16", 2e-3],
	] as const)("%s", (precision, tolerance) => {
		test.each(cases)("%s", async (_, sizes) => {
			const program = programOf(sizes);
			const lowered = lower(program, { precision, multiprocessors: 4, sharedMemory: 227 << 10 });
			const kernels = lowered.commands.flatMap((each) =>
				each.kind === "kernel" ? [`${each.file} ${each.kernel}`] : [],
			);
			expect(kernels).toContain("attention_long attentionLong");
			expect(kernels.filter((name) => name.startsWith("attention "))).toEqual([]);
			const expected = await run(exact, program);
			const actual = await run(runtimes[precision], program);
			for (const [name, values] of expected) {
				expect(relativeDifference(values, actual.get(name) ?? []), name).toBeLessThan(tolerance);
			}
		});
	});
});
