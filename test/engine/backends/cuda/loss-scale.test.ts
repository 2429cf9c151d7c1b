/** Gradients in fp16 of losses of so small a scale that they would vanish: kernels emulated, against the reference. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Runtime } from "../../../../src/engine/backend.ts";
import { scaleOfLoss } from "../../../../src/engine/backends/cuda/half-precision.ts";
import { ReferenceRuntime } from "../../../../src/engine/backends/reference.ts";
import { createModel, type ModelConfig } from "../../../../src/models/index.ts";
import { Learner } from "../../../../src/train/learner.ts";
import { relativeDifference } from "../../close.ts";
import { program, slicedJob } from "../fixtures.ts";
import { compilerHere, emulatedRuntime } from "./emulator/device.ts";

test("the scale of a loss is brought between 16 and 32 by a power of two, where that is one", () => {
	for (const scale of [1, 1 / 16384, 1 / 3, 1e-7, 0.9999999, 16, 31.9, 1e30, -1e-3].map(Math.fround)) {
		const factor = scaleOfLoss(scale);
		expect(Math.abs(factor * scale)).toBeGreaterThanOrEqual(16);
		expect(Math.abs(factor * scale)).toBeLessThan(32);
		expect(Math.log2(factor) % 1).toBeCloseTo(0, 12);
	}
	for (const scale of [0, Number.NaN, Number.POSITIVE_INFINITY]) expect(scaleOfLoss(scale)).toBe(1);
	expect(Math.fround(1 / scaleOfLoss(2 ** -149))).toBe(2 ** -126);
});

const config: ModelConfig = {
	...{ kind: "recurrent", variant: "forget", alpha: { value: 0.5, learned: true }, vocabulary: 40, length: 32 },
	...{ width: 32, heads: 2, layers: 1, bias: false, window: { from: 16, to: 16 }, outputs: { kind: "language" } },
	...{ tied: true, positions: "absolute", activation: "gelu", dropout: 0, form: "fast" },
};
const ids = Int32Array.from({ length: 4 * config.length }, (_, i) => (i * 7) % 40);
const batch = { ids, targets: ids.map((id) => (id * 11 + 3) % 40), sequences: 4, length: config.length };

/** A learner whose losses have this scale and whose batches are four micro-batches. */
function learnerOf(runtime: Runtime, scale: { value: number }): Learner {
	const write = runtime.write.bind(runtime);
	runtime.write = (space, offset, words) =>
		write(space, offset, space === "shared" && words.length === 1 ? Float32Array.of(scale.value) : words);
	Object.assign(runtime, { rowsPerStep: 16 });
	const optimizer = { kind: "adamw", betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.1, clip: 1 } as const;
	const learner = new Learner(createModel(config), runtime, { optimizer, slices: 1, recompute: 0, memory: 1e9 });
	return learner;
}

const settings = { learningRate: 0, step: 1, seed: 1 };

describe.skipIf(!compilerHere)("emulated (skipped where there is no g++)", { timeout: 120_000 }, () => {
	const scale = { value: 1 };
	const reference = learnerOf(new ReferenceRuntime(), scale);
	const runtime = emulatedRuntime({ precision: "fp16" });
	const learner = learnerOf(runtime, scale);
	const names = learner.model.parameters.map(({ name }) => name);
	let expected: Float32Array[] = [];
	beforeAll(async () => {
		for (const each of [reference, learner]) await each.initialize(1);
		await reference.differentiate(batch, settings);
		expected = names.map((name) => reference.gradient(name, 4));
	});
	afterAll(async () => {
		for (const each of [reference, learner]) await each.session.close();
	});

	/** Of the weights' gradients, the one that is furthest off `expected` times the scale. */
	const worst = (of: Learner) =>
		Math.max(
			...names.map((name, i) =>
				relativeDifference(
					expected[i],
					of.gradient(name, 4).map((value) => value / scale.value),
				),
			),
		);

	// One learner, so that its job is run, captured and replayed, with another scale each time.
	test.each([1 / 128, 1e-7, 1e-7, 1e-12, 1])("scale %s", async (value) => {
		scale.value = value;
		const { gradientNorm } = await learner.step(batch, settings);
		expect(worst(learner)).toBeLessThan(5e-3);
		const squares = expected.flatMap((each) => [...each]).reduce((sum, each) => sum + each * each, 0);
		expect(gradientNorm / value / Math.sqrt(squares)).toBeCloseTo(1, 3);
	});

	test("without an update", async () => {
		scale.value = 1e-7;
		await learner.differentiate(batch, settings);
		expect(worst(learner)).toBeLessThan(5e-3);
	});

	test("micro-batches of one job must have the same", async () => {
		const slot = { offset: 0, shape: [1, 1], dtype: "f32" } as const;
		const scaled = runtime.load(program("body", [], { shared: new Map([["lossScale", slot]]) }));
		const [one] = slicedJob(scaled, 1, 0).microBatches;
		const other = { ...one, program: runtime.load(program("body", [])) };
		const job = slicedJob(scaled, 1, 0, { gradientWords: 16, microBatches: [one, other] });
		await expect(runtime.run(job)).rejects.toThrow("expected micro-batches with the same scale of the loss");
	});

	test("a scale of 0 gives no gradients", async () => {
		scale.value = 0;
		const { gradientNorm } = await learner.step(batch, settings);
		expect(gradientNorm).toBe(0);
		for (const name of names) expect(learner.gradient(name, 4).every((value) => value === 0)).toBe(true);
	});

	test("left as it is, a scale of 1e-7 leaves little of them", async () => {
		const plain = emulatedRuntime({ precision: "fp16" });
		const load = plain.load.bind(plain);
		plain.load = (program) => load({ ...program, shared: new Map() });
		const unscaled = learnerOf(plain, scale);
		await unscaled.initialize(1);
		scale.value = 1e-7;
		await unscaled.differentiate(batch, settings);
		expect(worst(unscaled)).toBeGreaterThan(0.5);
		await unscaled.session.close();
	});
});
