/** How a sweep looks while it runs: a line for each run as it ends, and one progress line with the time left over all of them. */
import { compact, duration, grouped } from "../base/format.ts";
import { type Field, Progress } from "../base/progress.ts";
import type { SweepEvent } from "../studies/sweep/run-sweep.ts";
import type { TrainEvent } from "../train/events.ts";
import type { Io } from "./io.ts";

export class SweepPrinter {
	readonly #progress: Progress;
	#runs = 0;
	#ended = 0;
	#name = "";

	/** With `json`, everything goes to standard error, and only to a terminal. */
	constructor(io: Io, json: boolean) {
		const stream = json ? io.err : io.out;
		this.#progress = new Progress({ stream, environment: io.environment, silent: json && stream.isTTY !== true });
	}

	handle(event: SweepEvent): void {
		switch (event.kind) {
			case "speed":
				this.#progress.print(`speed   ${event.name}: ${(1000 * event.stepSeconds).toFixed(1)} ms a step`);
				break;
			case "ladder": {
				const { widths, heldBack, tokens, steps } = event.manifest.ladder;
				this.#runs = event.runs;
				this.#progress.print(
					`sweep   ${event.out}, ${event.runs} runs: widths ${widths.join(", ")}, held back ${heldBack}; ${tokens.map(grouped).join(", ")} tokens; up to ${grouped(steps)} steps`,
				);
				break;
			}
			case "rate":
				this.#progress.print(`rate    ${event.architecture}: ${event.rate} at width ${event.width}`);
				break;
			case "run":
				this.#run(event);
				break;
			case "train":
				this.#train(event.event);
		}
	}

	fitting(kind: string, done: number, total: number): void {
		this.#progress.update([
			["fit", kind],
			["bootstrap", `${done} of ${total}`],
		]);
	}

	note(text: string): void {
		this.#progress.print(`note: ${text}`);
	}

	end(): void {
		this.#progress.end();
	}

	#run({ name, state, summary, failure }: Extract<SweepEvent, { kind: "run" }>): void {
		this.#name = name;
		if (state === "begun") return;
		if (!name.startsWith("rate-")) this.#ended++;
		const place = name.startsWith("rate-") ? "search" : `${this.#ended}/${this.#runs}`;
		const best = summary?.best ? `loss ${summary.best.loss.toFixed(4)} at step ${grouped(summary.best.step)}` : failure;
		const cost = summary
			? `, ${grouped(summary.steps)} steps, ${grouped(summary.parameters)} parameters, ${duration(summary.seconds)}`
			: "";
		this.#progress.print(`[${place}] ${name} ${state}: ${best}${cost}`);
	}

	#train(event: TrainEvent): void {
		if (event.kind === "note") this.note(event.text);
		if (event.kind !== "step") return;
		const fields: Field[] = [
			["run", `${this.#ended + 1}/${this.#runs} ${this.#name}`],
			["step", grouped(event.step)],
			["loss", event.loss.toFixed(4)],
			["tokens/s", compact(event.tokensPerSecond)],
		];
		if (event.secondsLeft !== undefined) fields.push(["left", duration(event.secondsLeft)]);
		this.#progress.update(fields);
	}
}
