/** `rivulet sweep`: a ladder of small runs on a corpus, the law fitted to them, and what it says. */
import { basename, join, resolve } from "node:path";
import { Command, Option } from "commander";
import { RivuletError } from "../base/errors.ts";
import { type Architecture, architectures } from "../studies/sweep/ladder.ts";
import type { EngineChoice, SweepRunOutcome } from "../studies/sweep/run-sweep.ts";
import type { SweepManifest, SweepRequest } from "../studies/sweep/sweep-folder.ts";
import type { ConfigInput } from "../train/config.ts";
import { type Io, interruptedStatus } from "./io.ts";
import { decimal, integer, precisionOption } from "./options.ts";
import type { CommandBuilder } from "./program.ts";
import { SweepPrinter } from "./sweep-printer.ts";

const examples = `
The budget is for all runs together: speeds are measured first, then every run takes as many steps as the budget pays.
A sweep goes on where it stopped: give the same command again. Ctrl-C saves and ends with status 130.

Examples:
  rivulet sweep                                            the built-in corpus, an hour
  rivulet sweep --data.path notes.txt --budget-minutes 30 --out sweeps/notes
  rivulet sweep --data.path notes.txt --architectures recurrent --sizes 4 --seeds 2
  rivulet plan --data.path notes.txt --sweep sweeps/notes --budget-hours 1`;

interface SweepFlags {
	readonly architectures: readonly Architecture[];
	readonly sizes: number;
	readonly dataSizes: number;
	readonly seeds: number;
	readonly budgetMinutes: number;
	readonly steps?: number;
	readonly within: number;
	readonly bootstrap: number;
	readonly out?: string;
	readonly only?: string;
	readonly json?: boolean;
	readonly backend?: ConfigInput["backend"];
	readonly precision?: ConfigInput["precision"];
	readonly threads?: number;
	readonly "data.path"?: readonly string[];
	readonly "data.tokenizer": SweepRequest["tokenizer"];
}

export const sweepCommand: CommandBuilder = (io, _actions, done) => {
	const positive = (flag: string) => decimal(flag, "a number above zero", (value) => value > 0);
	return new Command("sweep")
		.description("Find your corpus's own scaling law: a ladder of small runs, the law fitted to them, a report.")
		.option("--data.path <path...>", "text: files, folders, globs (default: the built-in corpus)")
		.addOption(
			new Option("--data.tokenizer <name>", "characters, bytes, GPT-2's vocabulary, byte pairs")
				.choices(["char", "byte", "gpt2", "bpe"])
				.default("char"),
		)
		.option("--sizes <n>", "model sizes", integer("--sizes", 1), 5)
		.option("--data-sizes <n>", "amounts of text", integer("--data-sizes", 1), 4)
		.option("--architectures <names>", `of ${architectures.join(",")}`, kinds, [...architectures])
		.option("--budget-minutes <n>", "minutes that all runs together may take", positive("--budget-minutes"), 60)
		.option("--steps <n>", "steps of the longest run, instead of a budget", integer("--steps", 1))
		.option("--seeds <n>", "runs of each size and amount", integer("--seeds", 1), 1)
		.option(
			"--within <percent>",
			"distance from the best loss that a model may have to count as enough",
			positive("--within"),
			2,
		)
		.option("--bootstrap <n>", "samples of the runs that intervals come from", integer("--bootstrap", 0), 400)
		.option("--out <folder>", "folder of the sweep (default sweeps/CORPUS)")
		.option("--only <pattern>", "only runs of the ladder of this name; * stands for anything")
		.addOption(
			new Option("--backend <name>", "engine backend (default auto)").choices([
				...["auto", "cuda", "native", "wasm", "reference"],
			]),
		)
		.addOption(precisionOption())
		.option("--threads <n>", "worker threads (default all cores)", integer("--threads", 1))
		.option("--json", "end with one line of JSON on standard output")
		.option("--debug", "show stack traces of errors")
		.addHelpText("after", examples)
		.action(async (flags: SweepFlags) => done(await sweep(flags, io)));
};

async function sweep(flags: SweepFlags, io: Io): Promise<number> {
	const { runSweep } = await import("../studies/sweep/run-sweep.ts");
	const request = requestOf(flags);
	const out = flags.out ?? join("sweeps", request.path.length > 0 ? "text" : "tales");
	const signal = io.interrupt();
	const printer = new SweepPrinter(io, flags.json === true);
	const stopping = () => printer.note("stopping after this step and saving; Ctrl-C again stops at once");
	signal.addEventListener("abort", stopping);
	try {
		const outcome = await runSweep({
			...{ out, request, only: flags.only, engine: engineOf(flags), signal },
			onEvent: (event) => printer.handle(event),
		});
		if (outcome.ended === "interrupted" || outcome.manifest === null) {
			printer.end();
			if (flags.json) io.out.write(`${JSON.stringify({ out, ended: "interrupted", done: outcome.outcomes.length })}\n`);
			return interruptedStatus(signal);
		}
		await report(outcome.manifest, outcome.outcomes, flags, { out, io, printer });
		return 0;
	} finally {
		printer.end();
		signal.removeEventListener("abort", stopping);
	}
}

