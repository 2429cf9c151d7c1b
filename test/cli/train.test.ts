import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Actions } from "../../src/cli/actions.ts";
import type { Config } from "../../src/train/config.ts";
import type { TrainEvent, TrainSummary } from "../../src/train/events.ts";
import { rivulet } from "./fake.ts";

const summary: TrainSummary = {
	run: "runs/a-1",
	ended: "steps",
	steps: 1000,
	tokens: 4_096_000,
	flops: 1e13,
	seconds: 123.4,
	paperFlops: 2e12,
	wallSeconds: 150,
	runtimeBytes: 50e6,
	processBytes: 180e6,
	validationLoss: 1.2345,
	standardError: 0.0012,
	best: { step: 900, loss: 1.23 },
	floor: 1.01,
	parameters: 201344,
	tokensPerSecond: 33200,
	flopsPerSecond: 81e9,
	sample: "Once upon a time\n",
};

const events: TrainEvent[] = [
	{
		kind: "start",
		run: "runs/a-1",
		step: 300,
		model: "recurrent transformer, forget, window 16",
		parameters: 201344,
		backend: "native, AVX-512, 2 threads",
		data: "tales",
		floor: 1.01,
	},
	{
		kind: "step",
		step: 301,
		loss: 2.5,
		learningRate: 1e-3,
		tokensPerSecond: 12345,
		flopsPerSecond: 8.15e10,
		secondsLeft: 95,
	},
	{ kind: "evaluation", step: 400, loss: 2.11, standardError: 0.01, accuracy: 0.5, best: true },
	{ kind: "sample", step: 400, text: "the cat\nsat" },
	{ kind: "note", text: "passed over a damaged checkpoint" },
	{ kind: "checkpoint", step: 400, path: "runs/a-1" },
	{ kind: "step", step: 401, loss: 2.4, learningRate: 1e-3, tokensPerSecond: 12345, flopsPerSecond: 8.15e10 },
];

/** A trainer that reports the events above; remembers the configuration it got. */
function trainer(result: Partial<TrainSummary> = {}): Pick<Actions, "train"> & { config?: Config } {
	const fake: Pick<Actions, "train"> & { config?: Config } = {
		train: async (config, { onEvent }) => {
			fake.config = config;
			events.forEach(onEvent);
			return { ...summary, ...result };
		},
	};
	return fake;
}

describe("the configuration", () => {
	test("comes from flags over a file over a preset", async () => {
		const file = join(await mkdtemp(join(tmpdir(), "rivulet-cli-")), "run.yaml");
		await writeFile(file, "preset: quick\nseed: 4\ntrain:\n  batch: 16\n  learning-rate: 5e-4\n");
		const fake = trainer();
		const flags = ["--train.learning-rate", "2e-4", "--model.bias", "--train.target-loss", "1.5"];
		expect((await rivulet(["train", "--config", file, ...flags], fake)).status).toBe(0);
		expect(fake.config).toMatchObject({ preset: "quick", seed: 4, data: { task: "tales" }, model: { bias: true } });
		expect(fake.config?.train).toMatchObject({ batch: 16, learningRate: 2e-4, targetLoss: 1.5 });
	});

	test("takes several paths, repeated or one after the other, and switches with or without a value", async () => {
		const fake = trainer();
		await rivulet(
			["train", "--data.path", "a.txt", "b.txt", "--data.path", "c.txt", "--model.tied", "false", "--json"],
			fake,
		);
		expect(fake.config?.data.path).toEqual(["a.txt", "b.txt", "c.txt"]);
		expect(fake.config?.model.tied).toBe(false);
		expect(fake.config?.json).toBe(true);
	});

	test("takes values that look like options with =", async () => {
		const fake = trainer();
		await rivulet(["train", "--preset", "quick", "--train.target-loss=-1"], fake);
		expect(fake.config?.train.targetLoss).toBe(-1);
	});
});

describe("the output", () => {
	test("in a pipe is plain lines and a summary", async () => {
		const { out, err } = await rivulet(["train", "--preset", "quick"], trainer());
		expect(err).toBe("");
		expect(out).toMatchInlineSnapshot(`
			"run     runs/a-1, going on after step 300
			data    tales
			model   recurrent transformer, forget, window 16, 201,344 parameters
			engine  native, AVX-512, 2 threads
			floor   1.0100 nats per token: no model can do better
			step 301/1,000  loss 2.5000  rate 1.00e-3  tokens/s 12.3 k  GFLOP/s 81.5  left 1 min 35 s
			step 400  validation loss 2.1100 ± 0.0100  1.1000 above the floor  accuracy 50.0 %  best so far
			step 400  writes: the cat sat
			note: passed over a damaged checkpoint
			step 401/1,000  loss 2.4000  validation 2.1100  rate 1.00e-3  tokens/s 12.3 k  GFLOP/s 81.5
			all steps done: 1,000 steps, 4,096,000 tokens, 2 min 03 s, 33.2 k tokens/s, 81.0 GFLOP/s
			validation loss 1.2345 ± 0.0012 nats, best 1.2300 at step 900, floor of the corpus 1.0100

			Once upon a time

			next:   rivulet generate runs/a-1
			"
		`);
	});

	test("on a terminal redraws one line and leaves the cursor below it", async () => {
		const { out } = await rivulet(["train", "--preset", "quick"], trainer(), { terminal: true });
		expect(out).toContain("\r\x1b[2mstep\x1b[22m 301");
		expect(out).toMatch(/\nall steps done/);
	});

	test("with --json is one line on standard output, and nothing else in a pipe", async () => {
		const { out, err } = await rivulet(["train", "--preset", "quick", "--json"], trainer());
		expect(err).toBe("");
		expect(out.split("\n")).toHaveLength(2);
		expect(JSON.parse(out)).toEqual(summary);
	});

	test("with --json and --verbose, or on a terminal, has its progress on standard error", async () => {
		for (const [flags, terminal] of [
			[["--verbose"], false],
			[[], true],
		] as const) {
			const { out, err } = await rivulet(["train", "--preset", "quick", "--json", ...flags], trainer(), { terminal });
			expect(JSON.parse(out)).toEqual(summary);
			expect(err).toContain("validation loss 2.1100");
		}
	});

	test("leaves out what a run does not have", async () => {
		const bare = { validationLoss: null, standardError: null, best: null, floor: undefined, sample: undefined };
		const { out } = await rivulet(["train", "--preset", "quick"], trainer(bare));
		expect(out).not.toMatch(/undefined|null|NaN/);
	});
});

describe("the end", () => {
	test("after Ctrl-C is status 130, with the command that goes on", async () => {
		const interrupt = new AbortController();
		const train: Actions["train"] = async (_, { signal }) => {
			interrupt.abort("SIGINT");
			return { ...summary, ended: signal.aborted ? "interrupted" : "steps" };
		};
		const { status, out } = await rivulet(["train", "--preset", "quick"], { train }, { interrupt });
		expect(status).toBe(130);
		expect(out).toContain("note: stopping after this step and saving");
		expect(out).toContain("go on:  rivulet train --resume auto --run runs/a-1");
	});

	test("by an error leaves the progress line before the message", async () => {
		const train: Actions["train"] = async (_, { onEvent }) => {
			events.slice(0, 2).forEach(onEvent);
			throw new Error("broken");
		};
		const { status, out, err } = await rivulet(["train", "--preset", "quick"], { train }, { terminal: true });
		expect(status).toBe(1);
		expect(out.endsWith("\n")).toBe(true);
		expect(err).toContain("internal error: broken");
	});
});
