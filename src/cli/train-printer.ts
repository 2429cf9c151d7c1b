/** How a training run looks: a trainer's events as lines and the progress line, its summary as text. */
import { compact, duration, grouped } from "../base/format.ts";
import { type Field, Progress } from "../base/progress.ts";
import type { Config } from "../train/config.ts";
import type { TrainEvaluation, TrainEvent, TrainStart, TrainStep, TrainSummary } from "../train/events.ts";
import type { Io } from "./io.ts";

export class TrainPrinter {
	readonly #progress: Progress;
	readonly #steps: number | null;
	#last: TrainStep | undefined;
	#validation: number | undefined;
	#floor: number | undefined;

	/** With `json`, progress goes to standard error, and only to a terminal unless `verbose`. */
	constructor(config: Config, io: Io, verbose = false, clock?: () => number) {
		const stream = config.json ? io.err : io.out;
		const silent = config.json && !verbose && stream.isTTY !== true;
		this.#progress = new Progress({ stream, environment: io.environment, clock, silent });
		this.#steps = config.train.steps;
	}

	handle(event: TrainEvent): void {
		switch (event.kind) {
			case "start":
				this.#floor = event.floor;
				for (const line of startLines(event)) this.#progress.print(line);
				break;
			case "step":
				this.#last = event;
				this.#progress.update(this.#fields(event));
				break;
			case "evaluation":
				this.#validation = event.loss;
				this.#progress.print(evaluationLine(event, this.#floor));
				if (this.#last) this.#progress.update(this.#fields(this.#last));
				break;
			case "sample":
				this.#progress.print(`step ${grouped(event.step)}  writes: ${excerpt(event.text, 100)}`);
				break;
			case "note":
				this.note(event.text);
				break;
			case "checkpoint":
				break;
		}
	}

	note(text: string): void {
		this.#progress.print(`note: ${text}`);
	}

	end(): void {
		this.#progress.end();
	}

	#fields(event: TrainStep): Field[] {
		const total = this.#steps === null ? "" : `/${grouped(this.#steps)}`;
		const fields: Field[] = [
			["step", `${grouped(event.step)}${total}`],
			["loss", event.loss.toFixed(4)],
		];
		if (this.#validation !== undefined) fields.push(["validation", this.#validation.toFixed(4)]);
		fields.push(["rate", event.learningRate.toExponential(2)]);
		fields.push(["tokens/s", compact(event.tokensPerSecond)], ["GFLOP/s", gigaflops(event.flopsPerSecond)]);
		if (event.secondsLeft !== undefined) fields.push(["left", duration(event.secondsLeft)]);
		return fields;
	}
}

function startLines(event: TrainStart): string[] {
	const resumed = event.step > 0 ? `, going on after step ${grouped(event.step)}` : "";
	const lines = [
		`run     ${event.run}${resumed}`,
		`data    ${event.data}`,
		`model   ${event.model}, ${grouped(event.parameters)} parameters`,
		`engine  ${event.backend}`,
	];
	if (event.floor !== undefined) lines.push(`floor   ${event.floor.toFixed(4)} nats per token: no model can do better`);
	return lines;
}

function evaluationLine(event: TrainEvaluation, floor: number | undefined): string {
	const parts = [`step ${grouped(event.step)}  validation loss ${withError(event.loss, event.standardError)}`];
	if (floor !== undefined) parts.push(`${(event.loss - floor).toFixed(4)} above the floor`);
	if (event.accuracy !== undefined) parts.push(`accuracy ${percent(event.accuracy)}`);
	if (event.noise !== undefined) parts.push(`noise ${grouped(event.noise)}`);
	if (event.best) parts.push("best so far");
	return parts.join("  ");
}

/** One line of a text, cut to `width` characters. */
function excerpt(text: string, width: number): string {
	const line = text.replace(/\s+/g, " ").trim();
	return line.length > width ? `${line.slice(0, width - 1)}…` : line;
}

const endings: Readonly<Record<TrainSummary["ended"], string>> = {
	steps: "all steps done",
	tokens: "token budget spent",
	flops: "FLOP budget spent",
	seconds: "time budget spent",
	target: "target loss reached",
	interrupted: "interrupted and saved",
};

export function summaryText(summary: TrainSummary): string {
	const work = [`${grouped(summary.steps)} steps`, `${grouped(summary.tokens)} tokens`, duration(summary.seconds)];
	work.push(`${compact(summary.tokensPerSecond)} tokens/s`, `${gigaflops(summary.flopsPerSecond)} GFLOP/s`);
	const lines = [`${endings[summary.ended]}: ${work.join(", ")}`];
	if (summary.validationLoss !== null) {
		const parts = [`validation loss ${withError(summary.validationLoss, summary.standardError)} nats`];
		if (summary.bitsPerByte !== undefined) parts.push(`${summary.bitsPerByte.toFixed(4)} bits per byte`);
		if (summary.accuracy !== undefined) parts.push(`accuracy ${percent(summary.accuracy)}`);
		if (summary.best) parts.push(`best ${summary.best.loss.toFixed(4)} at step ${grouped(summary.best.step)}`);
		if (summary.floor !== undefined) parts.push(`floor of the corpus ${summary.floor.toFixed(4)}`);
		lines.push(parts.join(", "));
	}
	if (summary.sample !== undefined) lines.push("", summary.sample.trim(), "");
	if (summary.ended === "interrupted") lines.push(`go on:  rivulet train --resume auto --run ${summary.run}`);
	else if (summary.sample !== undefined) lines.push(`next:   rivulet generate ${summary.run}`);
	return `${lines.join("\n")}\n`;
}

const gigaflops = (flopsPerSecond: number) => (flopsPerSecond / 1e9).toFixed(1);
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

/** A value with its standard error, which one sequence alone does not have. */
export function withError(value: number, error: number | null): string {
	return error === null || !Number.isFinite(error) ? value.toFixed(4) : `${value.toFixed(4)} ± ${error.toFixed(4)}`;
}
