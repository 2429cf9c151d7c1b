/** `rivulet study`: what studies there are, doing one, its report. */
import { join, resolve } from "node:path";
import { Command, Option } from "commander";
import { RivuletError } from "../base/errors.ts";
import { columns } from "../base/format.ts";
import type { Manifest } from "../studies/manifest.ts";
import type { RunGroup, Study, StudyBudgetName } from "../studies/study.ts";
import type { ConfigInput } from "../train/config.ts";
import { type Io, interruptedStatus } from "./io.ts";
import { integer, precisionOption } from "./options.ts";
import type { CommandBuilder } from "./program.ts";
import { StudyPrinter } from "./study-printer.ts";

const examples = `
Examples:
  rivulet study list
  rivulet study run copy
  rivulet study run shakespeare --data.path shakespeare.txt
  rivulet study run shakespeare --data.path shakespeare.txt --with ablations --only 'window-*'
  rivulet study run copy --budget paper --seeds 1 --out studies/copy-once
  rivulet study report studies/copy-quick

A study goes on where it stopped: give the same command again. Ctrl-C saves and ends with status 130.`;

/** The command and those within it. */
export const studyCommand: CommandBuilder = (io, _actions, done) => {
	const command = new Command("study").description(
		"The paper's experiments, beside baselines of the same size and cost.",
	);
	command.addHelpText("after", examples);
	command.addCommand(listCommand(io, done)).addCommand(runCommand(io, done)).addCommand(reportCommand(io, done));
	return command;
};

function listCommand(io: Io, done: (status: number) => void): Command {
	const command = new Command("list")
		.description("Show the studies there are.")
		.option("--json", "as one line of JSON");
	return command.action(async ({ json }: { json?: boolean }) => {
		const { studies } = await import("../studies/catalog/index.ts");
		if (json) io.out.write(`${JSON.stringify(studies.map(described))}\n`);
		else io.out.write(`${studies.map(listText).join("\n")}\n`);
		done(0);
	});
}

function described({ name, title, question, needs, budgets }: Study) {
	const budget = ({ note, seeds, runs }: Study["budgets"]["quick"]) => ({
		note,
		seeds,
		runs: runs.map(({ label, title: text, group }) => ({ label, title: text, group })),
	});
	return { name, title, question, needs, budgets: { quick: budget(budgets.quick), paper: budget(budgets.paper) } };
}

function listText({ name, question, needs, budgets }: Study): string {
	const brings = { text: ["needs   a text: --data.path FILE"], images: ["needs   images: --data.path FOLDER"] };
	const lines = [question, ...(needs === null ? [] : brings[needs])];
	for (const [budget, { note, seeds, runs }] of Object.entries(budgets)) {
		const main = runs.filter(({ group }) => group === "main").length;
		lines.push(
			`${budget.padEnd(7)} ${main} runs and ${runs.length - main} ablations, ${seeds === 1 ? "1 seed" : `${seeds} seeds`}: ${note}`,
		);
	}
	return `${columns([[name, lines[0]], ...lines.slice(1).map((line) => ["", line])])}\n`;
}

interface RunFlags {
	readonly budget: StudyBudgetName;
	readonly seeds?: number;
	readonly out?: string;
	readonly with?: "ablations";
	readonly only?: string;
	readonly json?: boolean;
	readonly backend?: ConfigInput["backend"];
	readonly precision?: ConfigInput["precision"];
	readonly threads?: number;
	readonly "data.path"?: string[];
	readonly "data.validation"?: string[];
}

function runCommand(io: Io, done: (status: number) => void): Command {
	return new Command("run")
		.description("Do a study, or what is left of it, and write its report.")
		.argument("<study>", "name of a study; rivulet study list shows them")
		.addOption(
			new Option("--budget <name>", "minutes on two cores, or the paper's own sizes")
				.choices(["quick", "paper"])
				.default("quick"),
		)
		.option("--seeds <n>", "runs of each configuration (default: as the study says)", integer("--seeds", 1))
		.option("--out <folder>", "folder of the study (default studies/NAME-BUDGET)")
		.addOption(new Option("--with <what>", "what quick leaves out").choices(["ablations"]))
		.option("--only <pattern>", "only runs of this label, or LABEL-seedN; * stands for anything")
		.option("--data.path <file...>", "text to learn from, or folder of the images")
		.option("--data.validation <file...>", "text to validate on (default: the end of the text)")
		.option("--backend <name>", "engine backend (default auto)")
		.addOption(precisionOption())
		.option("--threads <n>", "worker threads (default all cores)", integer("--threads", 1))
		.option("--json", "end with one line of JSON on standard output")
		.option("--debug", "show stack traces of errors")
		.addHelpText("after", examples)
		.action(async (name: string, flags: RunFlags) => done(await runOne(name, flags, io)));
}

