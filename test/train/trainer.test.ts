import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RivuletError } from "../../src/base/errors.ts";
import { readSafetensors } from "../../src/base/safetensors-file.ts";
import type { ConfigInput } from "../../src/train/config.ts";
import { defineConfig } from "../../src/train/config-resolve.ts";
import type { TrainEvent, TrainSummary } from "../../src/train/events.ts";
import { paperFlops } from "../../src/train/inspect.ts";
import { modelConfig } from "../../src/train/prepare.ts";
import { drawWindow } from "../../src/train/schedule.ts";
import { type TrainOptions, train } from "../../src/train/trainer.ts";

let folder = "";
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "rivulet-trainer-"));
	process.env.RIVULET_CACHE = join(folder, "cache");
	const lines = Array.from(
		{ length: 300 },
		(_, i) => `${i}: the fox and ${i % 7} hens met ${i % 5} owls by the well.\n`,
	);
	writeFileSync(join(folder, "text.txt"), lines.join(""));
});
afterAll(() => {
	delete process.env.RIVULET_CACHE;
	rmSync(folder, { recursive: true, force: true });
});

const model = { width: 16, heads: 2, window: 8, dropout: 0.1 };
const copy: ConfigInput["data"] = { task: "copy", noise: 32 };

/** A small run in a folder of that name, of text where nothing else is said. */
async function run(name: string, values: ConfigInput = {}, options: TrainOptions = {}): Promise<TrainSummary> {
	const text: ConfigInput["data"] = values.data ?? { path: join(folder, "text.txt"), length: 32 };
	const config = defineConfig({
		seed: 3,
		run: join(folder, name),
		...values,
		data: text,
		model: { ...model, ...values.model },
		train: { batch: 6, steps: 40, evaluateEvery: 10, saveEvery: 10, evaluateBatches: 4, ...values.train },
	});
	return await train(config, options);
}

/** Folder of the run's last checkpoint. */
function lastCheckpoint(name: string): string {
	const checkpoints = join(folder, name, "checkpoints");
	const steps = readdirSync(checkpoints).map((entry) => Number(entry.slice("step-".length)));
	return join(checkpoints, `step-${Math.max(...steps)}`);
}

/** Digests of the run's weights and moments after its last step. */
function bitsOf(name: string): string[] {
	const files = ["model.safetensors", "optimizer.safetensors"];
	const bytes = files.map((file) => readFileSync(join(lastCheckpoint(name), file)));
	return bytes.map((content) => createHash("sha256").update(content).digest("hex"));
}

function metricsOf(name: string): Record<string, number>[] {
	const lines = readFileSync(join(folder, name, "metrics.jsonl"), "utf8")
		.trimEnd()
		.split("\n");
	return lines.map((line) => JSON.parse(line));
}

const failure = async (work: Promise<unknown>): Promise<RivuletError> =>
	await work.then(
		() => expect.fail("expected an error"),
		(error) => error,
	);

/** A signal that is aborted by the first event that `when` accepts. */
function stopAt(when: (event: TrainEvent) => boolean): TrainOptions {
	const controller = new AbortController();
	return { signal: controller.signal, onEvent: (event) => when(event) && controller.abort() };
}

