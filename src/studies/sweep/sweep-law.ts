/** The laws that a finished sweep measured, read from its report for a plan of the same kind of text. */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { z } from "zod";
import { RivuletError } from "../../base/errors.ts";
import { readJson } from "../../base/json.ts";
import type { MeasuredLaw } from "../../laws/measured-law.ts";
import { type Architecture, architectures, batch, length } from "./ladder.ts";
import { readSweep } from "./sweep-folder.ts";

const term = z.number().min(0);
const schema = z.object({
	data: z.object({
		within: z.number().positive(),
		laws: z.array(
			z.object({
				kind: z.enum(architectures),
				constants: z.object({ E: term, A: term, B: term, alpha: term, beta: term }),
			}),
		),
		runs: z.array(z.object({ part: z.string(), kind: z.string(), parameters: z.number().nullable() })),
	}),
});

export type SweepLaws = Partial<Record<Architecture, MeasuredLaw>>;

/**
 * @param out folder of a sweep whose report is written
 * @param tokenizer of the text to plan for: losses of other tokens are not comparable
 * @throws RivuletError sweep-missing, sweep-unfinished, sweep-tokenizer
 */
export function readSweepLaws(out: string, tokenizer: string): SweepLaws {
	const { request, ladder } = readSweep(out);
	if (request.tokenizer !== tokenizer) {
		throw new RivuletError(
			"sweep-tokenizer",
			`the sweep ${out} measured losses of tokenizer ${request.tokenizer}, and the plan is for tokenizer ${tokenizer}`,
			{ hint: `add --data.tokenizer ${request.tokenizer}, or sweep again with the other`, exitStatus: 2 },
		);
	}
	const path = join(out, "report.json");
	const report = existsSync(path) ? schema.safeParse(readJson(path, { maxSize: 1 << 26 })).data?.data : undefined;
	if (!report || report.laws.length === 0) {
		throw new RivuletError("sweep-unfinished", `the sweep ${out} has no law yet`, {
			hint: "give its command again to finish it",
			exitStatus: 2,
		});
	}
	return Object.fromEntries(
		report.laws.map(({ kind, constants }) => {
			const own = report.runs.filter((run) => run.part === "ladder" && run.kind === kind);
			const sizes = own.flatMap(({ parameters }) => parameters ?? []);
			const law: MeasuredLaw = {
				...{ constants, within: report.within, read: ladder.steps * batch * length },
				sizes: { least: Math.min(...sizes), most: Math.max(...sizes) },
				source: `sweep ${basename(out)}, ${own.length} runs`,
			};
			return [kind, law];
		}),
	);
}
