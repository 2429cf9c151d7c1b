/** Streaming against the model's own forward pass: fed whole, in pieces, token by token; states kept, forked, rolled back, saved. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { RandomSequence } from "../../src/base/random.ts";
import { reference } from "../../src/engine/backends/reference.ts";
import { createModel, type ModelConfig } from "../../src/models/index.ts";
import { initialValues } from "../../src/nn/initialize.ts";
import { StreamState } from "../../src/stream/state.ts";
import { loadState, saveState } from "../../src/stream/state-file.ts";
import { Stream } from "../../src/stream/stream.ts";
import { relativeError } from "../../src/train/golden.ts";
import { Learner } from "../../src/train/learner.ts";

const base: ModelConfig = {
	kind: "recurrent",
	variant: "forget",
	alpha: { value: 0.4, learned: true },
	vocabulary: 11,
	length: 80,
	width: 8,
	heads: 2,
	layers: 1,
	bias: true,
	window: { from: 4, to: 4 },
	outputs: { kind: "language" },
	tied: true,
	positions: "absolute",
	activation: "gelu",
	dropout: 0,
	form: "fast",
};

const optimizer = { kind: "adam", betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0, clip: 0 } as const;
const tokens = Int32Array.from({ length: 75 }, (_, i) => new RandomSequence(9, 1, i).below(base.vocabulary));

async function open(config: ModelConfig): Promise<Stream> {
	const stream = new Stream(createModel(config), await reference.create({}));
	// Weights larger than a model begins with, so that every path matters.
	stream.model.parameters.forEach((spec, index) => {
		const values = initialValues(spec, index, 3);
		stream.session.writeParameter(
			spec.name,
			spec.initial.kind === "normal" ? values.map((value) => 12 * value) : values,
		);
	});
	return stream;
}

/** Logits of the model's forward pass over tokens [0, length). */
async function whole(config: ModelConfig, length: number): Promise<Float32Array> {
	const learner = new Learner(createModel(config), await reference.create({}), {
		optimizer,
		slices: 1,
		recompute: 0,
		memory: 1e9,
	});
	await learner.initialize(3);
	for (const { name, initial } of learner.model.parameters) {
		if (initial.kind === "normal")
			learner.session.writeParameter(
				name,
				learner.session.readParameter(name).map((value) => 12 * value),
			);
	}
	const ids = tokens.slice(0, length);
	const { logits } = await learner.evaluate({ ids, targets: ids, sequences: 1, length }, { logits: true });
	await learner.session.close();
	return logits;
}

function feed(
	stream: Stream,
	pieces: readonly number[],
	state = StreamState.start,
): { logits: number[]; state: StreamState } {
	const logits: number[] = [];
	let now = state;
	for (const count of pieces) {
		const result = stream.forward(tokens.subarray(now.position, now.position + count), now);
		logits.push(...result.logits);
		now = result.state;
	}
	return { logits, state: now };
}

const pieces: [string, number[]][] = [
	["whole", [75]],
	["token by token", new Array<number>(75).fill(1)],
	["in odd pieces", [3, 9, 1, 4, 17, 2, 30, 5, 4]],
];

const models: [string, Partial<ModelConfig>][] = [
	["forget", {}],
	["forget, two layers, window positions", { layers: 2, positions: "window" }],
	["forget, w = 1, no positions", { window: { from: 1, to: 1 }, positions: "none" }],
	["forget, random windows", { window: { from: 2, to: 6 } }],
	["transformer", { kind: "transformer", layers: 2 }],
	["minGRU, two layers, no positions", { kind: "mingru", layers: 2, expansion: 1.5, positions: "none" }],
];

describe.each(models)("%s", (_name, change) => {
	const config = { ...base, ...change };
	test.each(pieces)("%s", async (_how, counts) => {
		const stream = await open(config);
		const expected = await whole(config, 75);
		expect(relativeError(feed(stream, counts).logits, expected)).toBeLessThan(2e-5);
		await stream.close();
	});
});

describe.each([
	["accumulate", {}],
	["accumulate, two layers", { layers: 2 }],
	["accumulate, w = 1", { window: { from: 1, to: 1 } }],
] as [string, Partial<ModelConfig>][])("%s", (_name, change) => {
	const config: ModelConfig = { ...base, variant: "accumulate", ...change };
	const window = config.window.from;

	test.each(pieces)("%s: all but the last block are the model's outputs", async (_how, counts) => {
		const stream = await open(config);
		const expected = await whole(config, 75);
		const lastBlock = Math.floor(74 / window) * window;
		const columns = config.vocabulary;
		const { logits } = feed(stream, counts);
		expect(relativeError(logits.slice(0, lastBlock * columns), expected.slice(0, lastBlock * columns))).toBeLessThan(
			2e-5,
		);
		await stream.close();
	});

	test.each([75, 72, 3, 4])("the last block of %i tokens, read out by finish", async (length) => {
		const stream = await open(config);
		const expected = await whole(config, length);
		const lastBlock = Math.floor((length - 1) / window) * window;
		const { state } = feed(stream, [lastBlock]);
		const logits = stream.finish(tokens.subarray(lastBlock, length), state);
		expect(relativeError(logits, expected.slice(lastBlock * config.vocabulary))).toBeLessThan(2e-5);
		await stream.close();
	});
});

describe.each([
	["forget", {}, 2 * 4 * 8 + 2],
	["accumulate", { variant: "accumulate" }, 2 * 2 * 4 * 8 + 2],
	["minGRU", { kind: "mingru", expansion: 1.5 }, 2 * 12],
] as [string, Partial<ModelConfig>, number][])("states (%s)", (_name, change, numbers) => {
	const config: ModelConfig = { ...base, layers: 2, ...change };

	test("an old state can be gone back to, and used twice", async () => {
		const stream = await open(config);
		const { state: early } = feed(stream, [10]);
		const first = feed(stream, [1, 8, 2], early);
		const second = feed(stream, [11], early);
		expect(relativeError(second.logits, first.logits)).toBeLessThan(2e-5);
		expect(early.position).toBe(10);
		await stream.close();
	});

	test("its size does not grow with the position", async () => {
		const stream = await open(config);
		const at = (n: number) => feed(stream, [n]).state.size;
		expect(at(70)).toBe(at(10));
		expect(at(70)).toBe(numbers);
		await stream.close();
	});

	test("survives a file, to the bit", async () => {
		const stream = await open(config);
		const path = join(mkdtempSync(join(tmpdir(), "rivulet-")), "state.safetensors");
		const { state } = feed(stream, [10]);
		await saveState(path, stream, state);
		const loaded = await loadState(path, stream);
		expect(loaded).toEqual(state);
		expect(feed(stream, [7], loaded).logits).toEqual(feed(stream, [7], state).logits);
		const other = await open({ ...config, layers: 1 });
		await expect(loadState(path, other)).rejects.toThrow(/another model/);
		await stream.close();
		await other.close();
	});
});

test("positions that end are an error, not garbage", async () => {
	const stream = await open({ ...base, length: 20 });
	expect(() => feed(stream, [21])).toThrow(/positions for 20 tokens/);
	await stream.close();
});
