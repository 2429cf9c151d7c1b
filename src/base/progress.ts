/**
 * A line that says how long work is going: redrawn in place on a terminal, a plain line now and then in a pipe or file.
 * What it says is the caller's; this is only where, when and how.
 */

/** What is needed of process.stdout or process.stderr. */
export interface Terminal {
	write(text: string): unknown;
	readonly isTTY?: boolean;
	readonly columns?: number;
}

/** One figure: "loss" and "2.31". */
export type Field = readonly [label: string, value: string];

export interface ProgressOptions {
	readonly stream: Terminal;
	readonly environment?: Readonly<Record<string, string | undefined>>;
	/** Milliseconds, rising. */
	readonly clock?: () => number;
	/** Say nothing at all. */
	readonly silent?: boolean;
}

/** Milliseconds between redraws on a terminal, and between plain lines elsewhere. */
const redrawEvery = 100;
const lineEvery = 10_000;

/** Whether colour is wanted on a stream (https://no-color.org). */
export function wantsColor(stream: Terminal, environment: Readonly<Record<string, string | undefined>>): boolean {
	return stream.isTTY === true && !environment.NO_COLOR && environment.TERM !== "dumb";
}

export class Progress {
	readonly #stream: Terminal;
	readonly #clock: () => number;
	readonly #silent: boolean;
	readonly #terminal: boolean;
	readonly #color: boolean;
	#last = Number.NEGATIVE_INFINITY;
	/** The latest figures that are not on screen yet. */
	#pending: readonly Field[] | undefined;
	#drawn = "";

	constructor({ stream, environment = {}, clock = () => performance.now(), silent = false }: ProgressOptions) {
		this.#stream = stream;
		this.#clock = clock;
		this.#silent = silent;
		this.#terminal = stream.isTTY === true && environment.TERM !== "dumb";
		this.#color = wantsColor(stream, environment);
	}

	/** New figures; shown when it is time. */
	update(fields: readonly Field[]): void {
		if (this.#silent) return;
		this.#pending = fields;
		if (this.#clock() - this.#last >= (this.#terminal ? redrawEvery : lineEvery)) this.#show();
	}

	/** A line of its own that stays, above the progress line. */
	print(line: string): void {
		if (this.#silent) return;
		if (!this.#terminal) {
			this.#stream.write(`${line}\n`);
			return;
		}
		this.#stream.write(`${this.#drawn === "" ? "" : "\r\x1b[K"}${line}\n${this.#drawn}`);
	}

	/** Show the last figures and leave the cursor on a fresh line. */
	end(): void {
		if (this.#pending) this.#show();
		if (this.#drawn !== "") this.#stream.write("\n");
		this.#drawn = "";
	}

	#show(): void {
		const fields = this.#pending ?? [];
		this.#pending = undefined;
		this.#last = this.#clock();
		if (!this.#terminal) {
			this.#stream.write(`${fields.map(([label, value]) => `${label} ${value}`).join("  ")}\n`);
			return;
		}
		this.#drawn = this.#fit(fields, (this.#stream.columns ?? 80) - 1);
		this.#stream.write(`\r${this.#drawn}\x1b[K`);
	}

	/** As many leading fields as fit into `width`: a line that wraps could not be redrawn. */
	#fit(fields: readonly Field[], width: number): string {
		let used = 0;
		const parts: string[] = [];
		for (const [label, value] of fields) {
			used += label.length + 1 + value.length + (parts.length > 0 ? 2 : 0);
			if (used > width) break;
			parts.push(this.#color ? `\x1b[2m${label}\x1b[22m ${value}` : `${label} ${value}`);
		}
		return parts.join("  ");
	}
}
