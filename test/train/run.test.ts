import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { appendFile, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import type { TrainState } from "../../src/train/checkpoint.ts";
import type { Config } from "../../src/train/config.ts";
import { defineConfig, readConfigFile, resolveConfig } from "../../src/train/config-resolve.ts";
import { resolveRunConfig, startRun } from "../../src/train/resume.ts";
import { numberedFolders, RunFolder } from "../../src/train/run.ts";

let root: string;
beforeEach(async () => {
	root = await mkdtemp(join(tmpdir(), "rivulet-run-"));
});

const base = { data: { path: "a.txt" }, train: { batch: 8, steps: 100 } };
const configOf = (rest: Partial<Config> = {}) => defineConfig({ ...base, ...rest });

const state = (step: number, rest: Partial<TrainState> = {}): TrainState => ({
	step,
	tokens: step,
	flops: step,
	seconds: step,
	seed: 1,
	validationLoss: null,
	best: null,
	schedule: { base: 1, rate: 1 },
	noise: null,
	...rest,
});

const save = (run: RunFolder, step: number, rest: Partial<TrainState> = {}) =>
	run.saveCheckpoint({
		tensors: new Map([["w", { shape: [1], data: Float32Array.of(step) }]]),
		optimizer: new Map(),
		state: state(step, rest),
	});

describe("a run folder", () => {
	test("keeps its configuration, which is a configuration file as it stands", async () => {
		const path = join(root, "r");
		const config = configOf({ seed: 9 });
		RunFolder.create(path, config);
		expect(RunFolder.open(path).config).toEqual(config);
		const saved = JSON.parse(await readFile(join(path, "config.json"), "utf8"));
		expect(saved.version).toBe(1);
		expect(saved.train["learning-rate"]).toBe(1e-3);
		expect(resolveConfig([await readConfigFile(join(path, "config.json"))])).toEqual(config);
	});

	test("is not made over another, nor through a file", async () => {
		const path = join(root, "r");
		RunFolder.create(path, configOf());
		expect(() => RunFolder.create(path, configOf())).toThrow(
			expect.objectContaining({ code: "run-exists", exitStatus: 2 }),
		);
		await writeFile(join(root, "file"), "");
		expect(() => RunFolder.create(join(root, "file", "r"), configOf())).toThrow(
			expect.objectContaining({ code: "file-missing" }),
		);
	});

	test("of another version, without config.json, or with a broken one is refused", async () => {
		const path = join(root, "r");
		expect(() => RunFolder.open(path)).toThrow(expect.objectContaining({ code: "run-missing", exitStatus: 2 }));
		RunFolder.create(path, configOf());
		const file = join(path, "config.json");
		const saved = JSON.parse(readFileSync(file, "utf8"));
		await writeFile(file, JSON.stringify({ ...saved, version: 99 }));
		expect(() => RunFolder.open(path)).toThrow("expected a run of version 1, found 99");
		await writeFile(file, JSON.stringify({ ...saved, train: { ...saved.train, bacth: 1 } }));
		expect(() => RunFolder.open(path)).toThrow(expect.objectContaining({ code: "unknown-key" }));
		await writeFile(file, "{");
		expect(() => RunFolder.open(path)).toThrow(expect.objectContaining({ code: "json-invalid" }));
	});

	test("keeps the newest checkpoints and the best", async () => {
		const run = RunFolder.create(join(root, "r"), configOf());
		for (const step of [1, 2, 3, 4]) await save(run, step, { validationLoss: step });
		expect(run.checkpoints()).toEqual([1, 3, 4]);
		expect(run.best()).toBe(1);
		expect((await run.loadCheckpoint("best")).tensors.get("w")?.data[0]).toBe(1);
		expect((await run.loadCheckpoint("last")).state.step).toBe(4);
	});

	test("keeps metrics, samples and a summary, and rewinds them to a step", async () => {
		const run = RunFolder.create(join(root, "r"), configOf());
		for (const step of [1, 2, 3]) {
			run.appendMetrics({ step, loss: 1 / step });
			run.addSample(step, `text after ${step}\nsecond line`);
		}
		await appendFile(join(root, "r", "metrics.jsonl"), '{"step":4,"lo');
		await run.rewind(2);
		run.appendMetrics({ step: 3, loss: 0.5 });
		run.close();
		const records: unknown[] = [];
		for await (const record of run.metrics()) records.push(record);
		expect(records).toEqual([
			{ step: 1, loss: 1 },
			{ step: 2, loss: 0.5 },
			{ step: 3, loss: 0.5 },
		]);
		expect(run.readSamples()).toContain("=== step 2 ===\ntext after 2\nsecond line");
		expect(run.readSamples()).not.toContain("step 3");
		expect(run.readSummary()).toBeUndefined();
		run.writeSummary({ loss: 0.5 });
		expect(run.readSummary()).toEqual({ loss: 0.5 });
	});
});

describe("the lock", () => {
	test("keeps a second trainer out until it is given back", () => {
		const path = join(root, "r");
		const run = RunFolder.create(path, configOf());
		run.lock();
		const second = RunFolder.open(path);
		expect(() => second.lock()).toThrow(expect.objectContaining({ code: "run-locked" }));
		second.close();
		expect(existsSync(join(path, "lock"))).toBe(true);
		run.close();
		second.lock();
		second.close();
		expect(existsSync(join(path, "lock"))).toBe(false);
	});

	test.each([
		["a dead process", () => ({ pid: spawnSync("true").pid, host: hostname() })],
		["an earlier process of our own id", () => ({ pid: process.pid, host: hostname() })],
		["a torn write", () => undefined],
	])("of %s does not count", async (_, owner) => {
		const path = join(root, "r");
		const run = RunFolder.create(path, configOf());
		await writeFile(join(path, "lock"), JSON.stringify(owner()) ?? "{");
		run.lock();
		run.close();
	});

	test.each([
		["a living process", () => ({ pid: process.ppid, host: hostname() })],
		["another machine", () => ({ pid: 1, host: "elsewhere" })],
	])("of %s counts, and the message says whose it is", async (_, owner) => {
		const path = join(root, "r");
		const run = RunFolder.create(path, configOf());
		await writeFile(join(path, "lock"), JSON.stringify(owner()));
		expect(() => run.lock()).toThrow(`process ${owner().pid} on ${owner().host}`);
	});
});

describe("starting", () => {
	const start = (rest: Partial<Config>) => startRun(configOf(rest), root);

	test("never: a new folder each time, numbered after the last", async () => {
		expect((await start({})).run.path).toBe(join(root, "text-1"));
		expect((await start({})).run.path).toBe(join(root, "text-2"));
		expect(numberedFolders("text", root)).toEqual({ last: join(root, "text-2"), next: join(root, "text-3") });
		expect(numberedFolders("tales", root)).toEqual({ last: undefined, next: join(root, "tales-1") });
	});

	test("never: refuses a folder that holds a run", async () => {
		const run = join(root, "r");
		(await start({ run })).run.close();
		await expect(start({ run })).rejects.toMatchObject({ code: "run-exists" });
	});

	test("auto: fresh where there is nothing, then from the newest checkpoint", async () => {
		const first = await start({ resume: "auto" });
		expect(first.checkpoint).toBeUndefined();
		await save(first.run, 10);
		await save(first.run, 20);
		first.run.appendMetrics({ step: 20 });
		first.run.appendMetrics({ step: 21 });
		first.run.close();
		const second = await start({ resume: "auto" });
		expect(second.run.path).toBe(first.run.path);
		expect(second.checkpoint?.state.step).toBe(20);
		second.run.close();
		expect(readFileSync(join(second.run.path, "metrics.jsonl"), "utf8")).toBe('{"step":20}\n');
	});

	test("auto: a run that died before its first checkpoint starts over", async () => {
		const first = await start({ resume: "auto" });
		first.run.appendMetrics({ step: 1 });
		first.run.close();
		const second = await start({ resume: "auto" });
		expect(second.checkpoint).toBeUndefined();
		second.run.close();
		expect(readFileSync(join(second.run.path, "metrics.jsonl"), "utf8")).toBe("");
	});

	test("auto: another configuration is refused with the keys that differ, and the lock given back", async () => {
		(await start({ resume: "auto" })).run.close();
		const other = start({ resume: "auto", model: { ...configOf().model, width: 64 }, seed: 3 });
		await expect(other).rejects.toMatchObject({
			code: "run-differs",
			message: expect.stringContaining("model.width: 128 there, 64 here"),
		});
		await expect(other).rejects.toThrow("seed: 1 there, 3 here");
		(await start({ resume: "auto" })).run.close();
	});

	test("auto: a longer budget is taken over", async () => {
		(await start({ resume: "auto" })).run.close();
		const longer = await start({ resume: "auto", train: { ...configOf().train, steps: 500 } });
		longer.run.close();
		expect(RunFolder.open(longer.run.path).config.train.steps).toBe(500);
	});

	test("PATH: a run or one checkpoint of it; later checkpoints are dropped", async () => {
		const { run } = await start({});
		for (const step of [1, 2]) await save(run, step);
		run.close();
		const whole = await start({ resume: run.path });
		expect(whole.checkpoint?.state.step).toBe(2);
		whole.run.close();
		const one = await start({ resume: join(run.path, "checkpoints", "step-1") });
		expect(one.checkpoint?.state.step).toBe(1);
		expect(one.run.checkpoints()).toEqual([1]);
		one.run.close();
		await expect(start({ resume: run.path, run: join(root, "other") })).rejects.toMatchObject({ code: "run-conflict" });
		await expect(start({ resume: join(root, "nowhere") })).rejects.toMatchObject({ code: "run-missing" });
	});
});

describe("the configuration of a resumed run", () => {
	const flags = (values: Record<string, unknown>) => [{ from: "flags", values, text: true }];

	test("is the saved one where the flags leave it open", async () => {
		const path = join(root, "r");
		RunFolder.create(path, configOf({ seed: 5 }));
		const config = resolveRunConfig(flags({ run: path, resume: "auto", "train.steps": "7" }), root);
		expect(config).toMatchObject({ seed: 5, resume: "auto", run: path });
		expect(config.train).toMatchObject({ steps: 7, batch: 8 });
		expect(resolveRunConfig(flags({ resume: path }), root).seed).toBe(5);
	});

	test("finds the last run of the preset's or task's name", async () => {
		const tales = defineConfig({ data: { task: "tales" }, seed: 6 });
		(await startRun(tales, root)).run.close();
		expect(resolveRunConfig(flags({ resume: "auto", "data.task": "tales" }), root).seed).toBe(6);
	});

	test("with a preset is exactly that preset", async () => {
		const path = join(root, "r");
		RunFolder.create(path, configOf({ seed: 5 }));
		expect(resolveRunConfig(flags({ run: path, resume: "auto", preset: "quick" }), root).seed).toBe(1);
	});

	test("is the flags' alone where nothing is resumed", () => {
		expect(() => resolveRunConfig(flags({ resume: "auto", run: join(root, "new") }), root)).toThrow(
			"data.path is missing",
		);
	});
});
