/** The minGRU model against its equations written out here, and its gradients against finite differences. */
import { describe, expect, test } from "vitest";
import { RandomSequence } from "../../src/base/random.ts";
import { reference } from "../../src/engine/backends/reference.ts";
import { geluOf } from "../../src/engine/ops/activation.ts";
import { createModel, type ModelConfig, outputLength, outputSize, stateWidth } from "../../src/models/index.ts";
import { parameterCount } from "../../src/nn/parameters.ts";
import { relativeError } from "../../src/train/golden.ts";
import { type Batch, Learner } from "../../src/train/learner.ts";

const base: ModelConfig = {
	kind: "mingru",
	variant: "forget",
	alpha: { value: 0, learned: false },
	vocabulary: 11,
	length: 22,
	width: 8,
	heads: 1,
	layers: 2,
	bias: true,
	window: { from: 4, to: 4 },
	outputs: { kind: "language" },
	tied: true,
	positions: "absolute",
	activation: "gelu",
	dropout: 0,
	expansion: 1.5,
	form: "fast",
};

function randomBatch(config: ModelConfig, sequences: number, length = config.length): Batch {
	const random = new RandomSequence(7, 1, 0);
	const count = sequences * outputLength(config, length);
	const ids = Int32Array.from({ length: sequences * length }, () => random.below(config.vocabulary));
	const targets = Int32Array.from({ length: count }, (_, i) => (i % 5 === 4 ? -1 : random.below(outputSize(config))));
	return { ids, targets, sequences, length };
}

async function learnerOf(config: ModelConfig): Promise<Learner> {
	const optimizer = { kind: "adamw", betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.1, clip: 1 } as const;
	const options = { optimizer, slices: 2, recompute: 0, memory: 1 << 30 };
	const learner = new Learner(createModel(config), await reference.create({}), options);
	await learner.initialize(3);
	// Weights as large as trained ones, so that gates open and shut.
	for (const { name, shape } of learner.model.parameters) {
		if (shape[0] > 1)
			learner.session.writeParameter(
				name,
				learner.session.readParameter(name).map((w) => 20 * w),
			);
	}
	return learner;
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** The equations, one sequence, one row after the other, in double precision: logits (N, V). */
function written(config: ModelConfig, weight: (name: string) => Float32Array, ids: Int32Array): number[] {
	const { width, layers } = config;
	const linear = (x: number[], name: string) => {
		const [w, b] = [weight(`${name}.weight`), config.bias ? weight(`${name}.bias`) : null];
		return Array.from({ length: w.length / x.length }, (_, i) =>
			x.reduce((sum, value, j) => sum + value * w[i * x.length + j], b ? b[i] : 0),
		);
	};
	const norm = (x: number[], name: string) => {
		const mean = x.reduce((a, b) => a + b) / x.length;
		const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
		const [w, b] = [weight(`${name}.weight`), config.bias ? weight(`${name}.bias`) : null];
		return x.map((value, i) => ((value - mean) / Math.sqrt(variance + 1e-5)) * w[i] + (b ? b[i] : 0));
	};
	const plus = (a: number[], b: number[]) => a.map((value, i) => value + b[i]);
	const states = Array.from({ length: layers }, () => new Array<number>(stateWidth(config)).fill(0));
	const table = weight("transformer.wte.weight");
	return [...ids].flatMap((id, t) => {
		let x = [...table.subarray(id * width, (id + 1) * width)];
		if (config.positions === "absolute")
			x = plus(x, [...weight("transformer.wpe.weight").subarray(t * width, (t + 1) * width)]);
		for (let l = 0; l < layers; l++) {
			const at = `transformer.h.${l}`;
			const projected = linear(norm(x, `${at}.ln_1`), `${at}.gru.c_in`);
			states[l] = states[l].map((h, i) => {
				const z = sigmoid(projected[i]);
				const v = projected[states[l].length + i];
				return (1 - z) * h + z * (v >= 0 ? v + 0.5 : sigmoid(v));
			});
			const h = plus(x, linear(states[l], `${at}.gru.c_proj`));
			const active = linear(norm(h, `${at}.ln_2`), `${at}.mlp.c_fc`).map((value) =>
				config.activation === "gelu" ? geluOf(value) : Math.max(value, 0),
			);
			x = plus(h, linear(active, `${at}.mlp.c_proj`));
		}
		const last = norm(x, "transformer.ln_f");
		const matrix = config.tied ? table : weight("lm_head.weight");
		return Array.from({ length: matrix.length / width }, (_, i) =>
			last.reduce((sum, value, j) => sum + value * matrix[i * width + j], 0),
		);
	});
}

describe("values", () => {
	test.each<[string, Partial<ModelConfig>, number?]>([
		["language", {}],
		["one token", {}, 1],
		["a length that nothing divides", {}, 13],
		["no positions, beyond the length of training", { positions: "none" }, 51],
		["no biases, relu, untied, one layer", { bias: false, activation: "relu", tied: false, layers: 1 }],
		["last outputs", { outputs: { kind: "last", count: 6 } }],
		["class", { outputs: { kind: "class", classes: 5 }, tied: false }],
	])("%s", async (_name, change, length) => {
		const config = { ...base, ...change };
		const batch = randomBatch(config, 3, length);
		const learner = await learnerOf(config);
		const { logits } = await learner.evaluate(batch, { logits: true });
		const weights = (name: string) => learner.session.readParameter(name);
		const expected = Array.from({ length: 3 }, (_, b) => {
			const ids = batch.ids.subarray(b * batch.length, (b + 1) * batch.length);
			return written(config, weights, ids).slice(-outputLength(config, batch.length) * outputSize(config));
		}).flat();
		expect(relativeError(logits, Float32Array.from(expected))).toBeLessThan(2e-5);
		await learner.session.close();
	});
});

test("the gradient to every weight is the slope of the loss", async () => {
	const learner = await learnerOf(base);
	const batch = randomBatch(base, 3);
	const settings = { learningRate: 1e-3, step: 1, seed: 5 };
	await learner.differentiate(batch, settings);
	const gradients = new Map(learner.model.parameters.map(({ name }) => [name, learner.gradient(name, 3)]));
	for (const [name, gradient] of gradients) {
		const norm = Math.hypot(...gradient);
		const weights = learner.session.readParameter(name);
		const lossAt = async (h: number) => {
			learner.session.writeParameter(
				name,
				weights.map((value, i) => value + (h * gradient[i]) / norm),
			);
			return (await learner.differentiate(batch, settings)).loss;
		};
		const h = 4e-3;
		const slope = ((await lossAt(h)) - (await lossAt(-h))) / (2 * h);
		learner.session.writeParameter(name, weights);
		expect(Math.abs(slope / norm - 1), name).toBeLessThan(0.02);
	}
	await learner.session.close();
});

test("weights: three times the expansion in place of attention's four, norms and MLP as the transformer's", () => {
	const plain = { ...base, bias: false, width: 16, expansion: 2 } as const;
	const transformer = parameterCount(createModel({ ...plain, kind: "transformer" }).parameters);
	const mingru = parameterCount(createModel(plain).parameters);
	expect(mingru - transformer).toBe(plain.layers * (3 * 2 - 4) * 16 * 16);
});
