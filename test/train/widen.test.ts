/** A result that leaves the range of a runtime's numbers: computed again in its wider range, and nothing is lost or done twice. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test, vi } from "vitest";
import type { Job } from "../../src/engine/program.ts";
import type { TrainEvent } from "../../src/train/events.ts";
import { train } from "../../src/train/trainer.ts";
import { RuntimeAhead } from "./runtime-ahead.ts";
import { textFolder } from "./text-folder.ts";

interface Narrow {
	/** Training steps whose values leave the range, and forward passes, counted from 1; steps that leave the wider range as well. */
	readonly steps?: readonly number[];
	readonly passes?: readonly number[];
	readonly wideSteps?: readonly number[];
}

/** Of some jobs values leave its range. */
class NarrowRuntime extends RuntimeAhead {
	override readonly description = "narrow";
	readonly wide = "tf32";
	readonly #narrow: Narrow;
	#pass = 0;
	/** Steps in the order in which they were put there, those in the wider range negative. */
	readonly order: number[] = [];

	constructor(narrow: Narrow) {
		super();
		this.#narrow = narrow;
	}

	override async submit(job: Job): Promise<{ ended: Promise<void> }> {
		const { steps = [], wideSteps = [] } = this.#narrow;
		if (job.updates.length > 0) {
			this.order.push(job.wide ? -job.step : job.step);
			if ((job.wide ? wideSteps : steps).includes(job.step)) {
				const offset = job.microBatches[0].program.program.shared.get("lossScale")?.offset as number;
				this.write("shared", offset, Float32Array.of(Number.POSITIVE_INFINITY));
			}
		}
		return await super.submit(job);
	}

	protected override computed({ updates, wide }: Job, outputs: Float32Array): void {
		if (updates.length === 0 && !wide && this.#narrow.passes?.includes(++this.#pass)) outputs.fill(Number.NaN);
	}
}

const setting = vi.hoisted(() => ({ narrow: {} as Narrow, last: undefined as unknown }));
vi.mock("../../src/engine/backends/index.ts", () => ({
	createRuntime: async () => {
		setting.last = new NarrowRuntime(setting.narrow);
		return setting.last;
	},
}));

const folder = textFolder("widen");
beforeEach(() => {
	setting.narrow = {};
});

interface Changes {
	readonly ema?: number;
	readonly resume?: "auto";
	/** Stop when this step has ended. */
	readonly stopAt?: number;
	readonly steps?: number;
}

const schedule = { schedule: "cosine", warmup: 2 } as const;

async function run(name: string, { ema = 0, resume, stopAt, steps = 13 }: Changes = {}) {
	const config = folder.config(name, {
		...(resume ? { resume } : {}),
		seed: 3,
		model: { dropout: 0.1 },
		train: { ...schedule, batch: 4, steps, evaluateEvery: 5, saveEvery: 4, evaluateBatches: 3, ema },
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
	const steps = readdirSync(join(folder.path, name, "checkpoints")).map((entry) => Number(entry.slice("step-".length)));
	const last = join(folder.path, name, "checkpoints", `step-${Math.max(...steps)}`);
	const [model, optimizer] = ["model", "optimizer"].map((file) => readFileSync(join(last, `${file}.safetensors`)));
	const {
		seconds: _,
		costs: __,
		doneWide,
		wideUntil,
		...state
	} = JSON.parse(readFileSync(join(last, "state.json"), "utf8"));
	const records = readFileSync(join(folder.path, name, "metrics.jsonl"), "utf8")
		.trimEnd()
		.split("\n");
	const losses = records.map((line) => {
		const { step, loss, gradientNorm, validationLoss } = JSON.parse(line);
		return { step, loss, gradientNorm, validationLoss };
	});
	return { doneWide, wideUntil, trained: { model, optimizer, state, losses } };
}

/** 1, 2, .. */
const count = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const wide = (steps: readonly number[]) => steps.map((step) => -step);
const order = () => (setting.last as NarrowRuntime).order;

test.each([
	["a step with another behind it", { steps: [7] }, 7, [...count(1, 8), ...wide(count(7, 13))]],
	["that step and the other", { steps: [7, 8] }, 7, [...count(1, 8), ...wide(count(7, 13))]],
	["a step awaited before the next begins", { steps: [5] }, 5, [...count(1, 5), ...wide(count(5, 13))]],
	["the first step", { steps: [1] }, 1, [1, 2, ...wide(count(1, 13))]],
	["the last step", { steps: [13] }, 13, [...count(1, 13), -13]],
	["a forward pass with another behind it", { passes: [2] }, 5, count(1, 13)],
	["two forward passes", { passes: [5, 6] }, 10, count(1, 13)],
])("%s: the same as if all had been done in the wider range", async (what, narrow, step, expected) => {
	for (const ema of [0, 0.5]) {
		setting.narrow = {};
		const plain = `plain ${what} ${ema}`;
		await run(plain, { ema });
		expect(results(plain).doneWide).toBeUndefined();
		setting.narrow = narrow;
		const name = `wide ${what} ${ema}`;
		const { summary, notes } = await run(name, { ema });
		expect(results(name).trained).toEqual(results(plain).trained);
		expect(order()).toEqual(expected);
		const passes = "passes" in narrow ? narrow.passes?.length : 0;
		expect(summary.made).toMatchObject({
			engine: "narrow",
			doneWide: expected.filter((each) => each < 0).length + (passes ?? 0),
		});
		expect(notes).toEqual([
			`step ${step}: values left the range of narrow; it was done again in tf32, as will be whatever else leaves it`,
		]);
	}
});

test("a run that is taken up again is where it stopped: in the wider range for a while", async () => {
	await run("unbroken");
	setting.narrow = { steps: [3, 9] };
	const { summary, notes } = await run("stopped", { stopAt: 6 });
	expect(summary.ended).toBe("interrupted");
	expect(notes).toHaveLength(1);
	expect(results("stopped")).toMatchObject({ doneWide: 5, wideUntil: 34 }); // 7 was under way
	const again = await run("stopped", { resume: "auto" });
	expect(again.notes).toEqual([]);
	expect(order()).toEqual(wide(count(8, 13)));
	const { losses: _, ...trained } = results("unbroken").trained; // stopping made a record of its own
	expect(results("stopped")).toMatchObject({ trained, doneWide: 11 });
});

test("32 steps later the narrower range is tried again", async () => {
	await run("plain long", { steps: 70 });
	setting.narrow = { steps: [3, 36] };
	await run("long", { steps: 70 });
	expect(order()).toEqual([...count(1, 4), ...wide(count(3, 34)), 35, 36, ...wide(count(36, 67)), 68, 69, 70]);
	expect(results("long").trained).toEqual(results("plain long").trained);
});

test("what no range holds ends the run, its last checkpoint intact", async () => {
	setting.narrow = { steps: [10], wideSteps: [10] };
	await expect(run("diverging")).rejects.toThrow(
		/^training diverged at step 10: .* gradient norm NaN; the gradient of/,
	);
	const { doneWide: none, trained } = results("diverging");
	expect([none, trained.state.step]).toEqual([undefined, 8]);
});