async function runOne(name: string, flags: RunFlags, io: Io): Promise<number> {
	const [{ findStudy }, { defaultGroups, runStudy }] = await Promise.all([
		import("../studies/catalog/index.ts"),
		import("../studies/run-study.ts"),
	]);
	const study = findStudy(name);
	const out = flags.out ?? join("studies", `${name}-${flags.budget}`);
	const groups: RunGroup[] = flags.with === undefined ? defaultGroups(flags.budget) : ["main", flags.with];
	const signal = io.interrupt();
	const printer = new StudyPrinter(io, flags.json === true);
	const stopping = () => printer.note("stopping after this step and saving; Ctrl-C again stops at once");
	signal.addEventListener("abort", stopping);
	try {
		const { seeds, only, budget } = flags;
		const outcome = await runStudy(study, {
			...{ budget, out, seeds, groups, only, signal, overrides: overridesOf(flags) },
			onEvent: (event) => printer.handle(event),
		});
		printer.end();
		const result = await report(study, out, commandWords(name, flags));
		const { manifest: _manifest, ...counts } = outcome;
		io.out.write(
			flags.json ? `${JSON.stringify({ study: name, budget, out, ...counts, ...result })}\n` : resultText(result),
		);
		return outcome.ended === "interrupted" ? interruptedStatus(signal) : outcome.failed > 0 ? 1 : 0;
	} finally {
		printer.end();
		signal.removeEventListener("abort", stopping);
	}
}

function reportCommand(io: Io, done: (status: number) => void): Command {
	return new Command("report")
		.description("Write the report of a study's folder again, of whatever is done.")
		.argument("<folder>", "folder of a study")
		.option("--json", "end with one line of JSON on standard output")
		.option("--debug", "show stack traces of errors")
		.action(async (out: string, { json }: { json?: boolean }) => {
			const [{ findStudy }, { readManifest }] = await Promise.all([
				import("../studies/catalog/index.ts"),
				import("../studies/manifest.ts"),
			]);
			const manifest = readManifest(out);
			const { budget } = manifest;
			const study = findStudy(manifest.study);
			const result = await report(study, out, commandWords(study.name, flagsOf(study, manifest, out)));
			const words = { study: study.name, budget, out, ...result };
			io.out.write(json ? `${JSON.stringify(words)}\n` : resultText(result));
			done(0);
		});
}

/** What is said at the end, as data. */
interface Result {
	readonly claims: readonly {
		readonly claim: string;
		readonly published: number | null;
		readonly ours: number | null;
		readonly standardError: number | null;
		readonly verdict: string;
	}[];
	readonly report: { readonly html: string; readonly markdown: string; readonly json: string };
}

async function report(study: Study, out: string, words: readonly string[]): Promise<Result> {
	const [{ readFindings, studyReport }, { readManifest }, { madeOf }, { provenance, readSections, writeReport }] =
		await Promise.all([
			import("../studies/study-report.ts"),
			import("../studies/manifest.ts"),
			import("../studies/results.ts"),
			import("../report/index.ts"),
		]);
	const findings = await readFindings(study, readManifest(out), out);
	const made = provenance(words, { made: madeOf(findings.runs) });
	const written = writeReport(out, await studyReport(study, findings, made, readSections(join(out, "report.json"))));
	const claims = findings.judged.map(({ claim, ours, error, verdict }) => ({
		claim: claim.text,
		published: claim.published ?? null,
		ours,
		standardError: error,
		verdict,
	}));
	return { claims, report: written };
}

function resultText({ claims, report: written }: Result): string {
	const figure = (value: number | null) => (value === null ? "-" : String(Number(value.toPrecision(5))));
	const rows = claims.map(({ claim, published, ours, standardError, verdict }) => [
		verdict,
		figure(published),
		figure(ours),
		figure(standardError),
		claim,
	]);
	const table = columns([["verdict", "paper", "ours", "± error", "claim"], ...rows], [1, 2, 3]);
	return `\n${table}\n\nreport  ${written.html}\n        ${written.markdown}\n        ${written.json}\n`;
}

/** What holds for every run, whatever folder a later call comes from. */
function overridesOf(flags: RunFlags): ConfigInput {
	const paths = (names: readonly string[] | undefined) => names?.map(absolute);
	const data: Record<string, unknown> = {};
	if (flags["data.path"]) data.path = paths(flags["data.path"]);
	if (flags["data.validation"]) data.validation = paths(flags["data.validation"]);
	return {
		...(flags.backend === undefined ? {} : { backend: flags.backend }),
		...(flags.precision === undefined ? {} : { precision: flags.precision }),
		...(flags.threads === undefined ? {} : { threads: flags.threads }),
		...(Object.keys(data).length === 0 ? {} : { data }),
	};
}

function absolute(path: string): string {
	if (path !== "-") return resolve(path);
	throw new RivuletError("usage", "a study reads its text many times, and standard input (-) can be read once", {
		hint: "put it into a file: --data.path FILE",
		exitStatus: 2,
	});
}

/** What a command would say that does all of a study's folder. */
function flagsOf({ budgets }: Study, { budget, seeds, groups, overrides }: Manifest, out: string): RunFlags {
	const { path = [], validation = [] } = overrides.data ?? {};
	return {
		...{ budget, out, "data.path": [path].flat(), "data.validation": [validation].flat() },
		...(seeds === budgets[budget].seeds ? {} : { seeds }),
		...(budget === "quick" && groups.includes("ablations") ? { with: "ablations" } : {}),
		...{ backend: overrides.backend, precision: overrides.precision, threads: overrides.threads ?? undefined },
	};
}

/** The command line in one canonical form, for the report. */
function commandWords(name: string, flags: RunFlags): string[] {
	const words = ["study", "run", name, "--budget", flags.budget];
	const add = (flag: string, value: unknown) => {
		const values = [value ?? []].flat();
		if (values.length > 0) words.push(flag, ...values.map(String));
	};
	for (const flag of [
		"seeds",
		"out",
		"with",
		"only",
		"data.path",
		"data.validation",
		"backend",
		"precision",
		"threads",
	] as const) {
		add(`--${flag}`, flags[flag]);
	}
	return words;
}
