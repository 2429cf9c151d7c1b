/** What commands may touch of the outside: two streams, the environment, and the user's wish to stop. Tests bring their own. */
import { writeSync } from "node:fs";
import { fileError } from "../base/files.ts";
import type { Terminal } from "../base/progress.ts";

export interface Io {
	readonly out: Terminal;
	readonly err: Terminal;
	readonly environment: Readonly<Record<string, string | undefined>>;
	/**
	 * Aborted when it is time to stop: Ctrl-C, the reader of our output has gone ("pipe"), or output fails ("output").
	 * Only a command that asks is given the chance to finish cleanly; the others end at once. A second Ctrl-C always does.
	 */
	interrupt(): AbortSignal;
}

/** The real process. */
export function processIo(): Io {
	const controller = new AbortController();
	let asked = false;
	const interrupt = () => {
		if (asked) return controller.signal;
		asked = true;
		for (const signal of ["SIGINT", "SIGTERM"] as const) {
			process.on(signal, () => {
				if (controller.signal.aborted) process.exit(130);
				controller.abort(signal);
			});
		}
		return controller.signal;
	};
	for (const stream of [process.stdout, process.stderr]) {
		stream.on("error", (error: NodeJS.ErrnoException) => {
			// `rivulet generate ... | head` is no error. A full disk is, but none to lose a run for: it saves, if it can.
			const gone = error.code === "EPIPE";
			if (controller.signal.aborted) return;
			if (!gone) complain(error);
			if (!asked) process.exit(gone ? 0 : 1);
			controller.abort(gone ? "pipe" : "output");
		});
	}
	return { out: process.stdout, err: process.stderr, environment: process.env, interrupt };
}

/** Our streams may be what fails, so this goes past them. */
function complain(error: Error): void {
	try {
		writeSync(2, `rivulet: ${fileError(error, "write", "the output").message}\n`);
	} catch {} // standard error is gone too: the exit status is all that is left to say
}

/** Exit status of work that `signal` cut short: 130; 0 where only the reader had seen enough; 1 where output failed. */
export function interruptedStatus(signal: AbortSignal): number {
	if (signal.reason === "pipe") return 0;
	return signal.reason === "output" ? 1 : 130;
}
