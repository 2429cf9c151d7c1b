/** Every study of the catalog, ablations included, shrunk: done, interrupted, taken up; and what goes wrong. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { made } from "../../src/base/made.ts";
import { RandomSequence } from "../../src/base/random.ts";
import { findStudy, studies } from "../../src/studies/catalog/index.ts";
import { readManifest } from "../../src/studies/manifest.ts";
import { planRuns } from "../../src/studies/plan.ts";
import { madeOf } from "../../src/studies/results.ts";
import { type RunStudyOptions, runStudy, type StudyEvent } from "../../src/studies/run-study.ts";
import type { RunGroup, Study } from "../../src/studies/study.ts";
import { readFindings, studyReport } from "../../src/studies/study-report.ts";
import type { ConfigInput } from "../../src/train/config.ts";
import { tinyImages } from "./tiny-images.ts";

let folder = "";
const text = () => join(folder, "text.txt");
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "rivulet-study-"));
	process.env.RIVULET_CACHE = join(folder, "cache");
	const lines = Array.from({ length: 300 }, (_, i) => `${i}: the fox and ${i % 7} hens met ${i % 5} owls.\n`);
	writeFileSync(text(), lines.join(""));
	tinyImages(join(folder, "images"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Sizes at which a run of any study takes a moment; what the runs differ in stays as declared. */
function tiny({ needs }: Study): ConfigInput {
	const sizes = {
		text: { path: [text()], tokenizer: "char", length: 96 },
		images: { path: [join(folder, "images")] },
		none: { noise: 48 },
	} as const;
	return {
		threads: 1,
		data: sizes[needs ?? "none"] as ConfigInput["data"],
		model: { width: 8, heads: 2 },
		train: { batch: 4, steps: 6, evaluateEvery: 3, saveEvery: 2, evaluateBatches: 2 },
	};
}

const provenance = {
	command: "rivulet study",
	commit: null,
	machine: "one",
	versions: {},
	date: "2026-01-01T00:00:00Z",
};

/** What a report says, apart from what the clock and the memory say. */
async function reportOf(study: Study, out: string) {
	const report = await studyReport(study, await readFindings(study, readManifest(out), out), provenance);
	const timeless = (key: string, value: unknown) =>
		["seconds", "wallSeconds", "tokensPerSecond", "peakMemory"].includes(key) ? undefined : value;
	const clockless = report.sections.filter(({ title }) => !["Learning", "Ablations"].includes(title));
	return { report, data: JSON.parse(JSON.stringify(report.data, timeless)), clockless };
}

function options(study: Study, name: string, more: Partial<RunStudyOptions> = {}): RunStudyOptions {
	const groups: RunGroup[] = ["main", "ablations"];
	return { budget: "quick", out: join(folder, name), seeds: 1, groups, overrides: tiny(study), ...more };
}

/** Stop after so many steps of all runs together. */
function stopAfter(steps: number) {
	const controller = new AbortController();
	let count = 0;
	const onEvent = (event: StudyEvent) => {
		if (event.kind === "train" && event.event.kind === "step" && ++count === steps) controller.abort();
	};
	return { signal: controller.signal, onEvent };
}