/** Fit what the runs came to, write the report, and say the main points. */
async function report(
	manifest: SweepManifest,
	outcomes: readonly SweepRunOutcome[],
	flags: SweepFlags,
	{ out, io, printer }: { readonly out: string; readonly io: Io; readonly printer: SweepPrinter },
): Promise<void> {
	const [{ fitSweep }, { sweepData, sweepReport, summaryText }, { measureWords }, { provenance, writeReport }] =
		await Promise.all([
			import("../studies/sweep/fit-sweep.ts"),
			import("../studies/sweep/sweep-report.ts"),
			import("../studies/sweep/word-growth.ts"),
			import("../report/index.ts"),
		]);
	const findings = fitSweep(outcomes, {
		...{ within: flags.within / 100, bootstrap: flags.bootstrap },
		onProgress: (kind, done, total) => printer.fitting(kind, done, total),
	});
	const { path } = manifest.request;
	const name = path.length > 0 ? path.map((file) => basename(file)).join(", ") : "the built-in corpus";
	const results = { name, manifest, outcomes, findings, heaps: await measureWords(manifest) };
	printer.end();
	const written = writeReport(out, sweepReport(results, provenance(commandWords(flags))));
	if (flags.json) {
		const { runs: _runs, laws, ...data } = sweepData(results, manifest);
		const short = laws.map(({ samples, ...law }) => ({ ...law, bootstrap: samples.length }));
		io.out.write(`${JSON.stringify({ out, ended: "done", ...data, laws: short, report: written })}\n`);
		return;
	}
	const warnings = findings.fits.flatMap(({ kind, warnings: list }) => list.map((text) => `warning: ${kind}: ${text}`));
	const files = `report  ${written.html}\n        ${written.markdown}\n        ${written.json}`;
	io.out.write(
		`\n${[summaryText(results).replaceAll("**", ""), warnings.join("\n"), files].filter(Boolean).join("\n\n")}\n`,
	);
}

function requestOf(flags: SweepFlags): SweepRequest {
	const { sizes, dataSizes, seeds, budgetMinutes } = flags;
	return {
		path: (flags["data.path"] ?? []).map(absolute),
		tokenizer: flags["data.tokenizer"],
		architectures: [...flags.architectures],
		...{ sizes, dataSizes, seeds, budgetMinutes },
		steps: flags.steps ?? null,
	};
}

function engineOf({ backend, precision, threads }: SweepFlags): EngineChoice {
	return {
		...(backend === undefined ? {} : { backend }),
		...(precision === undefined ? {} : { precision }),
		...(threads === undefined ? {} : { threads }),
	};
}

function absolute(path: string): string {
	if (path !== "-") return resolve(path);
	throw new RivuletError("usage", "a sweep reads its text many times, and standard input (-) can be read once", {
		hint: "put it into a file: --data.path FILE",
		exitStatus: 2,
	});
}

/** "recurrent,transformer" as names, each once, in the order of the ladder. */
function kinds(value: string): Architecture[] {
	const names = value.split(",").map((name) => name.trim());
	const unknown = names.find((name) => !(architectures as readonly string[]).includes(name));
	if (unknown === undefined) return architectures.filter((kind) => names.includes(kind));
	throw new RivuletError("option-value", `--architectures: unknown architecture "${unknown}"`, {
		hint: `there are ${architectures.join(" and ")}, separated by a comma`,
		exitStatus: 2,
	});
}

/** The command line that makes the report again. */
function commandWords(flags: SweepFlags): string[] {
	const words = ["sweep"];
	const add = (flag: string, value: unknown) => {
		if (value !== undefined) words.push(flag, ...(Array.isArray(value) ? value : [value]).map(String));
	};
	for (const flag of ["data.path", "data.tokenizer"] as const) add(`--${flag}`, flags[flag]);
	add("--sizes", flags.sizes);
	add("--data-sizes", flags.dataSizes);
	add("--architectures", flags.architectures.join(","));
	if (flags.steps === undefined) add("--budget-minutes", flags.budgetMinutes);
	else add("--steps", flags.steps);
	for (const flag of ["seeds", "within", "bootstrap", "out", "only", "backend", "precision", "threads"] as const) {
		add(`--${flag}`, flags[flag]);
	}
	return words;
}
