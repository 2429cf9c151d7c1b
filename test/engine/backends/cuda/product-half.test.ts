/** Small products of halves with what follows them, as they stand in a model: emulated kernels against the reference. */
import { describe, expect, test } from "vitest";
import { lower } from "../../../../src/engine/backends/cuda/lower.ts";
import type { Launch } from "../../../../src/engine/backends/cuda/lower-types.ts";
import { ReferenceRuntime } from "../../../../src/engine/backends/reference.ts";
import { Graph, type Tensor } from "../../../../src/engine/graph.ts";
import { activations, copy, matmul, opNamed, sliceColumns } from "../../../../src/engine/ops/index.ts";
import { plainProduct } from "../../../../src/engine/ops/matmul.ts";
import { plan } from "../../../../src/engine/plan.ts";
import type { Program } from "../../../../src/engine/program.ts";
import { relativeDifference } from "../../close.ts";
import { compilerHere, emulatedRuntime } from "./emulator/device.ts";
import { runProgram } from "./run-program.ts";

interface Case {
	m: number;
	n: number;
	k: number;
	/** Is b n x k? */
	transposed?: boolean;
	activation?: keyof typeof activations;
	bias?: boolean;
	/** Are a and b columns of wider matrices? */
	strided?: boolean;
	/** Are results read by more than products, so that they are wanted in single precision? */
	full?: boolean;
	/** Of the device: they decide upon the tile. */
	multiprocessors?: number;
	/** Rows and columns of the tile, threads. */
	tile: [number, number, number];
}

const shape = { m: 40, n: 24, k: 32 };
const cases: [string, Case][] = [
	["one stage", { ...shape, tile: [32, 32, 128] }],
	["one stage, b transposed", { ...shape, transposed: true, tile: [32, 32, 128] }],
	["stages of 16", { ...shape, k: 48, activation: "relu", tile: [32, 32, 128] }],
	["bias", { ...shape, bias: true, tile: [32, 32, 128] }],
	["bias, b transposed", { ...shape, bias: true, transposed: true, full: true, tile: [32, 32, 128] }],
	["results in single precision", { ...shape, full: true, tile: [32, 32, 128] }],
	["columns of wider matrices", { ...shape, strided: true, tile: [32, 32, 128] }],
	["rows of wider matrices", { ...shape, strided: true, transposed: true, tile: [32, 32, 128] }],
	["64 x 32", { m: 70, n: 88, k: 64, multiprocessors: 6, tile: [64, 32, 128] }],
	["64 x 64", { m: 130, n: 104, k: 128, multiprocessors: 6, transposed: true, tile: [64, 64, 128] }],
	["128 x 64", { m: 120, n: 120, k: 64, multiprocessors: 2, transposed: true, tile: [128, 64, 256] }],
	["64 x 96", { m: 72, n: 88, k: 128, multiprocessors: 2, tile: [64, 96, 128] }],
	["128 x 96", { m: 250, n: 184, k: 192, multiprocessors: 4, transposed: true, tile: [128, 96, 256] }],
	["whole tiles", { m: 256, n: 192, k: 64, multiprocessors: 4, tile: [128, 96, 256] }],
	["more stages than fit at once", { m: 120, n: 96, k: 640, multiprocessors: 1, tile: [128, 96, 256] }],
	["slopes", { ...shape, activation: "timesGeluSlope", tile: [32, 32, 128] }],
	[
		"slopes, 128 x 96",
		{ m: 250, n: 184, k: 192, multiprocessors: 4, activation: "timesGeluSlope", tile: [128, 96, 256] },
	],
	["slopes of relu, b transposed", { ...shape, transposed: true, activation: "timesPositive", tile: [32, 32, 128] }],
	["a factor, in single precision", { ...shape, full: true, activation: "timesFactor", tile: [32, 32, 128] }],
];

const unsuited: [string, Omit<Case, "tile">][] = [
	["columns that are no eights", { ...shape, n: 20 }],
	["contracted over no sixteens", { ...shape, k: 40 }],
	["without an activation", { ...shape, activation: "none" }],
];

