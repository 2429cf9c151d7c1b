/** `rivulet compare RUN RUN ...`: finished runs side by side, as a table here and as a report with curves. */
import { Command } from "commander";
import { columns, compact, duration, grouped } from "../base/format.ts";
import type { comparisonData } from "../studies/compare-report.ts";
import type { Io } from "./io.ts";
import type { CommandBuilder } from "./program.ts";
import { withError } from "./train-printer.ts";

const examples = `
Runs that differ only in their seed become one row, and one curve with a band.

Examples:
  rivulet compare runs/notes-1 runs/notes-2
  rivulet compare studies/copy-quick/runs/* --out reports/copy
  rivulet compare runs/* --json | jq '.runs[] | {title, loss}'`;

export const compareCommand: CommandBuilder = (io, _actions, done) =>
	new Command("compare")
		.description("Set runs side by side: final loss, cost, curves, differences of their configurations, samples.")
		.argument("<run...>", "folders of runs")
		.option("--out <folder>", "folder of the report: compare.html, compare.md, compare.json", "compare")
		.option("--json", "end with one line of JSON", false)
		.option("--debug", "show stack traces of errors")
		.addHelpText("after", examples)
		.action(async (paths: string[], { out, json }: { out: string; json: boolean }) => {
			await compare(paths, out, json, io);
			done(0);
		});

async function compare(paths: readonly string[], out: string, json: boolean, io: Io): Promise<void> {
	const [{ compareRuns }, { comparisonData: dataOf, comparisonReport }, { madeOf }, { provenance, writeReport }] =
		await Promise.all([
			import("../studies/compare.ts"),
			import("../studies/compare-report.ts"),
			import("../studies/results.ts"),
			import("../report/index.ts"),
		]);
	const comparison = await compareRuns(paths);
	const made = provenance(["compare", ...paths, "--out", out], { made: madeOf(comparison.runs) });
	const report = writeReport(out, comparisonReport(comparison, made), "compare");
	const data = dataOf(comparison);
	if (json) io.out.write(`${JSON.stringify({ ...data, report })}\n`);
	else
		io.out.write(`${tableText(data)}\n\nreport  ${report.html}\n        ${report.markdown}\n        ${report.json}\n`);
}

function tableText({ runs }: ReturnType<typeof comparisonData>): string {
	const bytes = runs.some(({ bitsPerByte }) => bitsPerByte !== null);
	const accuracies = runs.some(({ accuracy }) => accuracy !== null);
	const head = ["run", "seeds", "parameters", "final loss"];
	if (bytes) head.push("bits/byte");
	if (accuracies) head.push("accuracy");
	head.push("tokens", "FLOPs", "time", "tokens/s");
	const rows = runs.map(({ title, seeds, loss, standardError, bitsPerByte, accuracy }) => {
		// 0 stands for what a run without a summary does not say.
		const mean = (value: (seed: (typeof seeds)[number]) => number, text: (mean: number) => string) => {
			const known = seeds.map(value).filter((one) => one > 0);
			return known.length === 0 ? "-" : text(known.reduce((sum, one) => sum + one, 0) / known.length);
		};
		const row = [title, String(seeds.length), mean(({ parameters }) => parameters, grouped)];
		row.push(loss === null ? "-" : withError(loss, standardError));
		if (bytes) row.push(bitsPerByte === null ? "-" : bitsPerByte.toFixed(4));
		if (accuracies) row.push(accuracy === null ? "-" : `${(100 * accuracy).toFixed(2)} %`);
		row.push(
			mean(({ tokens }) => tokens, compact),
			mean(({ flops }) => flops, compact),
		);
		row.push(
			mean(({ seconds }) => seconds, duration),
			mean(({ tokensPerSecond }) => tokensPerSecond, grouped),
		);
		return row;
	});
	return columns([head, ...rows], [...head.keys()].slice(1));
}
