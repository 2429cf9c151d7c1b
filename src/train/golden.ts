/**
 * Agreement with the paper author's code: cases of inputs, weights, logits, loss, gradients and weights after three optimiser
 * steps (test/fixtures/golden/README.md), run through a backend. The measure is the norm of the difference over the norm.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { RivuletError } from "../base/errors.ts";
import { readFileLimited } from "../base/files.ts";
import { parseJson } from "../base/json.ts";
import type { TensorValue } from "../base/safetensors.ts";
import { readSafetensors } from "../base/safetensors-file.ts";
import type { Runtime } from "../engine/backend.ts";
import { createModel, type ModelConfig, type Outputs } from "../models/index.ts";
import { type Batch, Learner } from "./learner.ts";
import type { OptimizerConfig } from "./optimizer.ts";

const caseSchema = z.looseObject({
	name: z.string(),
	kind: z.enum(["lm", "copy", "image", "unit"]),
	batch: z.int().min(1),
	length: z.int().min(1),
	window: z.int().min(0),
	alpha: z.number().nullable(),
	config: z.looseObject({
		vocab_size: z.int(),
		block_size: z.int(),
		n_layer: z.int(),
		n_head: z.int(),
		n_embd: z.int(),
		bias: z.boolean(),
	}),
	tied_embeddings: z.boolean(),
	positional_embedding: z.boolean(),
	activation: z.enum(["gelu", "relu"]),
	optimizer: z.looseObject({
		name: z.enum(["adamw", "adam"]),
		lr: z.number(),
		betas: z.tuple([z.number(), z.number()]),
		eps: z.number(),
		weight_decay: z.number().optional(),
		clip_norm: z.number().optional(),
	}),
});

type GoldenCase = z.infer<typeof caseSchema>;

/** One line of the result: how far a quantity of a case is off. */
export interface Agreement {
	readonly name: string;
	readonly quantity: string;
	/** Norm of the difference over the norm. */
	readonly error: number;
	/** Elements left out of the comparison because the case itself holds only rounding noise there. */
	readonly leftOut: number;
}

/** Names of the cases in a folder: every NAME.json with a NAME.safetensors. */
export function goldenCases(folder: string): string[] {
	let files: string[];
	try {
		files = readdirSync(folder);
	} catch (cause) {
		throw new RivuletError("golden-folder", `expected a folder of golden cases, found none at ${folder}`, { cause });
	}
	const names = files.filter((file) => file.endsWith(".json")).map((file) => file.slice(0, -5));
	const cases = names.filter((name) => files.includes(`${name}.safetensors`)).sort();
	if (cases.length === 0)
		throw new RivuletError("golden-folder", `expected pairs NAME.json and NAME.safetensors in ${folder}, found none`);
	return cases;
}

/** Run one case. @param runtime one of its own; it is closed at the end */
export async function checkGoldenCase(folder: string, name: string, runtime: Runtime): Promise<Agreement[]> {
	const path = join(folder, `${name}.json`);
	const parsed = caseSchema.safeParse(parseJson(readFileLimited(path, 1 << 20).toString("utf8"), path));
	if (!parsed.success) throw new RivuletError("golden-case", `${path}: ${z.prettifyError(parsed.error)}`);
	const golden = parsed.data;
	const tensors = await readSafetensors(join(folder, `${name}.safetensors`));
	const model = createModel(modelConfig(golden, tensors));
	const optimizer = optimizerConfig(golden);
	const learner = new Learner(model, runtime, { optimizer, slices: 2, recompute: 0, memory: 1 << 30 });
	try {
		return await compare(golden, tensors, learner);
	} finally {
		await learner.session.close();
	}
}

