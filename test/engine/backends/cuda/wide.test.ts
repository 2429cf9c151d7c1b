/** Jobs in the wider range of a runtime: values beyond fp16's are those of a runtime in the wider precision; kernels emulated. */
import { describe, expect, test } from "vitest";
import type { Runtime } from "../../../../src/engine/backend.ts";
import { createModel, type ModelConfig } from "../../../../src/models/index.ts";
import { Learner } from "../../../../src/train/learner.ts";
import { compilerHere, emulatedRuntime } from "./emulator/device.ts";

const config: ModelConfig = {
	...{ kind: "recurrent", variant: "forget", alpha: { value: 0.5, learned: true }, vocabulary: 40, length: 32 },
	...{ width: 32, heads: 2, layers: 1, bias: false, window: { from: 16, to: 16 }, outputs: { kind: "language" } },
	...{ tied: true, positions: "absolute", activation: "relu", dropout: 0.1, form: "fast" },
};
const ids = Int32Array.from({ length: 2 * config.length }, (_, i) => (i * 7) % 40);
const batch = { ids, targets: ids.map((id) => (id * 11 + 3) % 40), sequences: 2, length: config.length };

/** Two steps, the second put there before the first has ended, of a model whose hidden values are as large as `factor` makes them. */
async function train(runtime: Runtime, factor: number) {
	const optimizer = { kind: "adamw", betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.1, clip: 1 } as const;
	const learner = new Learner(createModel(config), runtime, { optimizer, slices: 1, recompute: 0, memory: 1e9 });
	await learner.initialize(1);
	const { session } = learner;
	const scale = (name: string, by: number) =>
		session.writeParameter(
			name,
			session.readParameter(name).map((value) => by * value),
		);
	scale("transformer.h.0.mlp.c_fc.weight", factor);
	scale("transformer.h.0.mlp.c_proj.weight", 1 / factor);
	const settings = { learningRate: 1e-3, seed: 1 };
	const begun = [await learner.beginStep(batch, { ...settings, step: 1 })];
	begun.push(await learner.beginStep(batch, { ...settings, step: 2 }));
	const steps = [];
	for (const { result } of begun) steps.push(await result);
	const { losses } = await learner.evaluate(batch, { losses: true });
	const weights = learner.model.parameters.map(({ name }) => session.readParameter(name));
	const { doneWide: wide } = learner;
	await session.close();
	return { steps, losses, weights, wide };
}

describe.skipIf(!compilerHere)("emulated (skipped where there is no g++)", { timeout: 120_000 }, () => {
	const auto = () => emulatedRuntime({ precision: "fp16", wide: "tf32" });

	test("what leaves the range is done again, to the bits of the wider precision", async () => {
		const { wide, ...found } = await train(auto(), 2 ** 24);
		const { wide: none, ...expected } = await train(emulatedRuntime({ precision: "tf32" }), 2 ** 24);
		expect(found).toEqual(expected);
		expect([wide, none]).toEqual([3, 0]);
		expect(found.steps.every(({ loss, updated }) => Number.isFinite(loss) && updated)).toBe(true);
	});

	test("what does not is done in the narrower", async () => {
		const { wide, ...found } = await train(auto(), 1);
		const { wide: _, ...expected } = await train(emulatedRuntime({ precision: "fp16" }), 1);
		expect(found).toEqual(expected);
		expect(wide).toBe(0);
	});

	test("without a wider range the weights stay as they were", async () => {
		const { steps, weights } = await train(emulatedRuntime({ precision: "fp16" }), 2 ** 24);
		expect(steps.map(({ updated }) => updated)).toEqual([false, false]);
		expect(weights.every((values) => values.every(Number.isFinite))).toBe(true);
	});
});