describe("the same bits", () => {
	test.each<[string, ConfigInput]>([
		["forget, random windows", { model: { window: "4..8" } }],
		["accumulate, copy", { data: copy, model: { variant: "accumulate" } }],
		["transformer, two layers", { model: { kind: "transformer", layers: 2 } }],
	])("with 1, 2 and 3 threads: %s", async (name, values) => {
		for (const threads of [1, 2, 3]) await run(`${name} ${threads}`, { ...values, threads, train: { steps: 12 } });
		expect(bitsOf(`${name} 2`)).toEqual(bitsOf(`${name} 1`));
		expect(bitsOf(`${name} 3`)).toEqual(bitsOf(`${name} 1`));
	});

	test("stopped and resumed, with activations computed again instead of stored", async () => {
		const train = { recompute: 2 };
		await run("whole", { train });
		const first = await run(
			"again",
			{ train },
			stopAt((event) => event.kind === "step" && event.step === 17),
		);
		expect([first.ended, first.steps]).toEqual(["interrupted", 17]);
		const second = await run("again", { resume: "auto", train });
		expect([second.ended, second.steps]).toEqual(["steps", 40]);
		expect(bitsOf("again")).toEqual(bitsOf("whole"));
	});

	// With dropout the draws differ too: they are numbered through the graph, which segments cut differently.
	test("but for rounding, computed again or stored", async () => {
		const losses: number[] = [];
		for (const recompute of ["off", 1, 3] as const) {
			const summary = await run(`recompute-${recompute}`, { model: { dropout: 0 }, train: { recompute } });
			losses.push(summary.validationLoss as number);
		}
		expect(losses[1]).toBeCloseTo(losses[0], 5);
		expect(losses[2]).toBeCloseTo(losses[0], 5);
	});

	test("stopped in an evaluation that the schedule and the curriculum wait for", async () => {
		const recall: ConfigInput = {
			data: copy,
			model: { variant: "accumulate" },
			train: { schedule: "recall", curriculum: { start: 4, threshold: 2.9 } },
		};
		await run("followed", recall);
		// After step 10 the first thing is its evaluation, which the signal cuts short.
		const stop = stopAt((event) => event.kind === "step" && event.step === 10);
		expect((await run("cut", recall, stop)).steps).toBe(10);
		expect(metricsOf("cut").some(({ validationLoss }) => validationLoss !== undefined)).toBe(false);
		await run("cut", { ...recall, resume: "auto" });
		expect(bitsOf("cut")).toEqual(bitsOf("followed"));
		const noises = metricsOf("followed").map(({ noise }) => noise);
		expect(noises.at(-1)).toBeGreaterThan(noises[0]);
	});
});

describe("metrics and summary", () => {
	test("one record a step, also when saving, evaluating and the end fall on different steps", async () => {
		const events: TrainEvent[] = [];
		const summary = await run(
			"records",
			{ train: { steps: 34, evaluateEvery: 15, saveEvery: 4 } },
			{ onEvent: (event) => events.push(event) },
		);
		const records = metricsOf("records");
		const steps = records.map(({ step }) => step);
		expect(steps).toEqual([...new Set(steps)].sort((a, b) => a - b));
		expect(records.filter(({ validationLoss }) => validationLoss).map(({ step }) => step)).toEqual([15, 30, 34]);
		expect(records.every(({ loss }) => loss > 0)).toBe(true);
		expect(summary.validationLoss).toBe(records.at(-1)?.validationLoss);
		expect(events.filter(({ kind }) => kind === "step").length).toBe(34);
		expect(JSON.parse(readFileSync(join(folder, "records", "summary.json"), "utf8"))).toEqual(summary);
	});

	test("a run that is at its end adds nothing, and says the same", async () => {
		const before = metricsOf("records");
		const again = await run("records", { resume: "auto", train: { steps: 34, evaluateEvery: 15, saveEvery: 4 } });
		expect(metricsOf("records")).toEqual(before);
		expect(again.validationLoss).toBe(before.at(-1)?.validationLoss);
	});
});

