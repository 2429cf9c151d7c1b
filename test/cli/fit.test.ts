import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { fitCommand } from "../../src/cli/fit.ts";
import { planCommand } from "../../src/cli/plan.ts";
import { additiveLoss, hoffmannRounded } from "../../src/laws/index.ts";

const folder = mkdtempSync(join(tmpdir(), "rivulet-fit-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs a command on its own; what it wrote to standard output. */
async function run(builder: typeof fitCommand, words: string[]): Promise<string> {
	let out = "";
	const io = {
		out: {
			write: (text: string) => {
				out += text;
			},
		},
		err: { write: () => undefined },
		environment: {},
		interrupt: () => new AbortController().signal,
	};
	await builder(io, {} as never, () => undefined)
		.exitOverride()
		.parseAsync(words, { from: "user" });
	return out;
}

test("a table is fitted, told in JSON and written as a report", async () => {
	const path = join(folder, "runs.csv");
	const rows = [1e7, 3e7, 1e8, 3e8, 1e9].flatMap((n) =>
		[1e9, 3e9, 1e10, 3e10].map((d) => `${n},${d},${additiveLoss(hoffmannRounded.constants, n, d)}`),
	);
	writeFileSync(path, ["size,seen,final", ...rows].join("\n"));
	const columns = ["--parameters", "size", "--tokens", "seen", "--loss", "final"];
	const out = join(folder, "out");
	const found = JSON.parse(await run(fitCommand, [path, ...columns, "--bootstrap", "5", "--out", out, "--json"]));
	expect(found.runs).toBe(20);
	expect(found.constants.alpha).toBeCloseTo(0.34, 6);
	expect(found.constants.beta).toBeCloseTo(0.28, 6);
	for (const file of ["fit.html", "fit.md", "fit.json"]) expect(existsSync(join(out, file))).toBe(true);
	await expect(run(fitCommand, [path, ...columns, "--where", "x"])).rejects.toThrow("expected COLUMN=VALUE");
	await expect(run(fitCommand, [path, ...columns, "--drop-highest", "12"])).rejects.toThrow("at least 11 runs");
});

test("a plan needs a limit", async () => {
	await expect(run(planCommand, ["--data.path", "x.txt"])).rejects.toThrow("expected something that limits the run");
});
