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
	const target = { precision: "bf16", multiprocessors: 132, sharedMemory, clusters: true } as const;
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
			[4096, 1536, 128],
			[4096, 1536, 160],
			[1024, 384, 1536],
			[384, 3072, 768],
			[33, 8, 16],
		]) {
			for (const program of [programOf({ m, n, k }), normProgram({ m, n, k, transposed: true })]) {
				for (const { file, defines, shared } of launchesOf(program, 132, sharedMemory)) {
					if (file !== "product_half") continue;
					expect(shared).toBeLessThanOrEqual(sharedMemory);
					expect(defines?.STAGES).toBeGreaterThanOrEqual(2);
				}
			}
		}
	});

	test("left to cuBLASLt: many rows", () => {
		const program = programOf({ m: 16384, n: 384, k: 384 });
		expect(launchesOf(program).filter(({ kernel }) => kernel === "productHalf")).toEqual([]);
	});
});

interface NormCase {
	m: number;
	n: number;
	k: number;
	transposed?: boolean;
	p?: number;
	/** Are there a row added to the product, and a shift of the norm's? */
	bias?: boolean;
	residual?: boolean;
	/** Is the norm wanted in single precision, too? */
	full?: boolean;
	multiprocessors?: number;
	/** Rows and columns of a block, parts of a row, parts of what is contracted over. */
	plan: [number, number, number, number];
}

const normed = { m: 40, n: 96, k: 64, p: 0.2, residual: true };
const normCases: [string, NormCase][] = [
	["a block for a row", { ...normed, multiprocessors: 2, plan: [32, 96, 1, 1] }],
	["no dropout, no residual", { ...normed, p: 0, residual: false, plan: [32, 32, 3, 1] }],
	["rows in parts", { ...normed, n: 192, transposed: true, multiprocessors: 4, plan: [32, 96, 2, 1] }],
	["parts added up", { ...normed, n: 192, k: 384, transposed: true, bias: true, full: true, plan: [32, 96, 2, 4] }],
	["64 rows", { ...normed, m: 100, n: 128, transposed: true, multiprocessors: 2, plan: [64, 128, 1, 1] }],
	[
		"64 rows, parts added up",
		{ ...normed, m: 70, n: 384, k: 768, transposed: true, multiprocessors: 16, plan: [64, 96, 4, 2] },
	],
	["eight parts", { ...normed, m: 24, n: 1024, k: 32, plan: [32, 128, 8, 1] }],
	["narrow", { ...normed, n: 32, k: 128, transposed: true, plan: [32, 32, 1, 4] }],
];

/**
 * The result goes into a product; x, and the norm if it is wanted in single precision, to the outputs. Without `kept` nothing reads operands
 * again, and the plan puts the norm in their place.
 */
function normProgram(
	{ m, n, k, transposed, p = 0, bias, residual, full }: Omit<NormCase, "plan">,
	kept = true,
): Program {
	const g = new Graph();
	const given = (name: string, rows: number, cols: number) => copy(g, g.input(name, [rows, cols], "f32"));
	const [a, b] = [given("a", m, k), transposed ? given("b", n, k) : given("b", k, n)];
	const row = (name: string) => (bias ? given(name, 1, n) : null);
	const added = residual ? given("residual", m, n) : null;
	const inputs = [a, b, row("row"), null, added];
	const weight = given("weight", 1, n);
	const shift = row("shift");
	const w = given("w", n, 16);
	const dropout = { p, dropoutId: 3, rowsPerSequence: 4, sequences: 5 };
	const [x] = g.apply(opNamed("matmul"), inputs, {
		...plainProduct,
		transposeB: Number(transposed ?? false),
		...dropout,
	});
	const [y, stats] = g.apply(opNamed("layerNorm"), [x, weight, shift], { eps: 1e-5 });
	const outputs = new Map([
		...Object.entries({ x: copy(g, x), stats: copy(g, stats), product: matmul(g, y, w) }),
		...inputs.flatMap((each, i) => (kept && each ? [[`${i}`, copy(g, each)] as const] : [])),
		...(full ? [["y", copy(g, y)] as const] : []),
	]);
	return plan(g, { kind: "body", layout: { parameter: () => 0, shared: () => 0 }, outputs });
}

describe.skipIf(!compilerHere)(
	"and the norm of their rows (skipped where there is no g++)",
	{ timeout: 60_000 },
	() => {
		test.each(normCases)("%s", async (_, one) => {
			const program = normProgram(one);
			const launches = launchesOf(program, one.multiprocessors);
			const found = launches.filter(({ kernel }) => kernel === "productNorm");
			const plans = found.map(({ defines: { ROWS, COLUMNS, PARTS, SPLIT } = {} }) => [ROWS, COLUMNS, PARTS, SPLIT]);
			expect(plans).toEqual([one.plan]);
			expect(launches.filter(({ kernel }) => kernel === "normRow")).toEqual([]);
			for (const { shared } of found) expect(shared).toBeLessThanOrEqual(227 << 10);
			await check(program, one.multiprocessors);
		});

		test.each([
			["columns that are no thirty-twos", { ...normed, n: 80 }],
			["a row of more than eight blocks", { ...normed, n: 1056 }],
			["more than is worth it", { ...normed, m: 1024, n: 768, k: 3072 }],
		])("left apart: %s", (_, one) => {
			expect(launchesOf(normProgram(one)).filter(({ kernel }) => kernel === "productNorm")).toEqual([]);
		});

		test("left apart: where the norm is written over the product's operands", async () => {
			const program = normProgram(normed, false);
			expect(launchesOf(program).filter(({ kernel }) => kernel === "productNorm")).toEqual([]);
			await check(program);
		});
	},
);
