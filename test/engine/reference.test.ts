/** The reference runtime: jobs, slices, spaces, and the hook that sees every value. */
import { describe, expect, test } from "vitest";
import { ReferenceRuntime } from "../../src/engine/backends/reference.ts";
import { Graph } from "../../src/engine/graph.ts";
import { columnSum, mul, sum } from "../../src/engine/ops/index.ts";
import { plan } from "../../src/engine/plan.ts";
import type { Job, Program } from "../../src/engine/program.ts";

const layout = { parameter: () => 0, shared: () => 0 };

/** gradients += x * weights (1 x 4); output `total`: its sum. */
function body(): Program {
	const g = new Graph();
	const term = columnSum(g, mul(g, g.input("x", [1, 4], "f32"), g.parameter("weights", [1, 4])));
	const { source } = term;
	if (source.kind === "intermediate") Object.assign(source.node, { attributes: { accumulate: 1 } });
	const bindings = new Map([[term, { space: "gradients" as const, offset: 0 }]]);
	return plan(g, {
		kind: "body",
		layout,
		outputs: new Map([["total", sum(g, g.input("x", [1, 4], "f32"))]]),
		bindings,
	});
}

/** Output `sums`: the sum of the slices' gradients. */
function update(slices: number): Program {
	const g = new Graph();
	const sums = columnSum(g, g.buffer("gradients", "slices", 0, [slices, 4]));
	return plan(g, { kind: "update", layout, outputs: new Map([["sums", sums]]) });
}

const base = { weightsChanged: true, seed: 1n, step: 1, gradientWords: 4 };

function jobOf(runtime: ReferenceRuntime): Job {
	const [first, second] = [runtime.load(body()), runtime.load(update(2))];
	const batch = (slice: number, index: number) => ({
		program: first,
		slice,
		inputsOffset: 16 * index,
		outputsOffset: 16 + 16 * index,
		firstSequence: 0,
	});
	const microBatches = [batch(0, 0), batch(0, 1), batch(1, 2)];
	return { ...base, slices: 2, microBatches, updates: [{ program: second, stateOffset: 0 }] };
}

function prepared(runtime: ReferenceRuntime): Job {
	runtime.reserve("parameters", 16);
	runtime.reserve("inputs", 48);
	runtime.reserve("outputs", 64);
	runtime.write("parameters", 0, Float32Array.of(1, 10, 100, 1000));
	for (let index = 0; index < 3; index++) runtime.write("inputs", 16 * index, Float32Array.of(1, 2, 3, 4 + index));
	return jobOf(runtime);
}

function floats(runtime: ReferenceRuntime, space: "slices" | "outputs", offset: number, length: number): number[] {
	const words = new Float32Array(length);
	runtime.read(space, offset, words);
	return [...words];
}

describe.each(["single", "double"] as const)("a job in %s precision", (precision) => {
	test("zeroes gradients, runs micro-batches into their slices, then the updates", async () => {
		const runtime = new ReferenceRuntime({ precision });
		const job = prepared(runtime);
		for (const run of [async () => runtime.runSync(job), () => runtime.run(job)]) {
			await run();
			expect(floats(runtime, "slices", 0, 8)).toEqual([2, 40, 600, 9000, 1, 20, 300, 6000]);
			expect(floats(runtime, "outputs", 0, 4)).toEqual([3, 60, 900, 15000]);
			expect([16, 32, 48].map((offset) => floats(runtime, "outputs", offset, 1)[0])).toEqual([10, 11, 12]);
		}
	});

	test("without micro-batches nothing is zeroed", () => {
		const runtime = new ReferenceRuntime({ precision });
		const job = prepared(runtime);
		runtime.runSync(job);
		runtime.runSync({ ...job, microBatches: [] });
		expect(floats(runtime, "slices", 0, 4)).toEqual([2, 40, 600, 9000]);
	});
});

test("double precision keeps digits that single precision loses", () => {
	const total = (precision: "single" | "double") => {
		const runtime = new ReferenceRuntime({ precision });
		const job = prepared(runtime);
		runtime.write("inputs", 0, Float32Array.of(1e-9, 1, 0, 0));
		runtime.runSync(job);
		const words = new Float64Array(1);
		runtime.read("outputs", 16, words);
		return words[0];
	};
	expect(total("single")).toBe(1);
	expect(total("double")).toBeCloseTo(1 + 1e-9, 12);
});

test("the hook sees every instruction with its values, so the first NaN can be named", () => {
	const seen: string[] = [];
	const runtime = new ReferenceRuntime({
		onInstruction: ({ op }, _inputs, outputs) => {
			const bad = outputs.some((y) => y && Number.isNaN(y.data[y.offset]));
			seen.push(bad ? `${op.name} is NaN` : op.name);
		},
	});
	const job = prepared(runtime);
	runtime.write("parameters", 0, Float32Array.of(Number.NaN));
	runtime.runSync({ ...job, microBatches: job.microBatches.slice(0, 1), updates: [] });
	expect(seen.sort()).toEqual(["columnSum is NaN", "mul is NaN", "sum"]);
});

test("memory is kept when a space grows, and counted", () => {
	const runtime = new ReferenceRuntime();
	runtime.reserve("optimizer", 4);
	runtime.write("optimizer", 0, Float32Array.of(1, 2, 3, 4));
	runtime.reserve("optimizer", 100);
	const words = new Float32Array(5);
	runtime.read("optimizer", 0, words);
	expect([...words]).toEqual([1, 2, 3, 4, 0]);
	expect(runtime.memory()).toBe(400);
});

test("misuse says what was expected", async () => {
	const runtime = new ReferenceRuntime();
	expect(() => runtime.write("inputs", 0, new Float32Array(1))).toThrow("[inputs] expected at most 0 words, got 1");
	const job = prepared(runtime);
	const running = runtime.run(job);
	await expect(runtime.run(job)).rejects.toThrow("one job at a time");
	await running;
	const outside = [{ ...job.microBatches[0], inputsOffset: 1000 }];
	expect(() => runtime.runSync({ ...job, microBatches: outside })).toThrow("[run] expected 1004 words in space inputs");
	runtime.forget(job.microBatches[0].program);
	expect(() => runtime.runSync(job)).toThrow("[run] expected a loaded program");
	await runtime.close();
	expect(() => runtime.reserve("arena", 1)).toThrow("closed");
});
