/** The fast form of the recurrent transformer against its naive form: logits, loss and every gradient. */
import { describe, expect, test } from "vitest";
import { RandomSequence } from "../../src/base/random.ts";
import { reference } from "../../src/engine/backends/reference.ts";
import { createModel, type ModelConfig, outputLength } from "../../src/models/index.ts";
import { relativeError } from "../../src/train/golden.ts";
import { type Batch, Learner, type LearnerOptions } from "../../src/train/learner.ts";

const base: ModelConfig = {
	kind: "recurrent",
	variant: "forget",
	alpha: { value: 0.4, learned: true },
	vocabulary: 11,
	length: 22,
	width: 8,
	heads: 2,
	layers: 1,
	bias: false,
	window: { from: 4, to: 4 },
	outputs: { kind: "language" },
	tied: true,
	positions: "absolute",
	activation: "gelu",
	dropout: 0,
	form: "fast",
};

const cases: [string, Partial<ModelConfig>, number?][] = [
	["forget, ragged end", {}],
	["forget, whole blocks", { length: 16 }],
	["forget, N = w", { length: 4 }],
	["forget, N < w", { length: 3 }],
	["forget, N = 2w", { length: 8 }],
	["forget, w = 1", { window: { from: 1, to: 1 }, length: 7 }],
	["forget, three layers, biases", { layers: 3, bias: true, length: 14 }],
	["forget, relu, no positions, untied", { activation: "relu", positions: "none", tied: false }],
	["forget, window positions", { positions: "window" }],
	["forget, last outputs over two blocks", { outputs: { kind: "last", count: 6 } }],
	["forget, class", { outputs: { kind: "class", classes: 5 }, tied: false }],
	["forget, recomputed by 2", {}, 2],
	["forget, two layers, recomputed by 1", { layers: 2 }, 1],
	["accumulate, ragged end", { variant: "accumulate" }],
	["accumulate, N = w", { variant: "accumulate", length: 4 }],
	["accumulate, N < w", { variant: "accumulate", length: 2 }],
	["accumulate, N = 2w", { variant: "accumulate", length: 8 }],
	["accumulate, w = 1", { variant: "accumulate", window: { from: 1, to: 1 }, length: 6 }],
	["accumulate, three layers, biases", { variant: "accumulate", layers: 3, bias: true, length: 15 }],
	["accumulate, fixed alpha", { variant: "accumulate", alpha: { value: 0.5, learned: false } }],
	["accumulate, alpha outside [0, 1]", { variant: "accumulate", alpha: { value: 1.5, learned: true } }],
	["accumulate, last outputs", { variant: "accumulate", outputs: { kind: "last", count: 5 }, activation: "relu" }],
	["accumulate, class", { variant: "accumulate", outputs: { kind: "class", classes: 5 }, tied: false }],
	["accumulate, recomputed by 2", { variant: "accumulate" }, 2],
	["accumulate, two layers, recomputed by 1", { variant: "accumulate", layers: 2 }, 1],
];

const optimizer = { kind: "adamw", betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.1, clip: 1 } as const;

function randomBatch(config: ModelConfig, sequences: number): Batch {
	const random = new RandomSequence(7, 1, 0);
	const outputs = outputLength(config, config.length);
	const classes = config.outputs.kind === "class" ? config.outputs.classes : config.vocabulary;
	const ids = Int32Array.from({ length: sequences * config.length }, () => random.below(config.vocabulary));
	const targets = Int32Array.from({ length: sequences * outputs }, (_, i) =>
		i % 5 === 4 ? -1 : random.below(classes),
	);
	return { ids, targets, sequences, length: config.length };
}

async function run(config: ModelConfig, batch: Batch, options: Partial<LearnerOptions> = {}) {
	const runtime = await reference.create({});
	const learner = new Learner(createModel(config), runtime, {
		optimizer,
		slices: 2,
		recompute: 0,
		memory: 1 << 30,
		...options,
	});
	await learner.initialize(3);
	const { logits } = await learner.evaluate(batch, { logits: true });
	const { loss } = await learner.differentiate(batch, { learningRate: 1e-3, step: 1, seed: 5 });
	const gradients = new Map(
		learner.model.parameters.map(({ name }) => [name, learner.gradient(name, batch.sequences)]),
	);
	await learner.session.close();
	return { logits, loss, gradients };
}

describe("fast form equals naive form", () => {
	test.each(cases)("%s", async (_name, change, segment = 0) => {
		const config = { ...base, ...change };
		const batch = randomBatch(config, 3);
		const naive = await run({ ...config, form: "naive" }, batch);
		const fast = await run(config, batch, { recompute: segment });
		expect(relativeError(fast.logits, naive.logits)).toBeLessThan(2e-5);
		expect(fast.loss).toBeCloseTo(naive.loss, 5);
		for (const [name, gradient] of naive.gradients) {
			const actual = fast.gradients.get(name) as Float32Array;
			expect(relativeError(actual, gradient), name).toBeLessThan(2e-4);
			const reached = gradient.some((value) => value !== 0);
			expect(
				reached || (name === "alpha" && config.alpha.value > 1) || config.length <= 4,
				`${name} has a gradient`,
			).toBe(true);
		}
	});

	test.each([0, 2])("gradient with dropout is that of the loss with the same masks (segment %i)", async (recompute) => {
		const config = { ...base, dropout: 0.3, variant: "accumulate" } as const;
		const batch = randomBatch(config, 2);
		const runtime = await reference.create({});
		const learner = new Learner(createModel(config), runtime, { optimizer, slices: 1, recompute, memory: 1 << 30 });
		await learner.initialize(3);
		const settings = { learningRate: 1e-3, step: 4, seed: 5 };
		await learner.differentiate(batch, settings);
		const name = "transformer.h.0.mlp.c_fc.weight";
		const gradient = learner.gradient(name, batch.sequences);
		const norm = Math.hypot(...gradient);
		const weights = learner.session.readParameter(name);
		const lossAt = async (h: number) => {
			learner.session.writeParameter(
				name,
				weights.map((value, i) => value + (h * gradient[i]) / norm),
			);
			return (await learner.differentiate(batch, settings)).loss;
		};
		const h = 0.02;
		const slope = ((await lossAt(h)) - (await lossAt(-h))) / (2 * h);
		expect(slope / norm).toBeCloseTo(1, 2);
	});
});
