/** A command line run in memory: streams that remember, actions that a test brings. */
import type { Actions } from "../../src/cli/actions.ts";
import type { Io } from "../../src/cli/io.ts";
import { runCli } from "../../src/cli/program.ts";

export interface Ran {
	readonly status: number;
	readonly out: string;
	readonly err: string;
}

const unexpected = () => {
	throw new Error("this action was not expected to be called");
};

export async function rivulet(
	argv: readonly string[],
	actions: Partial<Actions> = {},
	{ terminal = false, interrupt = new AbortController() } = {},
): Promise<Ran> {
	const text = { out: "", err: "" };
	const stream = (name: "out" | "err") => ({
		isTTY: terminal,
		columns: 100,
		write: (piece: string) => (text[name] += piece),
	});
	const io: Io = { out: stream("out"), err: stream("err"), environment: {}, interrupt: () => interrupt.signal };
	const all: Actions = {
		...{ train: unexpected, generate: unexpected, evaluate: unexpected, inspect: unexpected, doctor: unexpected },
		...actions,
	};
	const status = await runCli(argv, io, all);
	return { status, ...text };
}
