import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RivuletError } from "../../src/base/errors.ts";
import { alphaSetting, configSchema, windowRange } from "../../src/train/config.ts";
import { configKeys, differences, plainConfig } from "../../src/train/config-keys.ts";
import { defineConfig, readConfigFile, resolveConfig } from "../../src/train/config-resolve.ts";
import { findPreset, presetNames } from "../../src/train/presets.ts";

const flags = (values: Record<string, unknown>) => ({ from: "flags", values, text: true });
const text = { data: { path: "a.txt" } };

function failure(run: () => unknown): RivuletError {
	try {
		run();
	} catch (error) {
		if (error instanceof RivuletError) return error;
		throw error;
	}
	throw new Error("expected a RivuletError");
}

describe("keys", () => {
	test("hold every flag the documentation promises", () => {
		const promised = `data.path data.tokenizer data.length model.kind model.variant model.width model.heads model.layers
			model.window model.alpha model.positions model.activation model.bias model.dropout train.batch train.steps
			train.learning-rate train.weight-decay train.clip train.evaluate-every train.target-loss seed threads backend run
			resume preset json`;
		for (const name of promised.split(/\s+/)) expect(configKeys().has(name), name).toBe(true);
	});

	test("each say what they are, and either have a default or say how it is derived", () => {
		for (const key of configKeys().values()) {
			expect(key.description.length, key.name).toBeGreaterThan(5);
			expect(key.fallback !== undefined || key.derived !== undefined, key.name).toBe(true);
			expect(key.name).toMatch(/^[a-z.-]+$/);
		}
	});

	test("put their types into words", () => {
		const expects = (name: string) => configKeys().get(name)?.expects;
		expect(expects("train.batch")).toBe("an integer >= 1 and <= 1048576");
		expect(expects("model.dropout")).toBe("a number >= 0 and < 1");
		expect(expects("model.activation")).toBe("gelu | relu");
		expect(expects("train.tokens")).toBe("a number > 0, or none");
		expect(expects("train.target-loss")).toBe("a number, or none");
		expect(expects("run")).toBe("text, or none");
		expect(expects("json")).toBe("true | false");
	});
});

describe("precedence", () => {
	test("is defaults, preset, file, flags", () => {
		const file = {
			from: "run.yaml",
			values: { preset: "shakespeare", data: { path: "a.txt" }, train: { batch: 16, clip: 2 } },
		};
		const config = resolveConfig([file, flags({ "train.clip": "0.5" })]);
		expect(config.train.clip).toBe(0.5);
		expect(config.train.batch).toBe(16);
		expect(config.model.width).toBe(384);
		expect(config.train.epsilon).toBe(1e-8);
	});

	test("lets a flag choose another preset than the file", () => {
		const file = { from: "run.yaml", values: { preset: "shakespeare", data: { path: "a.txt" } } };
		expect(resolveConfig([file, flags({ preset: "quick" })]).model.width).toBe(findPreset("quick").model?.width);
	});

	test("reads a path as text even when the preset has a task of its own", () => {
		expect(resolveConfig([flags({ preset: "quick" })]).data.task).toBe("tales");
		expect(resolveConfig([flags({ preset: "quick", "data.path": "a.txt" })]).data.task).toBe("text");
	});
});

describe("spelling", () => {
	test("is kebab or camel, nested or dotted, in files", () => {
		for (const values of [
			{ train: { "learning-rate": 0.1 } },
			{ train: { learningRate: 0.1 } },
			{ "train.learning-rate": 0.1 },
			{ "train.learningRate": 0.1 },
		]) {
			expect(resolveConfig([{ from: "f", values }, flags({ "data.path": "a" })]).train.learningRate).toBe(0.1);
		}
	});

	test("of a saved configuration gives the same configuration", () => {
		for (const preset of presetNames) {
			const config = defineConfig({ preset, ...(["shakespeare", "image"].includes(preset) ? text : {}) });
			const saved = JSON.parse(JSON.stringify(plainConfig(config)));
			expect(saved.train["learning-rate"]).toBe(config.train.learningRate);
			expect(resolveConfig([{ from: "config.json", values: saved }])).toEqual(config);
		}
	});
});

