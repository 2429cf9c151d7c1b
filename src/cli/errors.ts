/** How errors reach the user: one clear message and the way out; a stack trace only with --debug. */
import { RivuletError } from "../base/errors.ts";
import { nearest } from "../base/nearest.ts";
import type { Io } from "./io.ts";

/** What is printed for an error, and the exit status. */
export interface Report {
	readonly text: string;
	readonly status: number;
	/** For `--json`. */
	readonly error: { readonly code: string; readonly message: string; readonly hint?: string };
}

export function describeError(error: unknown, debug: boolean): Report {
	const known = error instanceof RivuletError;
	const message = error instanceof Error ? error.message : String(error);
	const code = known ? error.code : "internal";
	const hint = known ? error.hint : "this is a fault in rivulet; run again with --debug and report what it prints";
	const lines = [`rivulet: ${known ? "" : "internal error: "}${message}`];
	if (hint) lines.push(`  ${hint}`);
	if (debug) lines.push(stackOf(error));
	return { text: `${lines.join("\n")}\n`, status: known ? error.exitStatus : 1, error: { code, message, hint } };
}

/** Print an error where it belongs; returns the exit status. */
export function reportError(error: unknown, argv: readonly string[], io: Io): number {
	const report = describeError(error, argv.includes("--debug"));
	io.err.write(report.text);
	if (argv.includes("--json")) io.out.write(`${JSON.stringify({ error: report.error })}\n`);
	return report.status;
}

function stackOf(error: unknown): string {
	if (!(error instanceof Error)) return String(error);
	const cause = error.cause === undefined ? "" : `\ncaused by ${stackOf(error.cause)}`;
	return `${error.stack ?? error.message}${cause}`;
}

/** What commander complains of, in our words. @param known names that an unknown one may be a slip of */
export function usageError(code: string, message: string, known: readonly string[]): RivuletError {
	const text = message.replace(/^error: /, "").split("\n")[0];
	const wrong = /'(?:--)?([^' ]+)[^']*'/.exec(text)?.[1] ?? "";
	const dashes = code === "commander.unknownOption" ? "--" : "";
	const suggestion = code.startsWith("commander.unknown") ? nearest(wrong, known) : undefined;
	return new RivuletError("usage", text, {
		hint: suggestion ? `did you mean ${dashes}${suggestion}?` : "--help shows what there is",
		exitStatus: 2,
	});
}
