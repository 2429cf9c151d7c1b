/** Runs side by side: grouped by what they compute, figures from their own files, reports that hold no folders. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { reportHtml, reportMarkdown } from "../../src/report/index.ts";
import { compareRuns, finalLoss } from "../../src/studies/compare.ts";
import { comparisonReport } from "../../src/studies/compare-report.ts";
import { resolveConfig } from "../../src/train/config-resolve.ts";
import { RunFolder } from "../../src/train/run.ts";
import { rivulet } from "../cli/fake.ts";

let root = "";
const at = (name: string) => join(root, name);
const provenance = {
	command: "rivulet compare",
	commit: null,
	machine: "m",
	versions: {},
	date: "2026-01-01T00:00:00Z",
};

/** A finished run with losses falling to `last`, written as the trainer writes it. */
function makeRun(
	name: string,
	values: Record<string, unknown>,
	last: number,
	{ summary = true, evaluated = true } = {},
): string {
	const config = resolveConfig([{ from: "test", values: { "data.path": [at("corpus.txt")], ...values } }]);
	const run = RunFolder.create(at(name), config);
	for (let step = 10; step <= 30; step += 10) {
		run.appendMetrics({
			...{ step, loss: last + 1, tokens: step * 100, flops: step * 1e9, seconds: step / 10 },
			...(evaluated ? { validationLoss: last + (30 - step) / 10, validationError: 0.01 } : {}),
		});
	}
	run.addSample(20, "early words");
	run.addSample(30, `late <b>words</b> of ${name}`);
	const figures = evaluated ? { validationLoss: last, standardError: 0.01, bitsPerByte: last / Math.LN2 } : {};
	if (summary) {
		run.writeSummary({
			...{ ended: "steps", steps: 30, tokens: 3000, flops: 3e10, seconds: 3, parameters: 1234 },
			...{ tokensPerSecond: 1000, flopsPerSecond: 1e10, validationLoss: null, standardError: null, best: null },
			...figures,
		});
	}
	run.close();
	return run.path;
}