describe("flags", () => {
	const read = (values: Record<string, unknown>) => resolveConfig([flags({ "data.path": "a.txt", ...values })]);

	test("are read as their key asks", () => {
		const config = read({
			"train.learning-rate": "1e-4",
			"train.steps": "10_000",
			"model.bias": "true",
			"model.window": "16..48",
			"train.betas": "0.8,0.99",
			"train.target-loss": "none",
			run: "7",
			json: true,
		});
		expect(config.train).toMatchObject({ learningRate: 1e-4, steps: 10000, betas: [0.8, 0.99], targetLoss: null });
		expect(config.model).toMatchObject({ bias: true, window: "16..48" });
		expect(config.run).toBe("7");
		expect(config.json).toBe(true);
	});

	test("take one path or several, commas and numbers included", () => {
		expect(read({ "data.path": "12" }).data.path).toEqual(["12"]);
		expect(read({ "data.path": "a,b.txt" }).data.path).toEqual(["a,b.txt"]);
		expect(read({ "data.path": ["a", "b"] }).data.path).toEqual(["a", "b"]);
	});

	test("of a union are tried in turn", () => {
		expect(read({ "train.recompute": "off" }).train.recompute).toBe("off");
		expect(read({ "train.recompute": "4" }).train.recompute).toBe(4);
	});

	test.each([
		["train.batch", "0", '--train.batch: expected an integer >= 1 and <= 1048576, found "0"'],
		["train.batch", "2.5", "expected an integer"],
		["train.batch", "many", 'found "many"'],
		["train.learning-rate", "nan", "expected a number > 0"],
		["train.learning-rate", "1e999", "expected a number > 0"],
		["model.dropout", "1", "expected a number >= 0 and < 1"],
		["model.bias", "yes", "expected true | false"],
		["model.window", "0..4", "a range such as 16..48"],
		["model.alpha", "learned:2", "learned:0.5"],
		["train.betas", "0.9", "two numbers"],
		["train.betas", "0.9,x", "two numbers"],
		["backend", "vulkan", "auto | cuda | native | wasm | reference"],
	])("of a wrong value are refused: %s %s", (name, value, message) => {
		const error = failure(() => read({ [name]: value }));
		expect(error.message).toContain(message);
		expect(error.exitStatus).toBe(2);
	});
});

describe("unknown keys", () => {
	test.each([
		["train.learning-rat", "train.learning-rate"],
		["train.lerningRate", "train.learning-rate"],
		["data.lenght", "data.length"],
		["batch", "train.batch"],
		["train.cliip", "train.clip"],
	])("are refused with the nearest known one: %s", (name, nearest) => {
		const error = failure(() => resolveConfig([{ from: "run.yaml", values: { [name]: 1 } }]));
		expect(error.code).toBe("unknown-key");
		expect(error.message).toContain("run.yaml");
		expect(error.hint).toContain(`did you mean ${nearest}?`);
	});

	test("that resemble nothing point to the list", () => {
		expect(failure(() => resolveConfig([{ from: "f", values: { zzzzzzzz: 1 } }])).hint).toContain("--help-all");
	});

	test("never become properties: __proto__ and constructor are unknown", () => {
		for (const hostile of [
			'{"__proto__":{"polluted":1}}',
			'{"constructor":{"prototype":1}}',
			'{"train":{"__proto__":1}}',
		]) {
			expect(failure(() => resolveConfig([{ from: "f", values: JSON.parse(hostile) }])).code).toBe("unknown-key");
		}
		expect(({} as Record<string, unknown>).polluted).toBeUndefined();
	});

	test("any JSON either resolves or is refused with a RivuletError", () => {
		fc.assert(
			fc.property(fc.jsonValue(), fc.constantFrom(...configKeys().keys()), (value, name) => {
				for (const values of [value, { [name]: value }]) {
					try {
						resolveConfig([{ from: "f", values }]);
					} catch (error) {
						expect(error).toBeInstanceOf(RivuletError);
					}
				}
			}),
			{ numRuns: 300 },
		);
	});
});

describe("derived defaults", () => {
	test("follow the keys they depend on", () => {
		const plain = defineConfig(text);
		expect(plain.data.length).toBe(256);
		expect(plain.model.alpha).toBe(0);
		expect(plain.train).toMatchObject({
			steps: 1000,

			weightDecay: 0.1,
			minLearningRate: 1e-4,
			saveEvery: 100,
		});
		expect(defineConfig({ ...text, train: { seconds: 5 } }).train.steps).toBeNull();
		const copy = defineConfig({ preset: "copy", data: { noise: 256 } });
		expect(copy.data.length).toBe(288);
		expect(copy.train).toMatchObject({ weightDecay: 0, minLearningRate: 0, evaluateBatches: 4 });
	});
});

test("a minGRU has no heads for its width to be divided by", () => {
	const config = defineConfig({ ...text, model: { kind: "mingru", width: 101, heads: 4 } });
	expect(config.model).toMatchObject({ width: 101, expansion: 2 });
});

