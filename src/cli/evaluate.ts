/** `rivulet evaluate RUN`: how well a trained model predicts a text, as a whole or line by line. */
import { Command } from "commander";
import { grouped } from "../base/format.ts";
import { type Field, Progress } from "../base/progress.ts";
import type { Actions } from "./actions.ts";
import { type Io, interruptedStatus } from "./io.ts";
import { addRunOptions, integer, type RunFlags } from "./options.ts";
import { withError } from "./train-printer.ts";

export interface EvaluateRequest extends RunFlags {
	readonly run: string;
	/** Texts to measure on; none: the run's own validation data. */
	readonly path: readonly string[];
	/** Length of the sequences, where not as in training: tokens of a window of text, or noise of a copy task. */
	readonly length?: number;
	readonly noise?: number;
	/** Report each line of the text by `onLine`. */
	readonly perLine: boolean;
	readonly signal: AbortSignal;
	onLine(line: LineSurprisal): void;
	onProgress(fields: readonly Field[]): void;
}

export interface LineSurprisal {
	/** From 1. */
	readonly line: number;
	/** Surprisal of the whole line, its newline included. */
	readonly nats: number;
	readonly tokens: number;
	readonly text: string;
}

export interface EvaluateResult {
	readonly natsPerToken: number;
	/** Of natsPerToken. */
	readonly standardError: number;
	/** Absent where the data is no text (the copy tasks). */
	readonly bitsPerByte?: number;
	readonly tokens: number;
	/** Tokens of a sequence, and of noise among them; absent with --per-line. */
	readonly length?: number;
	readonly noise?: number;
	/** Share of tokens whose likeliest prediction is right. */
	readonly accuracy?: number;
}

const examples = `
Examples:
  rivulet evaluate runs/notes-1                                   on the run's own validation text
  rivulet evaluate runs/notes-1 --data.path new.txt --json
  rivulet evaluate runs/notes-1 --data.length 4096                how far it carries beyond its training length
  rivulet evaluate runs/copy-1 --data.noise 1024
  rivulet evaluate runs/logs-1 --data.path today.log --per-line | sort -rn | head   the most surprising lines`;

export function evaluateCommand(io: Io, { evaluate }: Actions, done: (status: number) => void): Command {
	const collect = (path: string, before: readonly string[] = []) => [...before, path];
	const command = new Command("evaluate")
		.description("Measure a trained model: nats per token, bits per byte, standard error.")
		.argument("<run>", "folder of the run")
		.option("--data.path <path>", "text to measure on (default the run's validation data); may be repeated", collect)
		.option("--data.length <n>", "tokens of a sequence (default as in training)", integer("--data.length", 1))
		.option(
			"--data.noise <n>",
			"noise tokens of a copy task (default as many as were learned)",
			integer("--data.noise", 0),
		)
		.option("--per-line", "print the surprisal of each line, in nats", false);
	return addRunOptions(command)
		.addHelpText("after", examples)
		.action(async (run: string) => {
			const { perLine, json, checkpoint, threads, backend, ...rest } = command.opts();
			const signal = io.interrupt();
			const progress = new Progress({ stream: io.err, environment: io.environment, silent: io.err.isTTY !== true });
			const result = await evaluate({
				...{ run, path: rest["data.path"] ?? [], perLine, json, checkpoint, threads, backend, signal },
				...{ length: rest["data.length"], noise: rest["data.noise"] },
				onLine: (line) =>
					void io.out.write(`${json ? JSON.stringify(line) : `${line.nats.toFixed(4)}\t${line.text}`}\n`),
				onProgress: (fields) => progress.update(fields),
			}).finally(() => progress.end());
			if (json) io.out.write(`${JSON.stringify({ run, ...result })}\n`);
			// The lines are for other programs to read; the figures of the whole go beside them.
			else (perLine ? io.err : io.out).write(resultText(result));
			done(signal.aborted ? interruptedStatus(signal) : 0);
		});
}

function resultText(result: EvaluateResult): string {
	const parts = [`${withError(result.natsPerToken, result.standardError)} nats per token`];
	if (result.bitsPerByte !== undefined) parts.push(`${result.bitsPerByte.toFixed(4)} bits per byte`);
	if (result.accuracy !== undefined) parts.push(`accuracy ${(100 * result.accuracy).toFixed(2)} %`);
	const { length, noise } = result;
	const sequences = length === undefined ? "" : ` in sequences of ${grouped(length)}`;
	parts.push(
		`${grouped(result.tokens)} tokens${sequences}${noise === undefined ? "" : `, ${grouped(noise)} of noise`}`,
	);
	return `${parts.join(", ")}\n`;
}