beforeAll(() => {
	root = mkdtempSync(join(tmpdir(), "rivulet-compare-"));
	makeRun("narrow-seed1", { seed: 1 }, 2);
	makeRun("narrow-seed2", { seed: 2 }, 2.2);
	makeRun("narrow-seed3", { seed: 3 }, 2.4);
	makeRun("wide", { "model.width": 256, "data.path": ["/secret/place/other.txt"] }, 1.5);
	makeRun("cut", { "model.layers": 3 }, 3, { summary: false });
	makeRun("blind", { "model.layers": 4 }, 3, { evaluated: false });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const seeds = () => [at("narrow-seed1"), at("narrow-seed2"), at("narrow-seed3")];

describe("compareRuns", () => {
	test("runs that differ only in their seed are one, with mean and standard error", async () => {
		const { runs, differences } = await compareRuns([...seeds(), at("wide")]);
		expect(runs.map(({ title }) => title)).toEqual(["narrow", "wide"]);
		expect(runs[0].seeds.map(({ seed }) => seed)).toEqual([1, 2, 3]);
		expect(finalLoss(runs[0])?.mean).toBeCloseTo(2.2, 12);
		expect(finalLoss(runs[0])?.error).toBeCloseTo(0.2 / Math.sqrt(3), 12);
		expect(finalLoss(runs[1])).toEqual({ mean: 1.5, error: 0.01 });
		expect(differences).toEqual([
			{ key: "data.path", values: ["corpus.txt", "other.txt"] },
			{ key: "model.width", values: ["128", "256"] },
		]);
		expect(runs[1].sample).toBe("late <b>words</b> of wide");
	});

	test("a run cut off without a summary has its last evaluation", async () => {
		const { runs } = await compareRuns([at("cut")]);
		expect(finalLoss(runs[0])).toEqual({ mean: 3, error: 0.01 });
		expect(runs[0].seeds[0]).toMatchObject({ ended: "unfinished", steps: 30, tokens: 3000 });
	});

	test("names that two configurations share are told apart", async () => {
		mkdirSync(at("again"));
		makeRun("again/wide", { "model.width": 512 }, 1.4);
		const { runs } = await compareRuns([at("wide"), at("again/wide")]);
		expect(runs.map(({ title }) => title)).toEqual(["wide", "wide (2)"]);
	});

	test("refuses what is no run, and a run named twice", async () => {
		mkdirSync(at("empty"), { recursive: true });
		await expect(compareRuns([at("empty")])).rejects.toMatchObject({ code: "run-missing" });
		await expect(compareRuns([at("missing")])).rejects.toMatchObject({ code: "file-missing" });
		await expect(compareRuns([at("wide"), `${at("wide")}/`])).rejects.toMatchObject({ code: "run-twice" });
	});
});

describe("comparisonReport", () => {
	test("has figures, three curves with a band over the seeds, differences and samples", async () => {
		const report = comparisonReport(await compareRuns([...seeds(), at("wide")]), provenance);
		expect(report.sections.map(({ title }) => title)).toEqual(["Figures", "Learning", "Configurations", "Samples"]);
		expect(report.summary).toContain(
			"4 runs of 2 configurations. The lowest final validation loss is 1.5000 ± 0.0100 nats, of wide",
		);
		const charts = report.sections[1].blocks.flatMap((block) =>
			block.kind === "chart" && block.chart.kind === "xy" ? [block.chart] : [],
		);
		expect(charts.map(({ x }) => x.title.split(",")[0])).toEqual(["training FLOPs", "tokens seen", "training time"]);
		expect(charts[0].series[0]).toMatchObject({
			name: "narrow",
			x: [1e10, 2e10, 3e10],
			low: [4, 3, 2],
			high: [4.4, 3.4, 2.4],
		});
		expect(charts[0].series[1].low).toBeUndefined();
		const html = reportHtml(report);
		expect(html).toContain("late &lt;b&gt;words&lt;/b&gt; of wide");
		expect(html).toContain("The runs differ in their data (<code>data.path</code>)");
	});

	test("names no folder but the runs' own", async () => {
		const report = comparisonReport(await compareRuns([...seeds(), at("wide")]), provenance);
		const all = reportHtml(report) + reportMarkdown(report, "f").text + JSON.stringify(report);
		expect(all).not.toContain(root);
		expect(all).not.toContain("secret");
	});

	test("columns that nothing fills are left out; a run without an evaluation says so", async () => {
		const report = comparisonReport(await compareRuns([at("blind")]), provenance);
		const [table] = report.sections[0].blocks;
		const names = table.kind === "table" ? table.columns.map(({ name }) => name) : [];
		expect(names).toContain("tokens/s");
		expect(names).not.toContain("final loss");
		expect(report.sections[1].blocks).toEqual([{ kind: "text", markdown: "No run has been evaluated." }]);
		expect(report.summary).toBe("1 run of 1 configuration. None has been evaluated.");
	});

	test("an unfinished run is called that", async () => {
		const report = comparisonReport(await compareRuns([at("cut"), at("wide")]), provenance);
		expect(JSON.stringify(report.sections[0].blocks)).toContain("Not everything had ended: cut.");
	});
});

describe("rivulet compare", () => {
	test("prints a table and writes the report", async () => {
		const { status, out, err } = await rivulet(["compare", ...seeds(), at("wide"), "--out", at("out")]);
		expect([status, err]).toEqual([0, ""]);
		expect(out).toMatch(/^run +seeds +parameters +final loss +bits\/byte +tokens/);
		expect(out).toMatch(/narrow +3 +1,234 +2\.2000 ± 0\.1155/);
		expect(readdirSync(at("out")).sort()).toEqual(["compare-figures", "compare.html", "compare.json", "compare.md"]);
		expect(readdirSync(at("out/compare-figures"))).toHaveLength(3);
		expect(readFileSync(at("out/compare.md"), "utf8")).toContain("rivulet compare");
	});

	test("what an unfinished run does not say is a dash", async () => {
		const { out } = await rivulet(["compare", at("cut"), "--out", at("out")]);
		expect(out).toMatch(/cut +1 +- +3\.0000 ± 0\.0100 +3\.00 k +30\.0 G +3\.0 s +-\n/);
	});

	test("--json is one line with the same figures", async () => {
		const { out } = await rivulet(["compare", at("wide"), "--json", "--out", at("out")]);
		expect(out.trimEnd()).not.toContain("\n");
		const { runs, report } = JSON.parse(out);
		expect(runs).toMatchObject([{ title: "wide", loss: 1.5, standardError: 0.01, seeds: [{ parameters: 1234 }] }]);
		expect(report.html).toBe(at("out/compare.html"));
	});

	test("a folder that holds no run is an error of usage, and nothing is written", async () => {
		writeFileSync(at("file"), "");
		const { status, err } = await rivulet(["compare", at("file"), "--out", at("not-there")]);
		expect(status).toBe(2);
		expect(err).toContain("is not a run");
		expect(readdirSync(root)).not.toContain("not-there");
	});
});
