/** A moving average of the weights: what it is, that it is what a run evaluates and saves, and that the weights go on beside it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readSafetensors } from "../../src/base/safetensors-file.ts";
import { ReferenceRuntime } from "../../src/engine/backends/reference.ts";
import { createModel } from "../../src/models/index.ts";
import { Learner } from "../../src/train/learner.ts";
import { learnerOptions, modelConfig, openSubject } from "../../src/train/prepare.ts";
import { train } from "../../src/train/trainer.ts";
import { textFolder } from "./text-folder.ts";

const folder = textFolder("average");

function configOf(name: string, ema: number, steps: number) {
	return folder.config(name, {
		train: { batch: 4, steps, evaluateEvery: 5, saveEvery: 5, evaluateBatches: 2, learningRate: 1e-2, ema },
	});
}

test("each step moves it towards the weights by 1 - min(ema, (1 + t) / (10 + t))", async () => {
	const ema = 0.3;
	const config = configOf("none", ema, 1);
	const subject = await openSubject(config);
	const learner = new Learner(
		createModel(modelConfig(config, subject)),
		new ReferenceRuntime(),
		learnerOptions(config),
	);
	const { session } = learner;
	const name = [...session.parameters.keys()][0];
	await learner.initialize(1);
	const expected = Float64Array.from(session.readParameter(name));
	// The bound of early steps is 2 / 11, 3 / 12, 4 / 13 at first, then ema itself.
	for (let step = 1; step <= 5; step++) {
		await learner.step(subject.trainBatch(1, step, 4, 0), { learningRate: 1e-2, step, seed: 1 });
		const rate = 1 - Math.min(ema, (1 + step) / (10 + step));
		session.readParameter(name).forEach((value, i) => {
			expected[i] += (value - expected[i]) * rate;
		});
	}
	const weights = session.readParameter(name);
	const within = await learner.withAverage(async () => session.readParameter(name));
	within.forEach((value, i) => expect(value).toBeCloseTo(expected[i], 6));
	expect(within).not.toEqual(weights);
	expect(session.readParameter(name)).toEqual(weights);
	await expect(learner.withAverage(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
	expect(session.readParameter(name)).toEqual(weights);
	await session.close();
});

test("a run trains as without it, and evaluates and saves the average", async () => {
	await train(configOf("plain", 0, 20));
	const summary = await train(configOf("averaged", 0.8, 20));
	const file = (run: string, name: string) =>
		readSafetensors(join(folder.path, run, "checkpoints", "step-20", `${name}.safetensors`));
	const [plain, model, optimizer] = await Promise.all([
		file("plain", "model"),
		file("averaged", "model"),
		file("averaged", "optimizer"),
	]);
	for (const [name, { data }] of plain) {
		expect(optimizer.get(`trained.${name}`)?.data).toEqual(data);
		expect(model.get(name)?.data).not.toEqual(data);
	}
	const lastOf = (run: string) =>
		JSON.parse(
			readFileSync(join(folder.path, run, "metrics.jsonl"), "utf8")
				.trimEnd()
				.split("\n")
				.at(-1) as string,
		);
	expect(lastOf("averaged").loss).toBe(lastOf("plain").loss);
	expect(lastOf("averaged").validationLoss).not.toBe(lastOf("plain").validationLoss);
	expect(summary.validationLoss).toBe(lastOf("averaged").validationLoss);
});
