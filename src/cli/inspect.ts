/** `rivulet inspect RUN`: what a run and its model are: weights, work per token, state, memory. */
import { Command } from "commander";
import { columns, compact, duration, grouped } from "../base/format.ts";
import type { Costs } from "../train/account.ts";
import type { Spent } from "../train/budget.ts";
import type { Actions } from "./actions.ts";
import type { Io } from "./io.ts";

export interface InspectReport {
	readonly run: string;
	/** In words: "recurrent transformer, forget, window 16, width 384, 6 heads, 1 layer". */
	readonly model: string;
	readonly parameters: number;
	readonly tensors: readonly { readonly name: string; readonly shape: readonly number[] }[];
	/** Forward pass: as the paper counts (its note's table divided by N), and exactly, from the graph. */
	readonly flopsPerToken: { readonly paper: number; readonly exact: number };
	/** Training, forward and backward, exactly. */
	readonly trainingFlopsPerToken: number;
	/** Bytes a stream carries from token to token; null where it grows with the position. */
	readonly stateBytes: number | null;
	/** Memory plan of a training step: what takes how many bytes. */
	readonly memory: readonly { readonly what: string; readonly bytes: number }[];
	/** What its training took (summary.json); absent where it has not ended. */
	readonly spent?: Spent & Costs & { readonly tokensPerSecond: number };
	/** Steps with a checkpoint. */
	readonly checkpoints: readonly number[];
	readonly best: { readonly step: number; readonly loss: number } | null;
}

export function inspectCommand(io: Io, { inspect }: Actions, done: (status: number) => void): Command {
	const command = new Command("inspect")
		.description("Show parameters, FLOPs per token, state size and memory plan of a run.")
		.argument("<run>", "folder of the run")
		.option("--tensors", "list every tensor", false)
		.option("--json", "one line of JSON", false)
		.option("--debug", "show stack traces of errors")
		.addHelpText("after", "\nExample:\n  rivulet inspect runs/notes-1 --tensors");
	return command.action(async (run: string) => {
		const { json, tensors } = command.opts();
		const report = await inspect({ run });
		io.out.write(json ? `${JSON.stringify(report)}\n` : `${reportText(report, tensors)}\n`);
		done(0);
	});
}

function spentRows(spent: InspectReport["spent"]): string[][] {
	if (!spent) return [];
	const { steps, tokens, seconds, wallSeconds, tokensPerSecond, flops, paperFlops, runtimeBytes, processBytes } = spent;
	const times = `${duration(seconds)} in steps, ${duration(wallSeconds)} in all`;
	return [
		["trained", `${grouped(steps)} steps, ${compact(tokens)} tokens, ${compact(tokensPerSecond)} tokens/s; ${times}`],
		["FLOPs spent", `${compact(flops)}; ${compact(paperFlops)} as the paper counts`],
		["peak memory", `${compact(runtimeBytes, "B")} in the runtime, ${compact(processBytes, "B")} in the process`],
	];
}

function reportText(report: InspectReport, tensors: boolean): string {
	const { paper, exact } = report.flopsPerToken;
	const memory = report.memory.reduce((sum, { bytes }) => sum + bytes, 0);
	const rows = [
		["run", report.run],
		["model", report.model],
		["parameters", grouped(report.parameters)],
		[
			"FLOPs per token",
			`${compact(exact)} forward, ${compact(report.trainingFlopsPerToken)} in training; ${compact(paper)} as the paper counts`,
		],
		[
			"state",
			report.stateBytes === null
				? "grows with the position"
				: `${compact(report.stateBytes, "B")}, whatever the position`,
		],
		["memory in training", compact(memory, "B")],
		...report.memory.map(({ what, bytes }) => [`  ${what}`, compact(bytes, "B")]),
		...spentRows(report.spent),
		["checkpoints", report.checkpoints.join(", ") || "none"],
	];
	if (report.best)
		rows.push(["best", `step ${grouped(report.best.step)}, validation loss ${report.best.loss.toFixed(4)}`]);
	if (!tensors) return columns(rows);
	const list = report.tensors.map(({ name, shape }) => [
		name,
		shape.join(" x "),
		grouped(shape.reduce((a, b) => a * b, 1)),
	]);
	return `${columns(rows)}\n\n${columns([["tensor", "shape", "values"], ...list], [2])}`;
}
