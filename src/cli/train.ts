/** `rivulet train`: resolve the configuration, train, show how it goes, say how it ended. */
import { Command } from "commander";
import { resolveRunConfig } from "../train/resume.ts";
import type { Actions } from "./actions.ts";
import type { Io } from "./io.ts";
import { addConfigOptions, readLayers } from "./options.ts";
import { summaryText, TrainPrinter } from "./train-printer.ts";

const examples = `
Examples:
  rivulet train --preset quick
  rivulet train --data.path notes.txt 'mail/**/*.txt' --train.seconds 600
  rivulet train --preset shakespeare --data.path shakespeare.txt --model.width 128 --model.heads 4
  rivulet train --config run.yaml --train.learning-rate 5e-4 --run runs/slow
  rivulet train --resume auto --run runs/slow --train.steps 20000

Ctrl-C saves and ends with status 130; --resume auto goes on from there, to the bit.`;

export function trainCommand(io: Io, { train }: Actions, done: (status: number) => void): Command {
	const command = new Command("train").description("Train a model; the run is a folder that explains itself.");
	addConfigOptions(command);
	command
		.option("--verbose", "with --json: show progress on standard error even when that is no terminal")
		.option("--debug", "show stack traces of errors")
		.addHelpText("after", examples);
	return command.action(async () => {
		const config = resolveRunConfig(await readLayers(command));
		const signal = io.interrupt();
		const printer = new TrainPrinter(config, io, command.getOptionValue("verbose") === true);
		const stopping = () => printer.note("stopping after this step and saving; Ctrl-C again stops at once");
		signal.addEventListener("abort", stopping);
		try {
			const summary = await train(config, { signal, onEvent: (event) => printer.handle(event) });
			printer.end();
			io.out.write(config.json ? `${JSON.stringify(summary)}\n` : summaryText(summary));
			done(summary.ended === "interrupted" ? 130 : 0);
		} finally {
			printer.end();
			signal.removeEventListener("abort", stopping);
		}
	});
}