/** a, b, bias and factor are in the arena; a factor is a product of which only halves are wanted. */
function programOf({ m, n, k, transposed, activation = "gelu", bias, strided, full }: Omit<Case, "tile">): Program {
	const g = new Graph();
	const given = (name: string, rows: number, cols: number) => copy(g, g.input(name, [rows, cols], "f32"));
	const part = (name: string, rows: number, cols: number) =>
		strided ? sliceColumns(g, given(name, rows, cols + 24), 8, cols + 8) : given(name, rows, cols);
	const a = part("a", m, k);
	const b = transposed ? part("b", n, k) : part("b", k, n);
	const w = given("w", n, 16);
	const attributes = { ...plainProduct, transposeB: Number(transposed ?? false) };
	const number = activations[activation];
	const times = number >= activations.timesGeluSlope;
	const factor = times ? matmul(g, given("c", m, 16), given("d", 16, n)) : null;
	const inputs = [a, b, bias ? given("bias", 1, n) : null, factor, null];
	const made = g.apply(opNamed("matmul"), inputs, { ...attributes, activation: number });
	const outputs = new Map<string, Tensor>();
	made.forEach((result, i) => {
		outputs.set(`product of ${i}`, matmul(g, result, w));
		if (full) outputs.set(`${i}`, copy(g, result));
	});
	return plan(g, { kind: "body", layout: { parameter: () => 0, shared: () => 0 }, outputs });
}

const withMultiprocessors =
	(multiprocessors = 132): typeof lower =>
	(program, target) =>
		lower(program, { ...target, multiprocessors });

function launchesOf(program: Program, multiprocessors?: number, sharedMemory = 227 << 10): Launch[] {
	const target = { precision: "bf16", multiprocessors: 132, sharedMemory } as const;
	const { commands } = withMultiprocessors(multiprocessors)(program, target);
	return commands.filter((each) => each.kind === "kernel");
}

async function check(program: Program, multiprocessors?: number): Promise<void> {
	const runtime = emulatedRuntime({ precision: "bf16", lower: withMultiprocessors(multiprocessors) });
	const exact = new ReferenceRuntime({ precision: "double" });
	const [expected, actual] = [
		await runProgram(exact, program, { mean: 0, deviation: 1 }),
		await runProgram(runtime, program, { mean: 0, deviation: 1 }),
	];
	await runtime.close();
	for (const [name, values] of expected) {
		expect(relativeDifference(values, actual.get(name) ?? []), name).toBeLessThan(1e-2);
	}
}

describe.skipIf(!compilerHere)("small products in halves (skipped where there is no g++)", { timeout: 60_000 }, () => {
	test.each(cases)("%s", async (_, one) => {
		const program = programOf(one);
		const launches = launchesOf(program, one.multiprocessors);
		const found = launches.filter(({ kernel }) => kernel === "productHalf");
		expect(found.map(({ defines, block }) => [defines?.ROWS, defines?.COLUMNS, block[0]])).toEqual([one.tile]);
		expect(launches.filter(({ kernel }) => kernel.startsWith("epilogue"))).toEqual([]);
		for (const { shared } of found) expect(shared).toBeLessThanOrEqual(227 << 10);
		await check(program, one.multiprocessors);
	});

	test.each(unsuited)("left to cuBLASLt: %s", async (_, one) => {
		const program = programOf(one);
		expect(launchesOf(program).filter(({ kernel }) => kernel === "productHalf")).toEqual([]);
		await check(program);
	});

	test.each([64, 99, 163, 227])("blocks have room for their stages in %i KiB", (kibibytes) => {
		const sharedMemory = kibibytes << 10;
		for (const [m, n, k] of [
			[1024, 1536, 128],
			[1024, 1536, 160],
			[256, 384, 1536],
			[96, 3072, 768],
			[33, 8, 16],
		]) {
			const launches = launchesOf(programOf({ m, n, k }), 132, sharedMemory);
			for (const { defines, shared } of launches.filter(({ file }) => file === "product_half")) {
				expect(shared).toBeLessThanOrEqual(sharedMemory);
				expect(defines?.STAGES).toBeGreaterThanOrEqual(2);
			}
		}
	});

	test("left to cuBLASLt: many rows", () => {
		const program = programOf({ m: 16384, n: 384, k: 384 });
		expect(launchesOf(program).filter(({ kernel }) => kernel === "productHalf")).toEqual([]);
	});
});
