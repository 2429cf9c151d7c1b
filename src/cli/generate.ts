/** `rivulet generate RUN`: text from a trained model, written as it comes. */
import { Command } from "commander";
import { compact } from "../base/format.ts";
import type { Actions } from "./actions.ts";
import { type Io, interruptedStatus } from "./io.ts";
import { addRunOptions, decimal, integer, type RunFlags } from "./options.ts";

export interface GenerateRequest extends RunFlags {
	readonly run: string;
	readonly prompt: string;
	/** Tokens to generate at most. */
	readonly tokens: number;
	readonly temperature: number;
	/** 0: all. */
	readonly topK: number;
	/** 1: all. */
	readonly topP: number;
	readonly seed: number;
	readonly stop: readonly string[];
	/** Files to take the state from, and to leave it in. */
	readonly stateIn?: string;
	readonly stateOut?: string;
	readonly signal: AbortSignal;
	/** Called with each piece of generated text as soon as it is certain. */
	onText(text: string): void;
}

export interface GenerateResult {
	readonly text: string;
	readonly tokens: number;
	/** Of generation alone. */
	readonly seconds: number;
	/** Tokens the stream has seen, those of an earlier state included. */
	readonly position: number;
	/** Why it ended: all tokens asked for, a stop string, the last of the model's positions, or the signal. */
	readonly ended: "tokens" | "stop" | "positions" | "interrupted";
}

const examples = `
Examples:
  rivulet generate runs/notes-1 --prompt "Dear Anna," --tokens 300
  rivulet generate runs/notes-1 --prompt "Once" --state-out anna.state
  rivulet generate runs/notes-1 --state-in anna.state --prompt " and then" --temperature 0.5`;

export function generateCommand(io: Io, { generate }: Actions, done: (status: number) => void): Command {
	const command = new Command("generate")
		.description("Write text with a trained model. Time and memory per token do not grow.")
		.argument("<run>", "folder of the run")
		.option("--prompt <text>", "text to go on from", "")
		.option("--tokens <n>", "tokens to generate at most", integer("--tokens", 1), 200)
		.option(
			"--temperature <n>",
			"0 always takes the likeliest token",
			decimal("--temperature", "a number >= 0", (t) => t >= 0),
			0.8,
		)
		.option("--top-k <n>", "only the k likeliest tokens; 0 for all", integer("--top-k", 0), 0)
		.option(
			"--top-p <n>",
			"only the likeliest tokens that make up this share",
			decimal("--top-p", "a number in (0, 1]", (p) => p > 0 && p <= 1),
			1,
		)
		.option("--seed <n>", "of the random draws", integer("--seed", 0), 1)
		.option("--stop <text...>", "end before this text comes up")
		.option("--state-in <file>", "go on from a saved state")
		.option("--state-out <file>", "save the state at the end");
	return addRunOptions(command)
		.addHelpText("after", examples)
		.action(async (run: string) => {
			const flags = command.opts();
			const signal = io.interrupt();
			// The prompt is written with the first text, so that what is refused leaves no half line behind.
			let pending: string = flags.prompt;
			const onText = (text: string) => {
				if (!flags.json) io.out.write(pending + text);
				pending = "";
			};
			const result = await generate({ ...(flags as GenerateRequest), run, stop: flags.stop ?? [], signal, onText });
			const tokensPerSecond = result.tokens / Math.max(result.seconds, 1e-9);
			if (flags.json) {
				io.out.write(`${JSON.stringify({ run, prompt: flags.prompt, ...result, tokensPerSecond })}\n`);
			} else {
				onText("\n");
				const rate = `${compact(tokensPerSecond)} tokens/s`;
				if (result.ended === "positions") io.err.write(positionsEnded(result));
				if (io.err.isTTY) io.err.write(`${result.tokens} tokens, ${rate}, position ${result.position}\n`);
			}
			done(signal.aborted ? interruptedStatus(signal) : 0);
		});
}

function positionsEnded({ tokens, position }: GenerateResult): string {
	const after = `note: ended after ${tokens} tokens: the model has learned positions for ${position} tokens, prompt included`;
	return `${after}\n  one trained with --model.positions window goes on without end\n`;
}
