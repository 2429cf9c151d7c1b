/** `rivulet fit TABLE.csv`: a scaling law fitted to anyone's runs, with how sure it is, as a table here and as a report. */
import { basename } from "node:path";
import { Command, Option } from "commander";
import { RivuletError } from "../base/errors.ts";
import { columns, duration } from "../base/format.ts";
import { Progress } from "../base/progress.ts";
import type { FitMethod } from "../laws/fit/fit.ts";
import type { FitRow } from "../laws/fit/fit-report.ts";
import type { TableColumns } from "../laws/fit/table.ts";
import type { Io } from "./io.ts";
import { integer } from "./options.ts";
import type { CommandBuilder } from "./program.ts";

interface FitFlags extends TableColumns {
	readonly law: "hoffmann" | "tied";
	readonly method: FitMethod | "isoflop";
	readonly bootstrap: number;
	readonly dropHighest: number;
	readonly seed: number;
	readonly out: string;
	readonly json: boolean;
	readonly where?: string;
}

const examples = `
Of parameters, tokens and FLOPs two are enough (FLOPs = 6 x parameters x tokens). One row is one run: not several checkpoints of one.

Examples:
  rivulet fit runs.csv --parameters params --tokens tokens --loss val_loss
  rivulet fit chinchilla-runs.csv --parameters "Model Size" --flops "Training FLOP" --loss loss --drop-highest 5 --method huber
  rivulet fit isoflops.csv --where source=llama_3 --flops budget --method isoflop --json`;

export const fitCommand: CommandBuilder = (io, _actions, done) =>
	new Command("fit")
		.description("Fit a scaling law L(N, D) = E + A / N^alpha + B / D^beta to a table of runs.")
		.argument("<table>", "CSV file whose first row names the columns")
		.option("--parameters <column>", "column of the parameters N (default: found by its name)")
		.option("--tokens <column>", "column of the tokens D")
		.option("--flops <column>", "column of the training FLOPs C")
		.option("--loss <column>", "column of the final loss, nats per token")
		.option("--where <column=value>", "only rows with this value")
		.addOption(
			new Option("--law <law>", "hoffmann, or tied: alpha = beta").choices(["hoffmann", "tied"]).default("hoffmann"),
		)
		.addOption(
			new Option("--method <method>", "vpnls: variable projection; huber: as Hoffmann et al.; isoflop: parabolas")
				.choices(["vpnls", "huber", "isoflop"])
				.default("vpnls"),
		)
		.option("--bootstrap <n>", "samples of the runs that intervals come from", integer("--bootstrap", 0), 400)
		.option("--drop-highest <n>", "leave out runs at or above the n-th highest loss", integer("--drop-highest", 0), 0)
		.option("--seed <n>", "of the bootstrap", integer("--seed", 0), 1)
		.option("--out <folder>", "folder of the report: fit.html, fit.md, fit.json", "fit")
		.option("--json", "end with one line of JSON", false)
		.option("--debug", "show stack traces of errors")
		.addHelpText("after", examples)
		.action(async (path: string, flags: FitFlags) => {
			await fitTable(path, flags, io);
			done(0);
		});

async function fitTable(path: string, flags: FitFlags, io: Io): Promise<void> {
	const [{ readTable, expectEnough }, { dropHighest }, { fitRuns }, { fitIsoflop }, { fitData, fitReport }, report] =
		await Promise.all([
			import("../laws/fit/table.ts"),
			import("../laws/fit/runs.ts"),
			import("../laws/fit/fit.ts"),
			import("../laws/fit/isoflop.ts"),
			import("../laws/fit/fit-report.ts"),
			import("../report/index.ts"),
		]);
	if (flags.law === "tied" && flags.method === "huber") {
		throw new RivuletError("option-conflict", "--law tied goes with --method vpnls, found --method huber", {
			exitStatus: 2,
		});
	}
	const runs = dropHighest(readTable(path, { ...flags, only: condition(flags.where) }), flags.dropHighest);
	expectEnough(runs.losses.length, path);
	const isoflop = fitIsoflop(runs);
	if (flags.method === "isoflop" && isoflop === null) {
		throw new RivuletError(
			"fit-isoflop",
			`${path}: expected at least two budgets whose lowest loss lies among their sizes`,
			{
				hint: "Each budget needs three sizes or more on both sides of its best one; name the column of the budgets: --flops.",
			},
		);
	}
	const progress = new Progress({ stream: io.err, environment: io.environment, silent: io.err.isTTY !== true });
	const started = performance.now();
	const method = flags.method === "isoflop" ? "vpnls" : flags.method;
	const found = fitRuns(runs, {
		...{ method, tied: flags.law === "tied", bootstrap: flags.bootstrap, seed: flags.seed },
		onProgress: (stage, done, total) => progress.update([[stage, `${done} of ${total}`]]),
	});
	progress.end();
	const provenance = report.provenance(["fit", ...commandWords(path, flags)]);
	const written = report.writeReport(flags.out, fitReport(basename(path), found, isoflop, provenance), "fit");
	const data = fitData(found, isoflop);
	if (flags.json) {
		const { samples, ...rest } = data;
		io.out.write(`${JSON.stringify({ ...rest, bootstrap: samples.length, report: written })}\n`);
		return;
	}
	const lines = [
		`${data.runs} runs, ${method}, objective ${data.objective.toPrecision(9)}, ${duration((performance.now() - started) / 1000)}`,
		"",
		rowsText(data.quantities),
		"",
	];
	if (isoflop)
		lines.push(
			`IsoFLOP: best N grows as C^${isoflop.exponent.toFixed(4)} (${isoflop.curves.filter(({ inside }) => inside).length} budgets)`,
			"",
		);
	for (const warning of found.warnings) lines.push(`warning: ${warning}`);
	lines.push(`report  ${written.html}`, `        ${written.markdown}`, `        ${written.json}`);
	io.out.write(`${lines.join("\n")}\n`);
}

function rowsText(rows: readonly FitRow[]): string {
	const text = (value: number | null) => (value === null ? "-" : String(Number(value.toPrecision(6))));
	const body = rows.map(({ quantity, value, error, low, high }) => [quantity, ...[value, error, low, high].map(text)]);
	return columns([["", "value", "std. error", "95 % from", "to"], ...body], [1, 2, 3, 4]);
}

function condition(where: string | undefined): TableColumns["only"] {
	if (where === undefined) return undefined;
	const [, column, value] = /^([^=]+)=(.*)$/s.exec(where) ?? [];
	if (column !== undefined) return { column, value };
	throw new RivuletError("option-value", `--where: expected COLUMN=VALUE, found "${where}"`, { exitStatus: 2 });
}

/** The command line that makes the report again. */
function commandWords(path: string, flags: FitFlags): string[] {
	const named = (["parameters", "tokens", "flops", "loss", "where"] as const).flatMap((name) =>
		flags[name] === undefined ? [] : [`--${name}`, String(flags[name])],
	);
	const numbers = [`--drop-highest`, flags.dropHighest, "--bootstrap", flags.bootstrap, "--seed", flags.seed].map(
		String,
	);
	return [path, ...named, "--law", flags.law, "--method", flags.method, ...numbers, "--out", flags.out];
}
