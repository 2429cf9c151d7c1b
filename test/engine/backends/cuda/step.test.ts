/**
 * Whole training steps lowered and put on a GPU of the imagination whose kernels and products do nothing: every op of a model has a rule,
 * every kernel named is in its file with as many parameters as it is given, every address lies in its space.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Precision } from "../../../../src/engine/backend.ts";
import { kernelFolder } from "../../../../src/engine/backends/cuda/kernels.ts";
import { lower } from "../../../../src/engine/backends/cuda/lower.ts";
import type { Launch, Lowered } from "../../../../src/engine/backends/cuda/lower-types.ts";
import { CudaRuntime } from "../../../../src/engine/backends/cuda/runtime.ts";
import { createModel, type ModelConfig } from "../../../../src/models/index.ts";
import { Learner } from "../../../../src/train/learner.ts";
import { FakeDevice } from "./fake.ts";

const small: ModelConfig = {
	...{
		kind: "recurrent",
		variant: "forget",
		alpha: { value: 0.5, learned: true },
		vocabulary: 65,
		length: 32,
		width: 48,
	},
	...{ heads: 3, layers: 2, bias: true, window: { from: 8, to: 8 }, outputs: { kind: "language" }, tied: true },
	...{ positions: "absolute", activation: "gelu", dropout: 0.1, form: "fast" },
};

const models: [string, Partial<ModelConfig>][] = [
	["forget", {}],
	["accumulate", { variant: "accumulate", activation: "relu", outputs: { kind: "last", count: 4 } }],
	["windows of sixteens", { window: { from: 16, to: 16 } }],
	["transformer", { kind: "transformer", window: { from: 32, to: 32 } }],
];

/** Parameters of a kernel of a file, or -1 where there is none of that name. */
function parametersOf({ file, kernel }: Launch): number {
	const text = readFileSync(join(kernelFolder, `${file}.cu`), "utf8");
	const found = new RegExp(`\\b${kernel}\\s*\\(([^)]*)\\)`).exec(text);
	return found ? found[1].split(",").length : -1;
}

for (const precision of ["fp32", "tf32", "bf16", "fp16"] as Precision[]) {
	test.each(models)(`${precision}: %s`, async (_, changes) => {
		const cache = mkdtempSync(join(tmpdir(), "rivulet-cuda-"));
		const nothing = new Proxy({}, { get: () => () => {} });
		const device = new FakeDevice(nothing);
		const libraries = device.libraries;
		const launches = new Map<string, Launch>();
		const noting: typeof lower = (program, target): Lowered => {
			const lowered = lower(program, target);
			for (const command of lowered.commands) {
				if (command.kind === "kernel") launches.set(`${command.file} ${command.kernel}`, command);
			}
			return lowered;
		};
		const runtime = new CudaRuntime({
			libraries: { ...libraries, cublasLt: { ...libraries.cublasLt, cublasLtMatmul: () => 0 } },
			lower: noting,
			precision,
			cache,
		});
		const optimizer = { kind: "adamw", betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.1, clip: 1 } as const;
		const learner = new Learner(createModel({ ...small, ...changes }), runtime, {
			optimizer,
			slices: 8,
			recompute: "auto",
			memory: 1e9,
		});
		await learner.initialize(1);
		const outputs = changes.outputs?.kind === "last" ? 4 : 32;
		const batch = { ids: new Int32Array(4 * 32), targets: new Int32Array(4 * outputs), sequences: 4, length: 32 };
		for (const step of [1, 2, 3]) await learner.step(batch, { learningRate: 1e-3, step, seed: 1 });
		await learner.evaluate(batch, { losses: true, correct: true });
		expect(runtime.lastCapture?.nodes).toBeGreaterThan(50);
		for (const [name, launch] of launches) expect(parametersOf(launch), name).toBe(launch.args.length);
		const inHalves = ["bf16", "fp16"].includes(precision) && (changes.window?.from ?? 8) % 16 === 0;
		expect(launches.has("attention_half attentionHalfGrad")).toBe(inHalves);
		await learner.session.close();
		rmSync(cache, { recursive: true, force: true });
	});
}