describe("the end of a run", () => {
	test("a budget in tokens, in FLOPs, in seconds", async () => {
		const perStep = 6 * 32;
		const tokens = await run("tokens", { train: { steps: null, tokens: 10.5 * perStep } });
		expect([tokens.ended, tokens.steps]).toEqual(["tokens", 11]);
		const flops = await run("flops", { train: { steps: null, flops: tokens.flops } });
		expect([flops.ended, flops.steps]).toEqual(["flops", 11]);
		const seconds = await run("seconds", { train: { steps: null, seconds: 0.2, evaluateEvery: 100_000 } });
		expect(seconds.ended).toBe("seconds");
		expect(seconds.seconds).toBeGreaterThanOrEqual(0.2);
	});

	test("the target loss, at once when it was reached before", async () => {
		const reached = await run("target", { train: { steps: 400, targetLoss: 3.2, learningRate: 1e-2 } });
		expect([reached.ended, reached.steps % 10]).toEqual(["target", 0]);
		expect(reached.validationLoss).toBeLessThanOrEqual(3.2);
		const again = await run("target", { resume: "auto", train: { steps: 400, targetLoss: 3.2, learningRate: 1e-2 } });
		expect([again.ended, again.steps]).toEqual(["target", reached.steps]);
	});

	test.each([2, 6, 20])("a batch of %i that diverges: step and tensor, good checkpoints kept", async (batch) => {
		const name = `diverged-${batch}`;
		const work = run(name, { model: { dropout: 0 }, train: { batch, saveEvery: 1, learningRate: 1e6, clip: 0 } });
		const { code, message, hint } = await failure(work);
		expect(code).toBe("training-diverged");
		expect(message).toMatch(/at step \d+: .*transformer\.\S+/);
		expect(hint).toContain("--train.learning-rate 0.001");
		const checkpoints = join(folder, name, "checkpoints");
		expect(readdirSync(checkpoints).length).toBeGreaterThan(0);
		for (const step of readdirSync(checkpoints)) {
			const tensors = await readSafetensors(join(checkpoints, step, "model.safetensors"));
			for (const { data } of tensors.values()) expect((data as Float32Array).every(Number.isFinite)).toBe(true);
		}
		expect(existsSync(join(folder, name, "lock"))).toBe(false);
	});

	test("weights that are not finite are not saved", async () => {
		const work = run("infinite", { train: { saveEvery: 1, learningRate: 1e38, clip: 0 } });
		expect((await failure(work)).code).toBe("training-diverged");
		expect(existsSync(join(folder, "infinite", "checkpoints"))).toBe(false);
	});
});

test("where the backend cannot be had nothing is begun, and the same run can be begun on another", async () => {
	const { code } = await failure(run("refused", { backend: "reference", precision: "bf16" }));
	expect(code).toBe("precision");
	expect(existsSync(join(folder, "refused"))).toBe(false);
	expect((await run("refused", { train: { steps: 2 } })).steps).toBe(2);
});

describe("what a run cost", () => {
	test("as the paper counts, in time and in memory, over stops", async () => {
		// Windows are drawn anew each step, noise grows: each step counts at its own N and w.
		const values: ConfigInput = {
			data: copy,
			model: { variant: "accumulate", window: "4..8" },
			train: { steps: 20, curriculum: { start: 8, threshold: 9 } },
		};
		const half = await run("costs", { ...values, train: { ...values.train, steps: 10 } });
		const whole = await run("costs", { ...values, resume: "auto" });
		const config = modelConfig(defineConfig({ ...values, model: { ...model, ...values.model } }), {
			vocabulary: 16,
			outputs: { kind: "last", count: 16 },
		});
		const perStep = (step: number, noise: number) =>
			6 * paperFlops(config, noise + 32, drawWindow({ from: 4, to: 8 }, 3, step));
		const sum = (steps: number[], noise: number) => steps.reduce((total, step) => total + perStep(step, noise), 0);
		const steps = Array.from({ length: 20 }, (_, i) => i + 1);
		expect(half.paperFlops).toBeCloseTo(sum(steps.slice(0, 10), 8), 3);
		expect(whole.paperFlops).toBeCloseTo(sum(steps.slice(0, 10), 8) + sum(steps.slice(10), 16), 3);
		expect(whole.wallSeconds).toBeGreaterThan(whole.seconds);
		expect(whole.wallSeconds).toBeGreaterThan(half.wallSeconds);
		expect(whole.processBytes).toBeGreaterThan(whole.runtimeBytes);
		expect(whole.runtimeBytes).toBeGreaterThan(3 * 4 * whole.parameters);
		const last = metricsOf("costs").at(-1);
		expect(last?.paperFlops).toBe(whole.paperFlops);
	});
});
