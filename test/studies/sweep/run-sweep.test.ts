import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tales } from "../../../src/data/tales/tales.ts";
import { fitSweep } from "../../../src/studies/sweep/fit-sweep.ts";
import { runSweep, type SweepEvent, type SweepOutcome } from "../../../src/studies/sweep/run-sweep.ts";
import { readSweep, type SweepRequest } from "../../../src/studies/sweep/sweep-folder.ts";
import { readSweepLaws } from "../../../src/studies/sweep/sweep-law.ts";
import { sweepReport } from "../../../src/studies/sweep/sweep-report.ts";
import { measureWords, wordGrowth } from "../../../src/studies/sweep/word-growth.ts";
import { rivulet } from "../../cli/fake.ts";

let folder = "";
let text = "";
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "rivulet-sweep-test-"));
	text = join(folder, "tales.txt");
	const samples = [...tales(1, 0, 90_000)].map((tale) => tale.text);
	writeFileSync(text, samples.join("").slice(0, 80_000));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const request = (more: Partial<SweepRequest> = {}): SweepRequest => ({
	...{ path: [text], tokenizer: "char", architectures: ["recurrent", "transformer"] },
	...{ sizes: 2, dataSizes: 2, seeds: 1, budgetMinutes: 1, steps: 4 },
	...more,
});

/** What a report says, but for when and how fast. */
async function reported({ manifest, outcomes }: SweepOutcome): Promise<unknown> {
	const findings = fitSweep(outcomes, { bootstrap: 3 });
	const timeless = outcomes.map(({ run, summary }) => ({ run, summary: summary && { ...summary, seconds: 0 } }));
	const results = { name: "tales", manifest: manifest!, outcomes: timeless, findings };
	const provenance = { command: "", commit: null, machine: "", versions: {}, date: "" };
	return sweepReport({ ...results, heaps: await measureWords(manifest!) }, provenance);
}

describe("a sweep", () => {
	test("stopped in the middle of a run and begun again ends with the report of one that never stopped", async () => {
		const whole = await runSweep({ out: join(folder, "whole"), request: request() });
		expect(whole.ended).toBe("done");
		expect(whole.outcomes.map(({ run }) => run.part).filter((part) => part !== "search")).toEqual([
			...Array(8).fill("ladder"),
			...Array(2).fill("held back"),
		]);

		const out = join(folder, "stopped");
		const controller = new AbortController();
		const stopAt = (event: SweepEvent) => {
			if (event.kind === "run" && event.name.startsWith("transformer-w96") && event.state === "begun") armed = true;
			if (armed && event.kind === "train" && event.event.kind === "step" && event.event.step === 2) controller.abort();
		};
		let armed = false;
		const first = await runSweep({ out, request: request(), signal: controller.signal, onEvent: stopAt });
		expect(first.ended).toBe("interrupted");
		expect(first.outcomes.length).toBeLessThan(whole.outcomes.length);

		const again: SweepEvent[] = [];
		const second = await runSweep({ out, request: request(), onEvent: (event) => again.push(event) });
		const states = again.flatMap((event) => (event.kind === "run" && event.state !== "begun" ? [event.state] : []));
		expect(states.filter((state) => state === "done before")).toHaveLength(first.outcomes.length);
		expect(states.filter((state) => state === "done")).toHaveLength(whole.outcomes.length - first.outcomes.length);
		expect(again.filter((event) => event.kind === "train" && event.event.kind === "start")[0]).toMatchObject({
			event: { step: 2 },
		});
		expect(second.outcomes.map(({ summary }) => summary?.best?.loss)).toEqual(
			whole.outcomes.map(({ summary }) => summary?.best?.loss),
		);
		expect(await reported(second)).toEqual(await reported(whole));
	}, 60_000);

	test("limits the text and nothing else: every run of an amount has the same validation text", () => {
		const { ladder } = readSweep(join(folder, "whole"));
		expect(ladder.tokens).toEqual([4096, 8192]);
		const runs = join(folder, "whole", "runs");
		const limits = readdirSync(runs).map(
			(name) => JSON.parse(readFileSync(join(runs, name, "config.json"), "utf8")).data,
		);
		expect(new Set(limits.map(({ limit }) => limit))).toEqual(new Set([4096, 8192]));
		expect(new Set(limits.map(({ split }) => split))).toEqual(new Set([0.1]));
	});

	test("measures speeds first where it has a budget, and refuses one that pays for nothing", async () => {
		const out = join(folder, "poor");
		const speeds: SweepEvent[] = [];
		const poor = runSweep({
			out,
			request: request({ architectures: ["transformer"], sizes: 1, steps: null, budgetMinutes: 0.001 }),
			onEvent: (event) => speeds.push(event),
		});
		await expect(poor).rejects.toMatchObject({ code: "sweep-budget", exitStatus: 2 });
		expect(speeds.map((event) => event.kind)).toEqual(["speed", "speed"]);
		expect(existsSync(out)).toBe(false);
	}, 30_000);

	test("a text too short for the ladder is refused before anything is measured", async () => {
		const short = join(folder, "short.txt");
		writeFileSync(short, "a little text, and not much more of it. ".repeat(100));
		const options = { out: join(folder, "never"), request: request({ path: [short], dataSizes: 4, steps: null }) };
		await expect(runSweep(options)).rejects.toThrow(
			"expected a text of at least 13824 training tokens for 4 amounts of text, found 3600",
		);
		expect(existsSync(options.out)).toBe(false);
	});

	test("the folder of another sweep, of anything else, and a text that has changed", async () => {
		const out = join(folder, "whole");
		await expect(runSweep({ out, request: request({ seeds: 2, sizes: 3 }) })).rejects.toThrow(
			`${out} holds another sweep (sizes: 2 there, 3 here; seeds: 1 there, 2 here)`,
		);
		const other = join(folder, "other");
		mkdirSync(other);
		writeFileSync(join(other, "notes.txt"), "mine");
		await expect(runSweep({ out: other, request: request() })).rejects.toMatchObject({ code: "sweep-folder" });
		const before = readFileSync(text);
		writeFileSync(text, before.subarray(0, 60_000));
		await expect(runSweep({ out, request: request() })).rejects.toThrow(/was begun with a text of 72000 training/);
		writeFileSync(text, before);
	});

	test("--only takes some runs; a pattern that fits none is told what there is", async () => {
		const out = join(folder, "only");
		const { outcomes } = await runSweep({ out, request: request({ steps: 3 }), only: "transformer-w16-*" });
		expect(outcomes.map(({ run }) => `${run.part} ${run.kind} ${run.width}`).slice(-2)).toEqual([
			"ladder transformer 16",
			"ladder transformer 16",
		]);
		expect(new Set(outcomes.map(({ run }) => run.kind))).toEqual(new Set(["transformer"]));
		const none = runSweep({ out, request: request({ steps: 3 }), only: "mamba*" });
		await expect(none).rejects.toMatchObject({ code: "sweep-only", hint: expect.stringContaining("recurrent-w16") });
	}, 30_000);
});