describe.each(studies.map((study) => [study.name, study] as const))("%s", (name, study) => {
	test("every run, interrupted anywhere and taken up again, reports as if undisturbed", {
		timeout: 120_000,
	}, async () => {
		const whole = options(study, `${name}-whole`);
		const labels = study.budgets.quick.runs.map(({ label }) => label);
		expect(await runStudy(study, whole)).toMatchObject({ ended: "done", failed: 0, done: labels.length });
		const seed = Date.now();
		const random = new RandomSequence(seed, 1, 1);
		const cut = options(study, `${name}-cut`);
		let interruptions = 0;
		for (; ; interruptions++) {
			const outcome = await runStudy(study, { ...cut, ...stopAfter(1 + random.below(20)) });
			if (outcome.ended === "done") break;
			expect(outcome.done).toBeLessThanOrEqual(outcome.runs);
		}
		expect(interruptions).toBeGreaterThan(1);
		const [undisturbed, resumed] = [await reportOf(study, whole.out), await reportOf(study, cut.out)];
		expect(resumed.data, `cut by seed ${seed}`).toEqual(undisturbed.data);
		expect(resumed.clockless, `cut by seed ${seed}`).toEqual(undisturbed.clockless);
		const trained = resumed.data.runs.filter(({ label }: { label: string }) => label !== "ngram");
		expect(trained.map(({ label }: { label: string }) => label)).toEqual(labels);
		for (const { seeds } of trained) expect(seeds[0].ended).toMatch(/^(steps|flops)$/);
		const titles = resumed.report.sections.map(({ title }) => title);
		expect(titles).toEqual(expect.arrayContaining(["Claims", "Learning", "Ablations", "A look inside"]));
	});

	test("does nothing twice", async () => {
		const states: string[] = [];
		const onEvent = (event: StudyEvent) => {
			if (event.kind === "run") states.push(event.state);
			expect(event.kind).not.toBe("train");
		};
		await runStudy(study, { ...options(study, `${name}-whole`), onEvent });
		expect(new Set(states)).toEqual(new Set(["done before"]));
	});

	test("declares runs whose labels are names of folders, and references before those that need them", () => {
		for (const budget of Object.values(study.budgets)) {
			const labels = budget.runs.map(({ label }) => label);
			expect(new Set(labels).size).toBe(labels.length);
			for (const [i, { label, match }] of budget.runs.entries()) {
				expect(label).toMatch(/^[a-z0-9-]+$/);
				for (const other of Object.values(match ?? {})) expect(labels.slice(0, i)).toContain(other);
			}
			const known = [...labels, ...(budget.ngramOrder === undefined ? [] : ["ngram"])];
			for (const { reading, rule, source } of budget.claims) {
				// To be better than what was published is no failure; only the same code's curve is to be the same.
				if (rule.kind === "near") expect(source).toContain("the author's code");
				expect(known).toContain(reading.run);
				if (rule.kind === "below") expect(known).toContain(rule.run);
			}
			expect(labels).toContain(study.subject);
		}
	});

	test("every run of every budget is a configuration that can be resolved", async () => {
		const { configOf } = await import("../../src/studies/plan.ts");
		const data = study.needs === null ? {} : { path: [text()] };
		for (const budget of Object.values(study.budgets)) {
			const planned = planRuns(budget, { out: "out", seeds: 1, groups: ["main", "ablations"] });
			expect(planned.length).toBe(budget.runs.length);
			for (const run of planned) expect(configOf(run, budget, { data }).run).toBe(join("out", "runs", run.name));
		}
	});
});

describe("ablations", () => {
	test("are runs of their own group, with lengths beyond training", { timeout: 120_000 }, async () => {
		const study = findStudy("copy");
		const some = options(study, "aside", { groups: ["main", "ablations"], only: "positions-*" });
		expect(await runStudy(study, some)).toMatchObject({ ended: "done", runs: 3, done: 3 });
		const { data, report } = await reportOf(study, some.out);
		const none = data.lengths.find(({ label }: { label: string }) => label === "positions-none");
		expect(none.seeds[0].map(({ multiple, length }: Record<string, number>) => [multiple, length])).toEqual([
			...[[1, 48]],
			...[[2, 96]],
			...[[4, 192]],
		]);
		expect(none.seeds[0][2].loss).toBeGreaterThan(0);
		const absolute = data.lengths.find(({ label }: { label: string }) => label === "positions-absolute");
		expect(absolute.seeds[0][1].loss).toBeNull();
		expect(report.sections.map(({ title }) => title)).toEqual(
			expect.arrayContaining(["Ablations", "Beyond the training length"]),
		);
	});
});

test("where the weights are gone, the report keeps what they showed, or says that it cannot show it", async () => {
	const image = findStudy("image");
	const there = options(image, "gone", { only: "recurrent" });
	await runStudy(image, there);
	const { report } = await reportOf(image, there.out);
	const shown = report.sections.slice(-2);
	expect(shown.map(({ title }) => title)).toEqual(["Examples of the validation split", "A look inside"]);
	rmSync(join(there.out, "runs", "recurrent-seed1", "checkpoints"), { recursive: true });
	const findings = await readFindings(image, readManifest(there.out), there.out);
	const kept = await studyReport(image, findings, provenance, report.sections);
	expect(kept.sections.slice(-2)).toEqual(shown);
	const without = await studyReport(image, findings, provenance);
	expect(JSON.stringify(without.sections.at(-1))).toContain("are not where the report was written");
	expect(madeOf(findings.runs)).toEqual({
		commit: made().commit,
		machine: expect.stringContaining(`, on ${made().machine}`),
	});
	expect(madeOf([])).toEqual({});
});