async function compare(golden: GoldenCase, tensors: Map<string, TensorValue>, learner: Learner): Promise<Agreement[]> {
	const result: Agreement[] = [];
	const report = (
		quantity: string,
		actual: Float32Array,
		expected: Float32Array,
		keep: (i: number) => boolean = () => true,
	) => {
		const error = relativeError(
			actual.filter((_, i) => keep(i)),
			expected.filter((_, i) => keep(i)),
		);
		result.push({ name: golden.name, quantity, error, leftOut: expected.filter((_, i) => !keep(i)).length });
	};
	const parameters = learner.model.parameters;
	for (const { name } of parameters) learner.session.writeParameter(name, floats(tensors, `param.${name}`));
	const batch: Batch = {
		ids: integers(tensors, "input.ids"),
		targets: integers(tensors, "input.targets"),
		sequences: golden.batch,
		length: golden.length,
	};
	report("logits", (await learner.evaluate(batch, { logits: true })).logits, floats(tensors, "expect.logits"));
	const settings = { learningRate: golden.optimizer.lr, seed: 1 };
	const { loss } = await learner.differentiate(batch, { ...settings, step: 1 });
	report("loss", Float32Array.of(loss), floats(tensors, "expect.loss"));
	for (const { name } of parameters) {
		if (!tensors.has(`expect.grad.${name}`)) continue;
		report(`gradient of ${name}`, learner.gradient(name, golden.batch), floats(tensors, `expect.grad.${name}`));
	}
	for (let step = 1; step <= 3; step++) await learner.step(batch, { ...settings, step });
	for (const { name } of parameters) {
		const gradient = tensors.has(`expect.grad.${name}`) ? floats(tensors, `expect.grad.${name}`) : null;
		const keep = gradient ? notNoise(gradient) : undefined;
		report(
			`${name} after 3 steps`,
			learner.session.readParameter(name),
			floats(tensors, `expect.after3.${name}`),
			keep,
		);
	}
	return result;
}

/**
 * Which elements of a golden gradient are more than rounding? Adam divides a gradient by its own size, so where the true gradient is
 * zero (a bias of keys: softmax does not see it) the step that the case recorded is a rescaled rounding error that no other
 * implementation can repeat.
 */
function notNoise(gradient: Float32Array): (i: number) => boolean {
	const largest = gradient.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
	return (i) => gradient[i] === 0 || Math.abs(gradient[i]) >= 1e-6 * largest;
}

function modelConfig(golden: GoldenCase, tensors: Map<string, TensorValue>): ModelConfig {
	const { config, window, length } = golden;
	const recurrent = window > 0;
	const outputs: Record<GoldenCase["kind"], () => Outputs> = {
		lm: () => ({ kind: "language" }),
		unit: () => ({ kind: "language" }),
		copy: () => ({ kind: "last", count: tensors.get("input.targets")?.shape[1] ?? 1 }),
		image: () => ({ kind: "class", classes: tensors.get("param.lm_head.weight")?.shape[0] ?? config.vocab_size }),
	};
	return {
		kind: recurrent ? "recurrent" : "transformer",
		variant: golden.alpha === null ? "forget" : "accumulate",
		alpha: { value: golden.alpha ?? 0, learned: true },
		vocabulary: config.vocab_size,
		length: config.block_size,
		width: config.n_embd,
		heads: config.n_head,
		layers: config.n_layer,
		bias: config.bias,
		window: { from: recurrent ? window : length, to: recurrent ? window : length },
		outputs: outputs[golden.kind](),
		tied: golden.tied_embeddings,
		positions: golden.positional_embedding ? "absolute" : "none",
		activation: golden.activation,
		dropout: 0,
		form: "fast",
	};
}

function optimizerConfig({ optimizer }: GoldenCase): OptimizerConfig {
	return {
		kind: optimizer.name,
		betas: optimizer.betas,
		epsilon: optimizer.eps,
		weightDecay: optimizer.weight_decay ?? 0,
		clip: optimizer.clip_norm ?? 0,
	};
}

function tensorNamed(tensors: Map<string, TensorValue>, name: string): TensorValue {
	const tensor = tensors.get(name);
	if (!tensor)
		throw new RivuletError("golden-case", `expected a tensor ${name}, found ${[...tensors.keys()].join(", ")}`);
	return tensor;
}

function floats(tensors: Map<string, TensorValue>, name: string): Float32Array {
	const { data } = tensorNamed(tensors, name);
	if (!(data instanceof Float32Array))
		throw new RivuletError("golden-case", `expected ${name} to hold floating-point numbers`);
	return data;
}

function integers(tensors: Map<string, TensorValue>, name: string): Int32Array {
	return Int32Array.from(tensorNamed(tensors, name).data as ArrayLike<number | bigint> as number[], Number);
}

/** Norm of actual - expected over the norm of expected; infinite where the lengths differ or a value is not a number. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
	if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
	let difference = 0;
	let norm = 0;
	for (let i = 0; i < expected.length; i++) {
		difference += (actual[i] - expected[i]) ** 2;
		norm += expected[i] ** 2;
	}
	const error = Math.sqrt(difference) / Math.sqrt(norm || 1);
	return Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
}
