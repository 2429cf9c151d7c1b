/**
 * Gradients of whole models with dropout, kernels emulated, against the reference engine: what lowering joins and the copies in halves
 * that it keeps must change nothing but rounding. Masks are the same, so results are comparable at all.
 */
import { afterAll, describe, expect, test } from "vitest";
import type { Precision, Runtime } from "../../../../src/engine/backend.ts";
import { ReferenceRuntime } from "../../../../src/engine/backends/reference.ts";
import { createModel, type ModelConfig } from "../../../../src/models/index.ts";
import { Learner } from "../../../../src/train/learner.ts";
import { relativeDifference } from "../../close.ts";
import { compilerHere, emulatedRuntime } from "./emulator/device.ts";

const small: ModelConfig = {
	...{
		kind: "recurrent",
		variant: "forget",
		alpha: { value: 0.5, learned: true },
		vocabulary: 40,
		length: 24,
		width: 48,
	},
	...{ heads: 3, layers: 2, bias: true, window: { from: 8, to: 8 }, outputs: { kind: "language" }, tied: true },
	...{ positions: "absolute", activation: "gelu", dropout: 0.2, form: "fast" },
};

const models: [string, Partial<ModelConfig>][] = [
	["forget", {}],
	["accumulate", { variant: "accumulate", activation: "relu", outputs: { kind: "last", count: 4 } }],
	["windows of sixteens", { window: { from: 16, to: 16 }, length: 48, bias: false }],
	["transformer", { kind: "transformer", window: { from: 24, to: 24 }, bias: false }],
	[
		"transformer of long windows",
		{ ...{ kind: "transformer", window: { from: 72, to: 72 }, length: 72 }, width: 64, heads: 2 },
	],
	[
		"transformer of wide heads",
		{ ...{ kind: "transformer", window: { from: 72, to: 72 }, length: 72 }, width: 128, heads: 2, dropout: 0 },
	],
];

async function gradients(
	config: ModelConfig,
	runtime: Runtime,
): Promise<{ loss: number; of: Map<string, Float32Array> }> {
	const optimizer = { kind: "adamw", betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.1, clip: 1 } as const;
	const learner = new Learner(createModel(config), runtime, { optimizer, slices: 1, recompute: 0, memory: 1e9 });
	await learner.initialize(1);
	const outputs = config.outputs.kind === "last" ? 4 : config.length;
	const ids = Int32Array.from({ length: 4 * config.length }, (_, i) => (i * 7 + Math.floor(i / 24)) % 40);
	const targets = Int32Array.from({ length: 4 * outputs }, (_, i) => (i * 11 + 3) % 40);
	const batch = { ids, targets, sequences: 4, length: config.length };
	const { loss } = await learner.differentiate(batch, { learningRate: 1e-3, step: 3, seed: 5 });
	const of = new Map(learner.model.parameters.map(({ name }) => [name, learner.gradient(name, 4)]));
	await learner.session.close();
	return { loss, of };
}

/** Of the loss, of gradients, and of those through a ReLU, whose slope may be the other one where its argument is nearly zero. */
const tolerances: [Precision, number, number, number][] = [
	["fp32", 1e-5, 1e-4, 1e-4],
	["bf16", 2e-3, 5e-2, 5e-2],
	["fp16", 2e-4, 2e-3, 5e-2],
];

describe.skipIf(!compilerHere)("emulated training (skipped where there is no g++)", { timeout: 120_000 }, () => {
	const known = new Map<string, ReturnType<typeof gradients>>();
	afterAll(() => known.clear());

	for (const [precision, ofLoss, ofSmooth, ofRelu] of tolerances) {
		test.each(models)(`${precision}, %s`, async (name, changes) => {
			const config = { ...small, ...changes };
			const reference = known.get(name) ?? gradients(config, new ReferenceRuntime());
			known.set(name, reference);
			const expected = await reference;
			const actual = await gradients(config, emulatedRuntime({ precision }));
			const ofGradient = config.activation === "relu" ? ofRelu : ofSmooth;
			expect(Math.abs(actual.loss - expected.loss) / expected.loss).toBeLessThan(ofLoss);
			for (const [weight, gradient] of expected.of) {
				// Keys' biases have no gradient: softmax does not see them.
				if (weight.endsWith("bias")) continue;
				expect(relativeDifference(gradient, actual.of.get(weight) ?? []), weight).toBeLessThan(ofGradient);
			}
		});
	}
});
