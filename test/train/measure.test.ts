/** Trained models measured at other lengths than they were trained with. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRun } from "../../src/stream/open-run.ts";
import type { ConfigInput } from "../../src/train/config.ts";
import { defineConfig } from "../../src/train/config-resolve.ts";
import { evaluateAtLength, measure } from "../../src/train/measure.ts";
import { train } from "../../src/train/trainer.ts";

const text = Array.from({ length: 60 }, (_, i) => `${i}: the fox met ${i % 7} hens by the well.\n`).join("");
const held = text.slice(-500);
let folder = "";
const at = (name: string) => join(folder, name);

beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "rivulet-measure-"));
	process.env.RIVULET_CACHE = at("cache");
	writeFileSync(at("text.txt"), text);
	writeFileSync(at("held.txt"), held);
});
afterAll(() => {
	delete process.env.RIVULET_CACHE;
	rmSync(folder, { recursive: true, force: true });
});

async function run(name: string, data: ConfigInput["data"], model: ConfigInput["model"]) {
	return await train(
		defineConfig({
			run: at(name),
			data,
			model: { width: 16, heads: 2, window: 8, ...model },
			train: { batch: 8, steps: 20, learningRate: 1e-2, evaluateBatches: null },
		}),
	);
}
const textData = () => ({ path: at("text.txt"), validation: at("held.txt"), length: 32 });

describe.each<[string, ConfigInput["model"]]>([
	["forget, positions in the window", { positions: "window" }],
	["minGRU, no positions", { kind: "mingru", positions: "none" }],
])("%s", (name, model) => {
	test("at its own length, and as one sequence what a stream gives", async () => {
		const { validationLoss } = await run(name, textData(), model);
		expect((await evaluateAtLength(at(name), {}, { checkpoint: "last" })).loss).toBe(validationLoss);
		const length = held.length - 1;
		const whole = await evaluateAtLength(at(name), { length }, { checkpoint: "last" });
		expect(whole).toMatchObject({ length, noise: null, targets: length, sequences: 1 });
		const { stream, tokenizer } = await openRun(at(name), { checkpoint: "last" });
		const tokens = tokenizer.encode(held);
		const { logits } = stream.forward(tokens.slice(0, length));
		const columns = logits.length / length;
		let nats = 0;
		for (let t = 0; t < length; t++) {
			const row = logits.subarray(t * columns, (t + 1) * columns);
			const sum = row.reduce((total, logit) => total + Math.exp(logit), 0);
			nats += Math.log(sum) - row[tokens[t + 1]];
		}
		await stream.close();
		expect(whole.loss).toBeCloseTo(nats / length, 5);
		await expect(evaluateAtLength(at(name), { length: length + 1 })).rejects.toThrow(
			/has 500 tokens; one window of 500 takes 501/,
		);
	});
});

test("a plain transformer without positions, at sixteen times its length, on another text", async () => {
	await run("plain", textData(), { kind: "transformer", positions: "none" });
	const longer = await measure(at("plain"), { path: [at("text.txt")], length: 512 });
	expect(longer).toMatchObject({ length: 512, targets: text.length - 1 });
	expect(longer.loss).toBeLessThan(6);
});

test("a copy task at four times its noise", async () => {
	const { validationLoss } = await run(
		"copy",
		{ task: "copy", noise: 16 },
		{ variant: "accumulate", positions: "none" },
	);
	const own = await evaluateAtLength(at("copy"), { noise: 16 }, { checkpoint: "last" });
	expect(own).toMatchObject({ length: 48, noise: 16, targets: 4096, loss: validationLoss });
	const longer = await evaluateAtLength(at("copy"), { noise: 64 }, { checkpoint: "last" });
	expect(longer).toMatchObject({ length: 96, noise: 64, targets: 4096 });
	expect(longer.loss).not.toBe(own.loss);
});