describe("what goes wrong", () => {
	const copy = findStudy("copy");

	test("an unknown study", () => {
		expect(() => findStudy("coppy")).toThrow(
			expect.objectContaining({ code: "unknown-study", hint: "did you mean copy?", exitStatus: 2 }),
		);
	});

	test("the folder of another study or budget", async () => {
		const there = options(copy, "foreign", { only: "recurrent" });
		await runStudy(copy, there);
		const other = findStudy("selective-copy");
		await expect(runStudy(other, { ...there })).rejects.toMatchObject({
			code: "study-differs",
			message: expect.stringContaining("holds the study copy at budget quick, not selective-copy at budget quick"),
		});
		await expect(runStudy(copy, { ...there, budget: "paper" })).rejects.toMatchObject({ code: "study-differs" });
		expect(readManifest(there.out)).toMatchObject({ study: "copy", budget: "quick" });
	});

	test("a folder with other files in it", async () => {
		const out = mkdtempSync(join(folder, "mine-"));
		writeFileSync(join(out, "thesis.txt"), "years of work");
		await expect(runStudy(copy, { ...options(copy, ""), out })).rejects.toMatchObject({
			code: "study-folder",
			message: expect.stringContaining("thesis.txt"),
		});
		expect(readdirSync(out)).toEqual(["thesis.txt"]);
	});

	test("no text, and a text that is not there: nothing is written", async () => {
		const study = findStudy("shakespeare");
		const without = { ...options(study, "no-text"), overrides: {} };
		await expect(runStudy(study, without)).rejects.toMatchObject({
			code: "data-missing",
			hint: "name it: rivulet study run shakespeare --data.path FILE",
		});
		const gone = { ...without, overrides: { data: { path: [join(folder, "gone.txt")] } } };
		await expect(runStudy(study, gone)).rejects.toThrow(/gone\.txt/);
		expect(existsSync(without.out)).toBe(false);
	});

	test("a pattern that fits nothing", async () => {
		await expect(runStudy(copy, options(copy, "nothing", { only: "lstm*" }))).rejects.toMatchObject({
			code: "study-only",
			hint: expect.stringContaining("there are recurrent, transformer-1"),
		});
	});

	test("a finished run of another configuration", async () => {
		const there = options(copy, "changed", { only: "recurrent" });
		await runStudy(copy, there);
		const changed = { ...there, overrides: { ...there.overrides, model: { width: 24, heads: 2 } } };
		await expect(runStudy(copy, changed)).rejects.toMatchObject({
			code: "run-differs",
			message: expect.stringContaining("model.width: 8 there, 24 here"),
		});
	});

	test("a run without the one it is to be equal to fails alone, and says what it waits for", async () => {
		const alone = options(copy, "alone", { only: "transformer-1-flops" });
		const failures: (string | undefined)[] = [];
		const onEvent = (event: StudyEvent) => {
			if (event.kind === "run") failures.push(event.failure);
		};
		expect(await runStudy(copy, { ...alone, onEvent })).toMatchObject({ ended: "done", failed: 1, done: 0 });
		expect(failures.join()).toContain("transformer-1-flops-seed1 is to spend the FLOPs of recurrent-seed1");
	});
});

test("equal FLOPs are equal to the step, equal parameters as near as whole widths come", async () => {
	const study = findStudy("copy");
	const { data } = await reportOf(study, join(folder, "copy-whole"));
	const seed = (label: string) => data.runs.find((run: { label: string }) => run.label === label).seeds[0];
	const [recurrent, equal, mingru] = ["recurrent", "transformer-1-flops", "mingru"].map(seed);
	expect(equal.flops).toBeGreaterThanOrEqual(recurrent.flops);
	expect(equal.flops - equal.flops / equal.steps).toBeLessThan(recurrent.flops);
	expect(Math.abs(mingru.parameters / recurrent.parameters - 1)).toBeLessThan(0.1);
});
