/** The one error class for problems a user can act on; contract violations inside the engine throw plain `Error`. */

/** What a `RivuletError` carries beside its message. */
export interface RivuletErrorOptions {
	/** What to do about it, one sentence, shown under the message. */
	readonly hint?: string;
	/** 1: the work failed (default). 2: wrong usage (flags, configuration, impossible shapes). */
	readonly exitStatus?: 1 | 2;
	/** The error that led here, shown with `--debug` only. */
	readonly cause?: unknown;
}

/**
 * A problem with what the user gave us or with the machine: the message says what was expected, what was found and
 * where; the hint says the way out. `code` is stable (kebab-case, e.g. "file-missing") for programs and tests.
 */
export class RivuletError extends Error {
	readonly code: string;
	readonly exitStatus: 1 | 2;
	readonly hint?: string;

	constructor(code: string, message: string, options: RivuletErrorOptions = {}) {
		super(message, options.cause === undefined ? undefined : { cause: options.cause });
		this.name = "RivuletError";
		this.code = code;
		this.exitStatus = options.exitStatus ?? 1;
		this.hint = options.hint;
	}
}
