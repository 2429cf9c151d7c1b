/** Training with one step ahead of the one that is awaited comes to the same as training step by step. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { ReferenceRuntime } from "../../src/engine/backends/reference.ts";
import type { TrainEvent } from "../../src/train/events.ts";
import { train } from "../../src/train/trainer.ts";
import { RuntimeAhead } from "./runtime-ahead.ts";
import { textFolder } from "./text-folder.ts";

const created = vi.hoisted(() => ({ ahead: true, last: undefined as unknown }));
vi.mock("../../src/engine/backends/index.ts", () => ({
	createRuntime: async () => {
		created.last = created.ahead ? new RuntimeAhead() : new ReferenceRuntime();
		return created.last;
	},
}));

const folder = textFolder("ahead");

async function run(name: string, ahead: boolean, options: Parameters<typeof train>[1] = {}, resume?: "auto") {
	created.ahead = ahead;
	const config = folder.config(name, {
		...(resume ? { resume } : {}),
		seed: 3,
		model: { dropout: 0.1 },
		train: { batch: 4, steps: 13, evaluateEvery: 5, saveEvery: 4, evaluateBatches: 2, schedule: "cosine", warmup: 2 },
	});
	return await train(config, options);
}

/** Weights and moments of the last checkpoint, and the metrics less what the clock says. */
function results(name: string) {
	const checkpoints = join(folder.path, name, "checkpoints");
	const last = `step-${Math.max(...readdirSync(checkpoints).map((entry) => Number(entry.slice("step-".length))))}`;
	const files = ["model.safetensors", "optimizer.safetensors"].map((file) =>
		readFileSync(join(checkpoints, last, file)),
	);
	const metrics = readFileSync(join(folder.path, name, "metrics.jsonl"), "utf8")
		.trimEnd()
		.split("\n");
	const clock = /second|seconds/i;
	const steady = metrics.map((line) => Object.entries(JSON.parse(line)).filter(([key]) => !clock.test(key)));
	return { last, files, steady };
}

test("the same weights, moments and metrics, to the bit", async () => {
	const plain = await run("plain", false);
	const events: TrainEvent[] = [];
	const ahead = await run("ahead", true, { onEvent: (event) => events.push(event) });
	expect((created.last as RuntimeAhead).mostUnderWay).toBe(2);
	expect(results("ahead")).toEqual(results("plain"));
	expect(ahead.validationLoss).toBe(plain.validationLoss);
	expect(events.flatMap((event) => (event.kind === "step" ? [event.step] : []))).toEqual(
		[...Array(13)].map((_, i) => i + 1),
	);
});

test("stopped with a step ahead and taken up again it is still the same", async () => {
	const controller = new AbortController();
	const stop = {
		signal: controller.signal,
		onEvent: (event: TrainEvent) => event.kind === "step" && event.step === 6 && controller.abort(),
	};
	const { ended, steps } = await run("stopped", true, stop);
	expect(ended).toBe("interrupted");
	expect(steps).toBe(7); // 7 was under way
	await run("stopped", true, {}, "auto");
	await run("unbroken", false);
	const { last, files } = results("stopped");
	expect({ last, files }).toEqual({ last: results("unbroken").last, files: results("unbroken").files });
});

test("a job that fails ends the run, with another behind it", async () => {
	const onEvent = ({ kind }: TrainEvent) => {
		if (kind === "start") (created.last as RuntimeAhead).failAfter = 6;
	};
	await expect(run("failing", true, { onEvent })).rejects.toThrow("the device is lost");
	expect(results("failing").last).toBe("step-4");
});
