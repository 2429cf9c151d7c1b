/** Attention of small windows in halves as it stands in a model, operands and results in the arena: emulated kernels against the reference. */
import { afterAll, describe, expect, test } from "vitest";
import type { Runtime } from "../../../../src/engine/backend.ts";
import { lower } from "../../../../src/engine/backends/cuda/lower.ts";
import type { Launch } from "../../../../src/engine/backends/cuda/lower-types.ts";
import { ReferenceRuntime } from "../../../../src/engine/backends/reference.ts";
import { Graph, type Tensor } from "../../../../src/engine/graph.ts";
import { add, attention, copy, matmul, opNamed } from "../../../../src/engine/ops/index.ts";
import { plan } from "../../../../src/engine/plan.ts";
import type { Program } from "../../../../src/engine/program.ts";
import { relativeDifference } from "../../close.ts";
import { compilerHere, emulatedRuntime } from "./emulator/device.ts";
import { runProgram } from "./run-program.ts";

interface Sizes {
	windows: number;
	/** Rows of a window and of its prefix, heads, columns of a head. */
	n: number;
	m: number;
	heads: number;
	size: number;
	p?: number;
	sequences?: number;
	/** Is something added to the prefix's gradient? */
	adds?: boolean;
	/** Are results read by products, in halves, rather than in single precision? */
	products?: boolean;
}

const plain = { windows: 2, n: 16, m: 16, heads: 2, size: 64 };
const cases: [string, Sizes][] = [
	["16 rows, 16 of prefix", plain],
	["16 rows alone", { ...plain, m: 0, p: 0.2 }],
	["dropout", { ...plain, windows: 4, sequences: 2, p: 0.3 }],
	["results in halves", { ...plain, windows: 4, sequences: 2, p: 0.2, products: true }],
	["a sum", { ...plain, adds: true }],
	["a sum in halves, dropout", { ...plain, p: 0.2, adds: true, products: true }],
	["several windows of a block, and one more", { ...plain, windows: 265, sequences: 5, p: 0.2, size: 16 }],
	["32 rows, 32 of prefix", { ...plain, n: 32, m: 32, p: 0.2, adds: true, products: true }],
	["32 rows alone, heads of 32", { ...plain, n: 32, m: 0, size: 32, products: true }],
	["heads of 16", { ...plain, n: 32, m: 32, size: 16, p: 0.1, adds: true }],
	["48 rows, 16 of prefix", { ...plain, n: 48, m: 16, size: 32, p: 0.2, adds: true }],
	["16 rows, 32 of prefix", { ...plain, m: 32, p: 0.2, adds: true }],
	["64 rows, 64 of prefix", { ...plain, windows: 1, n: 64, m: 64, p: 0.2, adds: true, products: true }],
	["heads of 96", { ...plain, size: 96, p: 0.2, adds: true }],
	["heads of 128", { ...plain, n: 32, m: 16, size: 128, adds: true, products: true }],
];

const unsuited: [string, Sizes][] = [
	["rows that are no sixteens", { ...plain, n: 24 }],
	["a prefix that is none", { ...plain, m: 8 }],
	["heads of 24", { ...plain, size: 24 }],
	["too many rows", { ...plain, n: 80, m: 16 }],
	["too many keys", { ...plain, m: 128 }],
];

function programOf({ windows, n, m, heads, size, p = 0, sequences = windows, adds, products }: Sizes): Program {
	const g = new Graph();
	const rows = windows * n;
	const width = heads * size;
	const inArena = (name: string, count: number, cols: number) => copy(g, g.input(name, [count, cols], "f32"));
	const [q, kv, dout] = [inArena("q", rows, width), inArena("kv", rows, 2 * width), inArena("dout", rows, width)];
	const prefix = m > 0 ? inArena("prefix", windows * m, 2 * width) : null;
	const added = adds ? inArena("added", windows * m, 2 * width) : null;
	const weights = [1, 2].map((times) => inArena(`weight${times}`, times * width, 16));
	const o = attention(g, q, kv, prefix, { windows, heads, dropout: p, sequences });
	const made = g.nodes.find(({ op }) => op.name === "attention");
	const [dq, dkv, dprefix] = g.apply(opNamed("attentionGrad"), [q, kv, prefix, dout], made?.attributes ?? {});
	const results: Record<string, Tensor> = { o, dq, dkv };
	if (prefix) results.dprefix = added ? add(g, added, dprefix) : dprefix;
	const read = (x: Tensor) => (products ? matmul(g, x, weights[x.shape[1] / width - 1]) : copy(g, x));
	const outputs = new Map(Object.entries(results).map(([name, result]) => [name, read(result)]));
	return plan(g, { kind: "body", layout: { parameter: () => 0, shared: () => 0 }, outputs });
}

/** Formats of halves, and how far results may be off. */
const formats = [
	["bf16", 1e-2],
	["fp16", 2e-3],
] as const;

const run = (runtime: Runtime, program: Program) => runProgram(runtime, program, { mean: 0, deviation: 1 });

function launchesOf(program: Program): Launch[] {
	const { commands } = lower(program, { precision: "bf16", multiprocessors: 132, sharedMemory: 227 << 10 });
	return commands.filter((each) => each.kind === "kernel");
}

describe.skipIf(!compilerHere)(
	"attention of small windows (skipped where there is no g++)",
	{ timeout: 60_000 },
	() => {
		const runtimes = formats.map(([precision]) => emulatedRuntime({ precision }));
		const exact = new ReferenceRuntime({ precision: "double" });
		afterAll(async () => {
			for (const runtime of runtimes) await runtime.close();
		});

		async function check(program: Program): Promise<void> {
			const expected = await run(exact, program);
			for (const [i, [precision, tolerance]] of formats.entries()) {
				const actual = await run(runtimes[i], program);
				for (const [name, values] of expected) {
					expect(relativeDifference(values, actual.get(name) ?? []), `${precision}, ${name}`).toBeLessThan(tolerance);
				}
			}
		}

		test.each(cases)("%s", async (_, sizes) => {
			const program = programOf(sizes);
			const launches = launchesOf(program);
			const kernels = launches.flatMap(({ file, kernel }) => (file.startsWith("attention") ? [kernel] : []));
			expect(kernels).toEqual(["attentionHalf", "attentionHalfGrad"]);
			// The sum is the gradient's.
			expect(program.instructions.some(({ op }) => op.name === "add")).toBe(sizes.adds ?? false);
			expect(launches.filter(({ label }) => label.startsWith("add"))).toEqual([]);
			await check(program);
		});

		test.each(unsuited)("left to other kernels: %s", async (_, sizes) => {
			const program = programOf(sizes);
			expect(launchesOf(program).filter(({ file }) => file === "attention_half")).toEqual([]);
			await check(program);
		});
	},
);
