/** Baselines of equal size: nothing nearer lies beside what is found. */
import { describe, expect, test } from "vitest";
import { createModel, type ModelConfig } from "../../src/models/index.ts";
import { parameterCount } from "../../src/nn/parameters.ts";
import { type Freedom, matchFlops, matchParameters } from "../../src/studies/match.ts";
import { modelFigures, trainingFlopsPerToken } from "../../src/train/inspect.ts";

const recurrent: ModelConfig = {
	kind: "recurrent",
	variant: "accumulate",
	alpha: { value: 0.5, learned: true },
	vocabulary: 16,
	length: 64,
	width: 24,
	heads: 6,
	layers: 1,
	bias: false,
	window: { from: 8, to: 8 },
	outputs: { kind: "last", count: 16 },
	tied: true,
	positions: "absolute",
	activation: "relu",
	dropout: 0,
	form: "fast",
};
const transformer: ModelConfig = { ...recurrent, kind: "transformer", variant: "forget" };
const mingru: ModelConfig = { ...transformer, kind: "mingru", heads: 1, expansion: 1.5 };

const weights = (config: ModelConfig) => parameterCount(createModel(config).parameters);
const flops = (config: ModelConfig) => trainingFlopsPerToken(config, config.length);

describe.each([
	["weights", weights, matchParameters],
	["FLOPs", flops, matchFlops],
] as const)("%s", (_name, countOf, match) => {
	const target = countOf(recurrent);

	test.each<[string, ModelConfig, Freedom, number]>([
		["a transformer's width", transformer, "width", 6],
		["a transformer's layers", { ...transformer, width: 12 }, "layers", 1],
		["a minGRU's width", mingru, "width", 1],
	])("%s", (_what, config, by, step) => {
		const found = match(config, target, by);
		expect(found.config).toEqual({ ...config, [by]: found.value });
		expect(found.value % step).toBe(0);
		expect(found.count).toBe(countOf(found.config));
		expect(found.difference).toBeCloseTo((found.count - target) / target, 12);
		const away = (value: number) => Math.abs(countOf({ ...config, [by]: value }) - target);
		for (const value of [found.value - step, found.value + step]) {
			if (value > 0) expect(away(value)).toBeGreaterThanOrEqual(away(found.value));
		}
	});

	test("a model matches itself exactly", () => {
		expect(match(recurrent, target)).toMatchObject({ value: 24, difference: 0 });
	});

	test("a target below the smallest model gives the smallest, and says how far off it is", () => {
		const found = match({ ...transformer, width: 96 }, 10, "layers");
		expect(found.value).toBe(1);
		expect(found.difference).toBeGreaterThan(100);
	});

	test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])("refuses %s", (wrong) => {
		expect(() => match(transformer, wrong)).toThrow(/expected a positive count/);
	});
});

test("FLOPs per token are those of inspect", () => {
	const shape = { batch: 1, length: 64, slices: 1, threads: 1 };
	for (const config of [recurrent, transformer, mingru]) {
		expect(trainingFlopsPerToken(config, 64)).toBe(modelFigures(config, shape).trainingFlopsPerToken);
	}
});
