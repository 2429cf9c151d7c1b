/** What commands may touch of the outside: two streams, the environment, and the user's wish to stop. Tests bring their own. */
import type { Terminal } from "../base/progress.ts";

export interface Io {
	readonly out: Terminal;
	readonly err: Terminal;
	readonly environment: Readonly<Record<string, string | undefined>>;
	/**
	 * Aborted when the user wants to stop: Ctrl-C, or the reader of our output has gone (reason "pipe"). Only a command that asks
	 * is given the chance to finish cleanly; the others end at once. A second Ctrl-C always does.
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
		// `rivulet generate ... | head` is no error. Node reports a closed pipe once and drops later writes.
		stream.on("error", (error: NodeJS.ErrnoException) => {
			if (error.code !== "EPIPE") throw error;
			if (!asked) process.exit(0);
			controller.abort("pipe");
		});
	}
	return { out: process.stdout, err: process.stderr, environment: process.env, interrupt };
}

/** Exit status of work that `signal` cut short: 130, or 0 where only the reader had seen enough. */
export function interruptedStatus(signal: AbortSignal): number {
	return signal.reason === "pipe" ? 0 : 130;
}
