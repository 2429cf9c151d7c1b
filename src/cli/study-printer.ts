/** How a study looks while it runs: a line for each run as it begins and ends, and one progress line over all of them. */
import { compact, duration, grouped } from "../base/format.ts";
import { type Field, Progress } from "../base/progress.ts";
import type { StudyEvent } from "../studies/run-study.ts";
import type { TrainEvent, TrainSummary } from "../train/events.ts";
import type { Io } from "./io.ts";
import { withError } from "./train-printer.ts";

type RunEvent = Extract<StudyEvent, { kind: "run" }>;

export class StudyPrinter {
	readonly #progress: Progress;
	#runs = 0;
	#name = "";
	#index = 0;
	#validation: number | undefined;
	#left: number | undefined;

	/** With `json`, everything goes to standard error, and only to a terminal. */
	constructor(io: Io, json: boolean) {
		const stream = json ? io.err : io.out;
		this.#progress = new Progress({ stream, environment: io.environment, silent: json && stream.isTTY !== true });
	}

	handle(event: StudyEvent): void {
		switch (event.kind) {
			case "study":
				this.#runs = event.runs;
				this.#progress.print(`study   ${event.out}, ${grouped(event.runs)} runs`);
				break;
			case "run":
				this.#run(event);
				break;
			case "left":
				this.#left = event.seconds;
				break;
			case "train":
				this.#train(event.event);
				break;
		}
	}

	note(text: string): void {
		this.#progress.print(`note: ${text}`);
	}

	end(): void {
		this.#progress.end();
	}

	#run(event: RunEvent): void {
		const place = `[${event.index}/${this.#runs}] ${event.name}`;
		if (event.state === "begun") {
			this.#name = event.name;
			this.#index = event.index;
			this.#validation = undefined;
			this.#progress.print(`${place}: ${event.title}`);
		} else if (event.summary) this.#progress.print(`${place} ${event.state}: ${resultText(event.summary)}`);
		else this.#progress.print(`${place} ${event.state}: ${event.failure}`);
	}

	#train(event: TrainEvent): void {
		if (event.kind === "note") this.note(event.text);
		if (event.kind === "evaluation") this.#validation = event.loss;
		if (event.kind !== "step") return;
		const fields: Field[] = [
			["run", `${this.#index}/${this.#runs} ${this.#name}`],
			["step", grouped(event.step)],
			["loss", event.loss.toFixed(4)],
		];
		if (this.#validation !== undefined) fields.push(["validation", this.#validation.toFixed(4)]);
		if (event.secondsLeft !== undefined) fields.push(["left", duration(event.secondsLeft)]);
		if (this.#left !== undefined) fields.push(["all", duration(this.#left)]);
		fields.push(["tokens/s", compact(event.tokensPerSecond)]);
		this.#progress.update(fields);
	}
}

function resultText(summary: TrainSummary): string {
	const parts = [`${grouped(summary.steps)} steps`, `${compact(summary.flops, "FLOP")}`, duration(summary.seconds)];
	if (summary.validationLoss !== null)
		parts.unshift(`loss ${withError(summary.validationLoss, summary.standardError)}`);
	if (summary.accuracy !== undefined) parts.push(`accuracy ${(100 * summary.accuracy).toFixed(1)} %`);
	return parts.join(", ");
}