describe("rivulet sweep", () => {
	test("writes its report, says the main points, and as one line of JSON", async () => {
		const out = join(folder, "command");
		const argv = ["sweep", "--data.path", text, "--sizes", "2", "--data-sizes", "2", "--steps", "3"];
		const common = [...argv, "--bootstrap", "3", "--out", out];
		const { status, out: said } = await rivulet(common);
		expect(status).toBe(0);
		expect(said).toMatch(/Recurrent transformer: L\(N, D\) = /);
		expect(said).toMatch(/warning: recurrent: only 2 different sizes/);
		const json = JSON.parse((await rivulet([...common, "--json"])).out);
		expect(json.ended).toBe("done");
		expect(json.laws.map(({ kind }: { kind: string }) => kind)).toEqual(["recurrent", "transformer"]);
		const markdown = readFileSync(json.report.markdown, "utf8");
		for (const title of ["Loss by size, recurrent", "The smallest good model", "Residuals", "The held-back run"])
			expect(markdown).toContain(`![${title}]`);
		expect(markdown).toContain("rivulet sweep");
		expect(markdown).not.toContain(folder);
		expect(readFileSync(json.report.html, "utf8")).toContain("<svg");
		const laws = readSweepLaws(out, "char");
		expect(laws.recurrent?.constants).toEqual(json.laws[0].constants);
		expect(laws.transformer).toMatchObject({ within: 0.02, read: 3 * 2048, source: "sweep command, 4 runs" });
		expect(laws.recurrent?.sizes).toEqual({ least: 6096, most: 128736 });
		expect(() => readSweepLaws(out, "byte")).toThrow(
			/measured losses of tokenizer char, and the plan is for tokenizer byte/,
		);
	}, 60_000);

	test("a plan by a sweep that has no law yet, or by none, is refused", async () => {
		const plan = async (of: string) =>
			await rivulet(["plan", "--data.path", text, "--budget-hours", "1", "--sweep", of, "--out", join(folder, "plan")]);
		expect((await plan(join(folder, "only"))).err).toMatch(/has no law yet[\s\S]*give its command again/);
		expect((await plan(folder)).err).toContain("is not the folder of a sweep");
	});

	test.each([
		[["--architectures", "recurrent,mamba"], 'unknown architecture "mamba"', "recurrent and transformer"],
		[["--budget-minutes", "0"], "--budget-minutes: expected a number above zero", ""],
		[["--data.path", "-"], "standard input (-) can be read once", "put it into a file"],
		[["--sizes", "none"], "--sizes: expected an integer >= 1", ""],
		[["--data.path", "nowhere.txt"], "nowhere.txt", ""],
	])("refuses %j", async (argv, message, hint) => {
		const { status, err } = await rivulet(["sweep", ...argv, "--out", join(folder, "never")]);
		expect(status).not.toBe(0);
		expect(err).toContain(message);
		expect(err).toContain(hint);
		expect(existsSync(join(folder, "never"))).toBe(false);
	});
});

test("the growth of words follows Heaps: each word new, or few of them", async () => {
	const { ByteTokenizer } = await import("../../../src/data/tokenizers/index.ts");
	const growth = (words: readonly string[]) => {
		const tokenizer = new ByteTokenizer();
		const ids = tokenizer.encode(words.join(" "));
		const read = (start: number, count: number, into: Int32Array) => into.set(ids.subarray(start, start + count));
		return wordGrowth({ length: ids.length, bytes: ids.length, vocabularySize: 256, read }, tokenizer);
	};
	const numbers = Array.from({ length: 40_000 }, (_, i) => i);
	expect(growth(numbers.map(String))?.h).toBeCloseTo(1, 6);
	expect(growth(numbers.map((i) => String(i % 7)))?.h).toBeCloseTo(0, 6);
	expect(growth(numbers.map((i) => String(Math.floor(Math.sqrt(i)))))?.h).toBeCloseTo(0.5, 1);
	expect(growth(["one"])).toBeNull();
});
