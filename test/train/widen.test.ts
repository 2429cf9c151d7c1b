/** A result that leaves the range of a runtime's numbers: computed again by a wider one, and nothing is lost or done twice. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import type { Job } from "../../src/engine/program.ts";
import { defineConfig } from "../../src/train/config-resolve.ts";
import type { TrainEvent } from "../../src/train/events.ts";
import { train } from "../../src/train/trainer.ts";
import { RuntimeAhead } from "./runtime-ahead.ts";

/** Of some jobs values leave its range: of the training steps `steps`, and of the forward passes `passes`, counted from 1. */
class NarrowRuntime extends RuntimeAhead {
	override readonly description: string;
	readonly wider?: () => Promise<RuntimeAhead>;
	readonly #steps: readonly number[];
	readonly #passes: readonly number[];
	#pass = 0;
	closed = false;

	constructor(description: string, { steps = [], passes = [] }: Narrow, wider?: () => Promise<RuntimeAhead>) {
		super();
		this.description = description;
		this.#steps = steps;
		this.#passes = passes;
		if (wider) this.wider = wider;
	}

	override async submit(job: Job): Promise<{ ended: Promise<void> }> {
		const [{ program }] = job.microBatches;
		if (job.updates.length > 0 && this.#steps.includes(job.step)) {
			const offset = program.program.shared.get("lossScale")?.offset as number;
			this.write("shared", offset, Float32Array.of(Number.POSITIVE_INFINITY));
		}
		return await super.submit(job);
	}

	protected override computed({ updates }: Job, outputs: Float32Array): void {
		if (updates.length === 0 && this.#passes.includes(++this.#pass)) outputs.fill(Number.NaN);
	}

	override async close(): Promise<void> {
		this.closed = true;
		await super.close();
	}
}

interface Narrow {
	readonly steps?: readonly number[];
	readonly passes?: readonly number[];
}

const setting = vi.hoisted(() => ({ narrow: {} as Narrow, wide: {} as Narrow, created: [] as unknown[] }));
vi.mock("../../src/engine/backends/index.ts", () => ({
	createRuntime: async () => {
		const create = (name: string, narrow: Narrow, wider?: () => Promise<RuntimeAhead>) => {
			const runtime = new NarrowRuntime(name, narrow, wider);
			setting.created.push(runtime);
			return runtime;
		};
		return create("narrow", setting.narrow, async () => create("wide", setting.wide));
	},
}));

let folder = "";
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "rivulet-widen-"));
	process.env.RIVULET_CACHE = join(folder, "cache");
	const lines = Array.from({ length: 200 }, (_, i) => `${i}: the fox and ${i % 7} hens\n`);
	writeFileSync(join(folder, "text.txt"), lines.join(""));
});
afterAll(() => {
	delete process.env.RIVULET_CACHE;
	rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
	Object.assign(setting, { narrow: {}, wide: {}, created: [] });
});

interface Changes {
	readonly ema?: number;
	readonly resume?: "auto";
	/** Stop when this step has ended. */
	readonly stopAt?: number;
}

async function run(name: string, { ema = 0, resume, stopAt }: Changes = {}) {
	const config = defineConfig({
		...(resume ? { resume } : {}),
		backend: "reference",
		seed: 3,
		run: join(folder, name),
		data: { path: join(folder, "text.txt"), length: 16 },
		model: { width: 8, heads: 2, window: 8, dropout: 0.1 },
		train: {
			batch: 4,
			steps: 13,
			evaluateEvery: 5,
			saveEvery: 4,
			evaluateBatches: 3,
			schedule: "cosine",
			warmup: 2,
			ema,
		},
	});
	const notes: string[] = [];
	const controller = new AbortController();
	const onEvent = (event: TrainEvent) => {
		if (event.kind === "note") notes.push(event.text);
		if (event.kind === "step" && event.step === stopAt) controller.abort();
	};
	return { summary: await train(config, { onEvent, signal: controller.signal }), notes };
}

/** Weights and moments of the last checkpoint, its state less the clock, and the losses of all records. */
function results(name: string) {
	const steps = readdirSync(join(folder, name, "checkpoints")).map((entry) => Number(entry.slice("step-".length)));
	const last = join(folder, name, "checkpoints", `step-${Math.max(...steps)}`);
	const [model, optimizer] = ["model", "optimizer"].map((file) => readFileSync(join(last, `${file}.safetensors`)));
	const { seconds: _, costs: __, widened, ...state } = JSON.parse(readFileSync(join(last, "state.json"), "utf8"));
	const records = readFileSync(join(folder, name, "metrics.jsonl"), "utf8")
		.trimEnd()
		.split("\n");
	const losses = records.map((line) => {
		const { step, loss, gradientNorm, validationLoss } = JSON.parse(line);
		return { step, loss, gradientNorm, validationLoss };
	});
	return { widened, trained: { model, optimizer, state, losses } };
}

const runtimes = () => setting.created as NarrowRuntime[];

test.each([
	["a step with another behind it", { steps: [7] }, 7],
	["that step and the other", { steps: [7, 8] }, 7],
	["a step that is awaited before the next begins", { steps: [5] }, 5],
	["the first step", { steps: [1] }, 1],
	["the last step", { steps: [13] }, 13],
	["a forward pass with another behind it", { passes: [2] }, 5],
	["two forward passes", { passes: [5, 6] }, 10],
])("%s: the same as if all had been done in the wider range", async (what, narrow, step) => {
	for (const ema of [0, 0.5]) {
		setting.narrow = {};
		const plain = `plain ${what} ${ema}`;
		await run(plain, { ema });
		expect(results(plain).widened).toBeUndefined();
		Object.assign(setting, { narrow, created: [] });
		const name = `widened ${what} ${ema}`;
		const { summary, notes } = await run(name, { ema });
		expect(results(name)).toEqual({ ...results(plain), widened: step });
		expect(notes).toEqual([
			`step ${step}: values left the range of narrow; done again as wide, which training goes on with`,
		]);
		expect(summary.made).toMatchObject({ engine: "wide", widened: step });
		expect(runtimes().map(({ description, closed }) => [description, closed])).toEqual([
			["narrow", true],
			["wide", true],
		]);
	}
});

test("a run that is taken up again begins in the range in which it stopped", async () => {
	await run("unbroken");
	setting.narrow = { steps: [3, 9] };
	const { summary, notes } = await run("stopped", { stopAt: 6 });
	expect(summary.ended).toBe("interrupted");
	expect(notes).toHaveLength(1);
	const again = await run("stopped", { resume: "auto" });
	expect(again.notes).toEqual([]); // step 9 would have told of it
	const { losses: _, ...trained } = results("unbroken").trained; // stopping made a record of its own
	expect(results("stopped")).toMatchObject({ trained, widened: 3 });
});

test("what no range holds ends the run, its last checkpoint intact", async () => {
	Object.assign(setting, { narrow: { steps: [10] }, wide: { steps: [10] } });
	await expect(run("diverging")).rejects.toThrow(
		/^training diverged at step 10: .* gradient norm NaN; the gradient of/,
	);
	const { widened, trained } = results("diverging");
	expect([widened, trained.state.step]).toEqual([undefined, 8]);
	expect(runtimes().every(({ closed }) => closed)).toBe(true);
});
