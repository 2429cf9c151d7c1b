import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rivulet } from "./fake.ts";

let folder = "";
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "rivulet-cli-study-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("list shows every study with its budgets, and as JSON", async () => {
	const { status, out } = await rivulet(["study", "list"]);
	expect(status).toBe(0);
	for (const name of ["shakespeare", "copy", "selective-copy", "language"])
		expect(out).toMatch(new RegExp(`^${name} `, "m"));
	expect(out).toMatch(/quick +\d+ runs and \d+ ablations, 3 seeds/);
	const listed = JSON.parse((await rivulet(["study", "list", "--json"])).out);
	const copy = listed.find(({ name }: { name: string }) => name === "copy");
	expect(copy.budgets.quick.runs[0]).toEqual({
		label: "recurrent",
		title: "recurrent, accumulate, window 32",
		group: "main",
	});
});

test("alone it shows what there is", async () => {
	const { status, out } = await rivulet(["study"]);
	expect(status).toBe(0);
	expect(out).toMatch(/Commands:\n +list/);
});

describe("what the user got wrong", () => {
	test.each([
		[["study", "run", "coppy"], "unknown study", "did you mean copy?"],
		[["study", "rn"], "unknown command 'rn'", "did you mean run?"],
		[["study", "run", "copy", "--budgt", "quick"], "unknown option '--budgt'", "did you mean --budget?"],
		[["study", "run", "copy", "--budget", "huge"], "Allowed choices are quick, paper", ""],
		[["study", "run", "copy", "--seeds", "0"], "--seeds: expected an integer >= 1", ""],
		[["study", "run"], "missing required argument 'study'", ""],
		[["study", "run", "language"], "learns from a text of yours", "rivulet study run language --data.path FILE"],
		[["study", "run", "language", "--data.path", "-"], "standard input (-) can be read once", "put it into a file"],
		[["study", "report", "nowhere"], "nowhere is not the folder of a study", "rivulet study run wrote"],
	])("%j", async (argv, message, hint) => {
		const { status, out, err } = await rivulet([...argv]);
		expect(status).toBe(2);
		expect(out).toBe("");
		expect(err).toContain(message);
		expect(err).toContain(hint);
	});

	test.each(["backend", "precision"])("a %s that there is none of, before anything is written", async (flag) => {
		const out = join(folder, "never");
		const { status, err } = await rivulet(["study", "run", "copy", `--${flag}`, "abacus", "--out", out]);
		expect(status).toBe(2);
		expect(err).toMatch(new RegExp(`${flag}.*abacus.*`));
		expect(err).toContain(flag === "backend" ? "cuda" : "fp16"); // what there is
		expect(existsSync(out)).toBe(false);
	});
});

test("Ctrl-C ends with 130, what is there is reported, and report writes it again", async () => {
	const out = join(folder, "stopped");
	const interrupt = new AbortController();
	interrupt.abort("SIGINT");
	const engine = ["--backend", "reference", "--precision", "fp16"];
	const stopped = await rivulet(["study", "run", "copy", "--out", out, ...engine, "--json"], {}, { interrupt });
	expect(stopped.status).toBe(130);
	expect(JSON.parse(stopped.out)).toMatchObject({
		study: "copy",
		budget: "quick",
		ended: "interrupted",
		done: 0,
		runs: 15,
	});
	expect(readFileSync(join(out, "report.html"), "utf8")).toContain("Copy: the quick study");
	rmSync(join(out, "report.html"));
	const again = await rivulet(["study", "report", out]);
	expect([again.status, again.err]).toEqual([0, ""]);
	expect(again.out).toMatch(/^not measured .* All symbols are recalled at full noise$/m);
	expect(existsSync(join(out, "report.html"))).toBe(true);
	const { provenance } = JSON.parse(readFileSync(join(out, "report.json"), "utf8"));
	expect(provenance.command).toBe(
		"rivulet study run copy --budget quick --out …/stopped --backend reference --precision fp16",
	);
});
