import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { fitRuns, identifiability } from "../../../src/laws/fit/fit.ts";
import { fitIsoflop } from "../../../src/laws/fit/isoflop.ts";
import { dropHighest, type Runs } from "../../../src/laws/fit/runs.ts";
import { readTable } from "../../../src/laws/fit/table.ts";
import { additiveLoss, hoffmannRounded } from "../../../src/laws/index.ts";

const folder = mkdtempSync(join(tmpdir(), "rivulet-table-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(head: string, rows: string[]): string {
	const path = join(folder, "runs.csv");
	writeFileSync(path, `${[head, ...rows].join("\n")}\n`);
	return path;
}
const good = Array.from({ length: 12 }, (_, i) => `${1e6 * (i + 1)},${1e8 * ((i % 4) + 1)},${3 + 1 / (i + 1)}`);

test("usual names are found; FLOPs are reckoned where there are none", () => {
	const runs = readTable(file("Params, Tokens, Loss", good));
	expect(runs.losses.length).toBe(12);
	expect(runs.flops[2]).toBe(6 * 3e6 * 3e8);
});

test("tokens from FLOPs and parameters; only rows that are asked for", () => {
	const rows = good.map((row, i) => `${row},${i < 11 ? "a" : "b"}`);
	const runs = readTable(file("n,flop,loss,set", rows), { only: { column: "set", value: "a" } });
	expect(runs.losses.length).toBe(11);
	expect(runs.tokens[0]).toBeCloseTo(1e8 / 6 / 1e6, 6);
});

test.each([
	["a column that is not there", "params,tokens,loss", good, { loss: "lose" }, /expected a column "lose".*"loss"/],
	["no loss", "params,tokens,x", good, {}, /which column holds the loss/],
	["no size", "x,tokens,loss", good, {}, /which column holds the parameters/],
	["NaN", "params,tokens,loss", [...good, "1e6,1e8,NaN"], {}, /line 14, column "loss".*found "NaN"/],
	["a negative loss", "params,tokens,loss", [...good, "1e6,1e8,-1"], {}, /above zero, found "-1"/],
	["an empty cell", "params,tokens,loss", [...good, "1e6,,2"], {}, /column "tokens".*found ""/],
	["ten rows", "params,tokens,loss", good.slice(0, 10), {}, /at least 11 runs.*found 10/],
	["a ragged row", "params,tokens,loss", [...good, "1,2"], {}, /comma-separated/],
])("%s", (_, head, rows, columns, message) => {
	expect(() => readTable(file(head, rows), columns)).toThrow(message);
});

test("a mistyped column gets the nearest one as a hint", () => {
	expect.assertions(1);
	try {
		readTable(file("params,tokens,loss", good), { loss: "lose" });
	} catch (error) {
		expect((error as { hint: string }).hint).toBe('Did you mean "loss"?');
	}
});

test("outliers at the highest losses go, that one included", () => {
	const runs = readTable(file("params,tokens,loss", good));
	expect(dropHighest(runs, 5).losses.length).toBe(7);
	expect(Math.max(...dropHighest(runs, 5).losses)).toBeLessThan(3.2);
});

/** Sizes within a factor of `wide` around the best of each budget. */
function isoflops(wide: number): Runs {
	const rows = [1e18, 1e19, 1e20, 1e21].flatMap((flops) =>
		Array.from({ length: 16 }, (_, i) => {
			const parameters = hoffmannRounded.allocate(flops).parameters * wide ** ((2 * i) / 15 - 1);
			return { parameters, tokens: flops / 6 / parameters, flops };
		}),
	);
	const column = (key: "parameters" | "tokens" | "flops") => Float64Array.from(rows, (row) => row[key]);
	const losses = rows.map(({ parameters, tokens }) => additiveLoss(hoffmannRounded.constants, parameters, tokens));
	return {
		parameters: column("parameters"),
		tokens: column("tokens"),
		flops: column("flops"),
		losses: Float64Array.from(losses),
	};
}

test.each([
	[2, 1.0033],
	[8, 1.0299],
	[16, 1.0537],
	[100, 1.1551],
])("IsoFLOP: with sizes to x%d the exponent is right, the level x%d", (wide, level) => {
	const fit = fitIsoflop(isoflops(wide))!;
	expect(fit.exponent).toBeCloseTo(0.4516129, 6);
	expect(fit.curves[1].best / hoffmannRounded.allocate(1e19).parameters).toBeCloseTo(level, 2);
});

test("runs that cannot tell the law are said to be such", () => {
	const some = isoflops(8);
	const one = { ...some, parameters: some.parameters.map(() => 1e8) };
	expect(identifiability(one, hoffmannRounded.constants).join()).toContain("only 1 different sizes");
	const still = { ...some, tokens: some.tokens.map(() => 1e9) };
	expect(identifiability(still, hoffmannRounded.constants).join()).toContain("only 1 different numbers of tokens");
	const together = { ...some, tokens: some.parameters.map((n) => 20 * n) };
	expect(identifiability(together, hoffmannRounded.constants).join()).toContain("rise together");
	expect(identifiability(some, hoffmannRounded.constants)).toEqual([]);
	expect(fitRuns(some).warnings).toEqual([]);
	// Losses that have nothing to do with size or data.
	const noise = { ...some, losses: some.losses.map((_, i) => 3 + 0.1 * Math.sin(12.9898 * i * i)) };
	expect(fitRuns(noise).warnings.length).toBeGreaterThan(0);
});
