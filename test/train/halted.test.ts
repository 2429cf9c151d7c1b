/** A gradient that is not finite halts the updates, on every backend that can run here and in the emulated CUDA kernels. */
import { describe, expect, test } from "vitest";
import type { Runtime } from "../../src/engine/backend.ts";
import { createRuntime } from "../../src/engine/backends/index.ts";
import { Session } from "../../src/engine/session.ts";
import {
	haltedOffset,
	hyperparameters,
	type OptimizerConfig,
	optimizerProgram,
	optimizerWords,
} from "../../src/train/optimizer.ts";
import { compilerHere, emulatedRuntime } from "../engine/backends/cuda/emulator/device.ts";

const config: OptimizerConfig = {
	kind: "adamw",
	betas: [0.9, 0.95],
	epsilon: 1e-8,
	weightDecay: 0.1,
	clip: 1,
	ema: 0.9,
};
const emulated = compilerHere ? ["cuda (emulated)"] : [];

describe.each(["reference", "wasm", "native", ...emulated])("%s", (name) => {
	async function open(): Promise<Runtime | string> {
		if (name === "cuda (emulated)") return emulatedRuntime();
		return await createRuntime(name as "reference", { threads: 2 }).catch((error: Error) => error.message);
	}

	test("from a gradient that is not finite on nothing changes, until it is allowed again", async ({ skip }) => {
		const runtime = await open();
		if (typeof runtime === "string") return skip(runtime);
		const session = new Session(runtime, [
			{ name: "a", shape: [3, 7], decay: true },
			{ name: "b", shape: [1, 5], decay: false },
		]);
		const { words } = session.layout;
		const space = optimizerWords(words, config.ema);
		runtime.reserve("optimizer", space);
		runtime.reserve("slices", words);
		runtime.reserve("outputs", 2);
		runtime.write("parameters", 0, new Float32Array(words).fill(0.5));
		const update = async (gradient: number) => {
			runtime.write("slices", 0, new Float32Array(words).fill(gradient));
			const program = session.program("update", (layout) => optimizerProgram(session.layout, 1, config, layout));
			session.writeShared("hyper", hyperparameters(config, 0.1, 1));
			const updates = [{ program, stateOffset: 0 }];
			await session.run({ seed: 1n, step: 1, slices: 1, gradientWords: words, microBatches: [], updates });
			const [factor, weights, rest] = [2, words, space].map((count) => new Float32Array(count));
			runtime.read("outputs", 0, factor);
			runtime.read("parameters", 0, weights);
			runtime.read("optimizer", 0, rest);
			return { factor: factor[0], norm: factor[1], changed: [weights, rest.slice(0, haltedOffset(words, config.ema))] };
		};
		const first = await update(1);
		expect(first.factor).toBeCloseTo(1 / Math.sqrt(words), 5);
		for (const gradient of [Number.NaN, 1, Number.POSITIVE_INFINITY, 2]) {
			const { factor, norm, changed } = await update(gradient);
			expect(factor).toBeNaN();
			expect(norm).toBe(Math.fround(Math.abs(gradient) * Math.sqrt(words)));
			expect(changed).toEqual(first.changed);
		}
		runtime.write("optimizer", haltedOffset(words, config.ema), Float32Array.of(0));
		const later = await update(1);
		expect(later.factor).toBe(first.factor);
		for (const i of [0, 1]) expect(later.changed[i]).not.toEqual(first.changed[i]);
		await session.close();
	});
});
