/** `rivulet plan`, from a small text to a configuration that trains and a report. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { defineConfig } from "../../src/train/index.ts";
import { rivulet } from "./fake.ts";

const folder = mkdtempSync(join(tmpdir(), "rivulet-plan-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

function textFile(name: string, text: string): string {
	const path = join(folder, name);
	writeFileSync(path, text);
	return path;
}

const words = ["the", "bee", "saw", "a", "red", "ball", "by", "barn", "and", "hid"];
const lines = Array.from({ length: 900 }, (_, i) =>
	Array.from({ length: 6 }, (_, k) => words[(i * (k + 3) + ((i * i) % 7) * k) % words.length]).join(" "),
);

describe("rivulet plan", () => {
	test("recommends, writes configurations that are valid, and a report", async () => {
		const path = textFile("tales.txt", lines.join("\n"));
		const out = join(folder, "plan");
		const limits = ["--budget-flops", "1e12", "--max-parameters", "40000", "--calibrate", "0.2"];
		const { status, out: said } = await rivulet([...["plan", "--data.path", path, ...limits, "--out", out, "--json"]]);
		expect(status).toBe(0);
		const plan = JSON.parse(said);
		expect(plan.statistics.duplicates.lines).toBe(900);
		for (const { kind, parameters, steps, flops, sizes, loss } of plan.recommendations) {
			expect(parameters).toBeLessThanOrEqual(40_000);
			expect(flops).toBeLessThanOrEqual(1e12);
			expect([sizes.flops, sizes.parameters.length]).toEqual([1e12, sizes.loss.length]);
			expect(loss.low).toBeLessThanOrEqual(loss.high);
			const config = defineConfig(parse(readFileSync(join(out, `${kind}.yaml`), "utf8")));
			expect([config.model.kind, config.train.steps]).toEqual([kind, steps]);
		}
		const html = readFileSync(plan.report.html, "utf8");
		for (const title of ["What to train", "What loss to expect", "Which size: recurrent", "Growth of n-grams"]) {
			expect(html).toContain(title);
		}
		expect(html.match(/<svg/g)?.length).toBeGreaterThan(4);
		expect(readFileSync(plan.report.markdown, "utf8")).toContain("rivulet plan");
		expect(existsSync(plan.report.json)).toBe(true);
	}, 60_000);

	test("a budget too small for any model says what a step takes", async () => {
		const path = textFile("short.txt", lines.slice(0, 300).join("\n"));
		const argv = ["plan", "--data.path", path, "--budget-flops", "1e9", "--max-parameters", "30000"];
		const { status, out, err } = await rivulet([...argv, "--calibrate", "0.1", "--out", join(folder, "none")]);
		expect([status, out]).toEqual([2, ""]);
		expect(err).toMatch(/at least 50 steps of the smallest sensible recurrent[\s\S]*A step takes about/);
		const least = ["--max-parameters", "10", "--budget-flops", "1e15"];
		expect((await rivulet(["plan", "--data.path", path, ...least])).err).toContain("Raise --max-parameters");
	}, 60_000);

	test("a corpus of one repeated line is refused before anything is trained", async () => {
		const path = textFile("one.txt", "all work and no play\n".repeat(300));
		const { status, err } = await rivulet(["plan", "--data.path", path, "--budget-hours", "1"]);
		expect(status).toBe(1);
		expect(err).toContain("one line, repeated 300 times");
		expect(err).not.toContain("steps");
	});
});
