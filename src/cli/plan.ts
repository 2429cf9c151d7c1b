/** `rivulet plan`: what model a corpus and a budget deserve, what loss and time to expect, and a configuration for it. */
import { join } from "node:path";
import { Command } from "commander";
import { stringify } from "yaml";
import { RivuletError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { columns, compact, duration, grouped } from "../base/format.ts";
import { corpusSummary } from "../laws/corpus/corpus-summary.ts";
import type { Plan, PlanRequest } from "../laws/plan.ts";
import { decimal } from "./options.ts";
import type { CommandBuilder } from "./program.ts";

const examples = `
Measured here: the corpus, this machine's speed, the losses of short runs, from which the expected loss is carried on.
Borrowed: the size for a budget (Muennighoff et al., C4), unless --sweep names a sweep that measured the law of your text. Losses of borrowed laws are of their own corpora and are shown for their shape only.

Examples:
  rivulet plan --data.path notes.txt --budget-hours 2
  rivulet plan --data.path 'logs/**/*.txt' --target-loss 1.6 --max-parameters 500000
  rivulet plan --data.path notes.txt --budget-hours 2 --sweep sweeps/notes
  rivulet train --config plan/recurrent.yaml`;

interface PlanFlags {
	readonly budgetFlops?: number;
	readonly budgetHours?: number;
	readonly targetLoss?: number;
	readonly maxParameters?: number;
	readonly calibrate: number;
	readonly out: string;
	readonly json: boolean;
	readonly sweep?: string;
	readonly "data.path"?: readonly string[];
	readonly "data.task": string;
	readonly "data.tokenizer": string;
}

export const planCommand: CommandBuilder = (io, _actions, done) => {
	const positive = (flag: string) => decimal(flag, "a number above zero", (value) => value > 0);
	return new Command("plan")
		.description("Say what model your text and budget deserve, what to expect of it, and write its configuration.")
		.option("--data.path <path...>", "text: files, folders, globs")
		.option("--data.task <task>", "text, or tales: the built-in corpus", "text")
		.option("--data.tokenizer <name>", "char, byte, gpt2, bpe", "char")
		.option("--budget-flops <n>", "FLOPs of training", positive("--budget-flops"))
		.option("--budget-hours <n>", "hours of training on this machine", positive("--budget-hours"))
		.option("--target-loss <n>", "validation loss to reach, nats per token", positive("--target-loss"))
		.option("--max-parameters <n>", "largest model", positive("--max-parameters"))
		.option("--calibrate <seconds>", "time of the short runs, for each architecture", positive("--calibrate"), 15)
		.option("--sweep <folder>", "take the law that this finished sweep measured instead of borrowed constants")
		.option(
			"--out <folder>",
			"folder of the plan: recurrent.yaml, transformer.yaml, and a report: plan.html, plan.md, plan.json",
			"plan",
		)
		.option("--json", "end with one line of JSON", false)
		.option("--debug", "show stack traces of errors")
		.addHelpText("after", examples)
		.action(async (flags: PlanFlags) => {
			const request = requestOf(flags);
			const measured =
				flags.sweep === undefined
					? undefined
					: (await import("../studies/sweep/sweep-law.ts")).readSweepLaws(flags.sweep, flags["data.tokenizer"]);
			const [{ makePlan }, { comparison }, { planReport }, { provenance, writeReport }] = await Promise.all([
				import("../laws/plan.ts"),
				import("../laws/plan-laws.ts"),
				import("../laws/plan-report.ts"),
				import("../report/index.ts"),
			]);
			const plan = await makePlan({
				...request,
				...(measured ? { measured } : {}),
				signal: io.interrupt(),
				onProgress: (text) => void (flags.json ? undefined : io.err.write(`measuring: ${text}\n`)),
			});
			for (const { kind, config } of plan.recommendations)
				writeFileAtomic(join(flags.out, `${kind}.yaml`), stringify(config));
			const laws = plan.recommendations.map(({ flops }) => comparison(flops, plan.uniqueTokens));
			const report = planReport(plan, laws[0], provenance(["plan", ...words(flags)]));
			const written = writeReport(flags.out, report, "plan");
			io.out.write(
				flags.json ? `${JSON.stringify({ ...plan, laws, report: written })}\n` : planText(plan, laws[0], flags.out),
			);
			done(0);
		});
};

/** The command line again, as it was given. */
function words(flags: PlanFlags): string[] {
	const given: [string, string | number | undefined][] = [
		["--data.task", flags["data.task"] === "text" ? undefined : flags["data.task"]],
		["--data.tokenizer", flags["data.tokenizer"]],
		["--budget-flops", flags.budgetFlops],
		["--budget-hours", flags.budgetHours],
		["--target-loss", flags.targetLoss],
		["--max-parameters", flags.maxParameters],
		["--calibrate", flags.calibrate],
		["--sweep", flags.sweep],
		["--out", flags.out],
	];
	const path = flags["data.path"] ?? [];
	return [
		...(path.length > 0 ? ["--data.path", ...path] : []),
		...given.flatMap(([name, value]) => (value === undefined ? [] : [name, `${value}`])),
	];
}

function requestOf(flags: PlanFlags): PlanRequest {
	const { budgetFlops, budgetHours, targetLoss, maxParameters, calibrate } = flags;
	if ([budgetFlops, budgetHours, targetLoss, maxParameters].every((value) => value === undefined)) {
		throw new RivuletError("plan-budget", "expected something that limits the run, found nothing", {
			exitStatus: 2,
			hint: "Add one: --budget-hours 1, --budget-flops 1e15, --target-loss 1.5 or --max-parameters 1e6.",
		});
	}
	const base = {
		data: { path: [...(flags["data.path"] ?? [])], task: flags["data.task"], tokenizer: flags["data.tokenizer"] },
	} as PlanRequest["base"];
	const seconds = budgetHours === undefined ? undefined : 3600 * budgetHours;
	return { base, flops: budgetFlops, seconds, targetLoss, maxParameters, calibrate };
}

function planText(plan: Plan, laws: readonly string[][], out: string): string {
	const parts = [
		`corpus  ${grouped(plan.uniqueTokens)} tokens to learn from, ${grouped(plan.vocabulary)} different (measured)\n        ${corpusSummary(plan.statistics)}`,
	];
	parts.push(`laws at the first plan's compute (borrowed; losses of their own corpora)\n${columns(laws, [1, 2, 3])}`);
	for (const {
		kind,
		parameters,
		sizeBy,
		steps,
		tokens,
		epochs,
		flops,
		seconds,
		loss,
		reasons,
	} of plan.recommendations) {
		const rows = [
			[kind, `${grouped(parameters)} parameters (law of the size: ${sizeBy})`],
			[
				"  train",
				`${grouped(steps)} steps, ${compact(tokens)} tokens, ${epochs.toFixed(1)} passes, ${compact(flops, "FLOP")}`,
			],
			["  time", `${duration(seconds)} (measured speed)`],
			[
				"  loss",
				`${loss.low.toFixed(3)} to ${loss.high.toFixed(3)}, about ${loss.middle.toFixed(3)} nats per token (from two short runs and the n-grams here)`,
			],
			...reasons.map((reason, i) => [i === 0 ? "  why" : "", reason]),
			["  run it", `rivulet train --config ${join(out, `${kind}.yaml`)}`],
		];
		parts.push(columns(rows));
	}
	parts.push(`report  ${join(out, "plan.html")}`);
	return `${parts.join("\n\n")}\n`;
}