describe("keys that must fit one another", () => {
	test.each([
		[{ ...text, model: { width: 100, heads: 6 } }, "does not divide", "--model.heads 5"],
		[{ data: {} }, "data.path is missing", "--preset quick"],
		[{ data: { task: "copy" as const, path: "a" } }, "reads no data.path", "leave"],
		[{ data: { task: "copy" as const, noise: 64, length: 64 } }, "does not fit", "96"],
		[
			{ ...text, model: { kind: "transformer" as const, variant: "accumulate" as const } },
			"model.kind recurrent",
			"leave",
		],
		[
			{ ...text, model: { kind: "mingru" as const, positions: "window" as const } },
			"model.kind recurrent",
			"absolute or none",
		],
		[{ ...text, model: { alpha: 0.5 } }, "needs model.variant accumulate", "--model.variant"],
		[{ ...text, model: { window: "48..16" } }, "is empty", "smaller"],
		[{ ...text, train: { steps: null } }, "no end", "--train.steps"],
		[{ ...text, train: { learningRate: 1e-4, minLearningRate: 1e-3 } }, "above", "lower"],
		[{ ...text, train: { optimizer: "adam" as const, weightDecay: 0.1 } }, "adamw", "leave"],
		[{ ...text, train: { schedule: "loss" as const } }, "schedule-target", "--train.schedule-target"],
		[{ ...text, train: { curriculum: { start: 4 } } }, "copy tasks", "leave"],
	])("%j", (values, message, hint) => {
		const error = failure(() => defineConfig(values));
		expect(error.code).toBe("config-conflict");
		expect(error.exitStatus).toBe(2);
		expect(error.message).toContain(message);
		expect(error.hint).toContain(hint);
	});
});

describe("files", () => {
	const write = async (name: string, content: string) => {
		const path = join(await mkdtemp(join(tmpdir(), "rivulet-config-")), name);
		await writeFile(path, content);
		return path;
	};

	test("are YAML or JSON", async () => {
		const yaml = await readConfigFile(await write("run.yaml", "data:\n  path: a.txt\ntrain:\n  learning-rate: 1e-4\n"));
		expect(resolveConfig([yaml]).train.learningRate).toBe(1e-4);
		const json = await readConfigFile(await write("run.json", '{"data":{"path":"a.txt"},"seed":5}'));
		expect(resolveConfig([json]).seed).toBe(5);
		const empty = await readConfigFile(await write("empty.yaml", ""));
		expect(resolveConfig([empty, flags({ preset: "quick" })]).data.task).toBe("tales");
	});

	test("that are missing, broken or no mapping are refused by name", async () => {
		await expect(readConfigFile("/nowhere/run.yaml")).rejects.toMatchObject({
			code: "config-unreadable",
			exitStatus: 2,
		});
		await expect(readConfigFile(await write("bad.json", "{"))).rejects.toMatchObject({ code: "config-syntax" });
		await expect(readConfigFile(await write("bad.yaml", "a: [1"))).rejects.toMatchObject({ code: "config-syntax" });
		const list = await readConfigFile(await write("list.yaml", "- 1\n- 2\n"));
		expect(failure(() => resolveConfig([list])).message).toContain("expected keys and values");
		const scalar = await readConfigFile(await write("scalar.yaml", "train: 5\n"));
		expect(failure(() => resolveConfig([scalar])).message).toContain("train to be a group of keys");
	});
});

test("presets hold the recipes of the paper", () => {
	const shakespeare = defineConfig({ preset: "shakespeare", ...text });
	expect(shakespeare.model).toMatchObject({
		width: 384,
		heads: 6,
		layers: 1,
		dropout: 0.2,
		variant: "forget",
		activation: "gelu",
	});
	expect(shakespeare.train).toMatchObject({
		optimizer: "adamw",
		betas: [0.9, 0.95],
		weightDecay: 0.1,
		clip: 1,
		learningRate: 1e-3,
	});
	const copy = defineConfig({ preset: "copy" });
	expect(copy.data.length).toBe(4128);
	expect(copy.model).toMatchObject({
		width: 96,
		heads: 6,
		window: 32,
		variant: "accumulate",
		activation: "relu",
		dropout: 0.05,
	});
	expect(copy.train).toMatchObject({ optimizer: "adam", learningRate: 5e-4, batch: 64, schedule: "recall" });
	expect(copy.train.curriculum).toEqual({ start: 128, threshold: 0.3 });
	expect(alphaSetting(copy.model.alpha)).toEqual({ learned: true, value: 0.5 });
	expect(alphaSetting(defineConfig({ preset: "selective-copy" }).model.alpha)).toEqual({ learned: false, value: 0.5 });
	expect(failure(() => defineConfig({ preset: "shakespear" })).hint).toBe("did you mean shakespeare?");
});

test("windows and alphas are read into numbers", () => {
	expect(windowRange("16..48")).toEqual({ from: 16, to: 48, mean: 32 });
	expect(windowRange(7)).toEqual({ from: 7, to: 7, mean: 7 });
	expect(alphaSetting("learned:.25")).toEqual({ learned: true, value: 0.25 });
	expect(configSchema.shape.model.shape.alpha.safeParse("learned:").success).toBe(false);
});

test("differences name only what changes the computation", () => {
	const there = defineConfig({ ...text, train: { steps: 10, batch: 8 } });
	const here = defineConfig({ ...text, train: { steps: 20, batch: 16 }, threads: 1 });
	expect(differences(there, here)).toEqual(["train.batch: 8 there, 16 here"]);
});
