/** The command line's frame: finds the command, loads only that one, and turns whatever happens into an exit status. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { RivuletError } from "../base/errors.ts";
import type { Actions } from "./actions.ts";
import { reportError, usageError } from "./errors.ts";
import type { Io } from "./io.ts";

/** A command's declaration; its action hands the exit status to `done`. */
export type CommandBuilder = (io: Io, actions: Actions, done: (status: number) => void) => Command;

interface Entry {
	readonly summary: string;
	/** Loaded when it is called: `rivulet --help` needs neither schema nor engine. */
	load(): Promise<CommandBuilder>;
}

const commands: Readonly<Record<string, Entry>> = {
	train: { summary: "train a model", load: async () => (await import("./train.ts")).trainCommand },
	generate: {
		summary: "write text with a trained model",
		load: async () => (await import("./generate.ts")).generateCommand,
	},
	evaluate: {
		summary: "measure a trained model on text",
		load: async () => (await import("./evaluate.ts")).evaluateCommand,
	},
	inspect: {
		summary: "show what a run and its model are",
		load: async () => (await import("./inspect.ts")).inspectCommand,
	},
	compare: {
		summary: "set finished runs side by side in a report",
		load: async () => (await import("./compare.ts")).compareCommand,
	},
	study: {
		summary: "run one of the paper's experiments beside its baselines",
		load: async () => (await import("./study.ts")).studyCommand,
	},
	plan: {
		summary: "say what model a text and a budget deserve",
		load: async () => (await import("./plan.ts")).planCommand,
	},
	fit: { summary: "fit a scaling law to a table of runs", load: async () => (await import("./fit.ts")).fitCommand },
	sweep: {
		summary: "find your text's own scaling law by a ladder of small runs",
		load: async () => (await import("./sweep.ts")).sweepCommand,
	},
	corpus: {
		summary: "measure a text: what the scaling laws ask of it",
		load: async () => (await import("./corpus.ts")).corpusCommand,
	},
	data: { summary: "bring the data sets of the presets", load: async () => (await import("./data.ts")).dataCommand },
	doctor: { summary: "say what works on this machine", load: async () => (await import("./doctor.ts")).doctorCommand },
};

const examples = `
Examples:
  rivulet train --preset quick                          a first model, in a few minutes
  rivulet train --data.path notes.txt --run runs/notes  a model of your text
  rivulet generate runs/notes --prompt "Dear"           text from it
  rivulet train --help                                  the options of a command`;

/** Run one command line (without the program's own name). Never throws: the exit status says how it went. */
export async function runCli(argv: readonly string[], io: Io, actions: Actions): Promise<number> {
	let status = 0;
	try {
		const program = framed(new Command("rivulet"), io)
			.description("Trains and streams recurrent transformers.")
			.version(version(), "-V, --version")
			.option("--debug", "show stack traces of errors")
			.addHelpText("after", examples)
			.action((_, command: Command) => refuseUnknown(command));
		program.allowExcessArguments();
		const called = argv.find((argument) => !argument.startsWith("-"));
		for (const [name, entry] of Object.entries(commands)) {
			if (name !== called) program.addCommand(new Command(name).description(entry.summary));
			else
				program.addCommand(
					framed(
						(await entry.load())(io, actions, (value) => (status = value)),
						io,
					),
				);
		}
		await parse(program, argv, called);
	} catch (error) {
		return reportError(error, argv, io);
	}
	return status;
}

/** Errors are thrown instead of printed, and output goes where `io` says; of commands within a command too. */
function framed(command: Command, io: Io): Command {
	for (const inner of command.commands) framed(inner, io);
	return command
		.exitOverride()
		.showSuggestionAfterError(false)
		.configureOutput({
			writeOut: (text) => void io.out.write(text),
			writeErr: () => undefined,
			outputError: () => undefined,
			getOutHelpWidth: () => Math.min(io.out.columns ?? 100, 120),
			getOutHasColors: () => false,
		});
}

async function parse(program: Command, argv: readonly string[], called: string | undefined): Promise<void> {
	try {
		await program.parseAsync(argv, { from: "user" });
	} catch (error) {
		if (!(error instanceof CommanderError)) throw error;
		// Help and version were asked for and have been printed.
		if (error.exitCode === 0) return;
		const command = program.commands.find((candidate) => candidate.name() === called) ?? program;
		// A command of commands without one of them.
		if (error.code === "commander.help") return void command.outputHelp();
		const inner = command.commands.find((candidate) => argv.includes(candidate.name()));
		const names = command.commands.map((candidate) => candidate.name());
		const known = error.code === "commander.unknownCommand" ? names : optionNames(inner ?? command);
		throw usageError(error.code, error.message, known);
	}
}

function optionNames(command: Command): string[] {
	return command.options.flatMap(({ long }) => (long ? [long.slice(2)] : []));
}

/** Reached without a known command: help where there was none, otherwise the nearest one. */
function refuseUnknown(program: Command): void {
	const [name] = program.args;
	if (name === undefined) program.outputHelp();
	else throw usageError("commander.unknownCommand", `unknown command '${name}'`, Object.keys(commands));
}

function version(): string {
	try {
		return JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version;
	} catch (cause) {
		throw new RivuletError("installation", "cannot read rivulet's own package.json", {
			hint: "install it again",
			cause,
		});
	}
}
