/** The report of a study: what was claimed and what was found, curves, figures, samples, a look inside, how to do it again. */
import { existsSync } from "node:fs";
import { RivuletError } from "../base/errors.ts";
import type { Block, Cell, Provenance, Report, Section } from "../report/index.ts";
import { type Judged, judge, type Verdict } from "./claims.ts";
import { exampleSection, examplesTitle, sampleTitle } from "./examples.ts";
import { lengthsSection, type RunLengths, readLengths } from "./lengths.ts";
import { lookInside } from "./look-inside.ts";
import type { Manifest } from "./manifest.ts";
import { readNgram } from "./ngram.ts";
import { planRuns } from "./plan.ts";
import { type RunResult, readResults, type SeedResult } from "./results.ts";
import { curveBlocks, failures, runsTable } from "./run-sections.ts";
import type { Claim, Study, StudyBudget } from "./study.ts";

/** What a study has found so far; the data of its report. */
export interface StudyFindings {
	readonly manifest: Manifest;
	readonly runs: readonly RunResult[];
	readonly judged: readonly Judged[];
	readonly lengths: readonly RunLengths[];
}

/** Read everything that is in a study's folder. */
export async function readFindings(study: Study, manifest: Manifest, out: string): Promise<StudyFindings> {
	const budget = study.budgets[manifest.budget];
	const planned = planRuns(budget, { ...manifest, out });
	const ngram = readNgram(out);
	const runs = [...(await readResults(planned)), ...(ngram ? [ngram] : [])];
	return {
		manifest,
		runs,
		judged: budget.claims.map((claim) => judge(claim, runs)),
		lengths: readLengths(planned),
	};
}

/** @param earlier sections of the report before this one, of which those are kept that can no longer be made */
export async function studyReport(
	study: Study,
	findings: StudyFindings,
	provenance: Provenance,
	earlier: readonly Section[] = [],
): Promise<Report> {
	const { manifest, runs, judged, lengths } = findings;
	const budget = study.budgets[manifest.budget];
	const begun = runs.filter(({ seeds }) => seeds.length > 0);
	const main = begun.filter(({ group }) => group === "main");
	const asides = begun.filter(({ group }) => group === "ablations");
	const subject = subjectOf(study, runs);
	return {
		title: `${study.title}: the ${manifest.budget} study`,
		summary: `${study.question} ${progressText(runs)} ${verdictText(judged)}`,
		sections: [
			{ title: "Claims", blocks: [{ kind: "text", markdown: budgetText(budget, manifest) }, claimsTable(judged)] },
			{
				title: "Learning",
				blocks: [runsTable(main), ...curveBlocks(main, { published: budget.curves, rules: levels(runs) })],
			},
			...(asides.length === 0 ? [] : [asideSection(asides)]),
			...lengthsSection(lengths),
			...(subject ? await shownOrKept(subject, earlier) : []),
			...failures(runs),
		],
		provenance,
		data: publicData(study, findings),
	};
}

/** The figures without the folders they lie in. */
function publicData({ name }: Study, { manifest, runs, judged, lengths }: StudyFindings) {
	const { budget, seeds, groups } = manifest;
	const plain = runs.map((run) => ({ ...run, seeds: run.seeds.map(({ path: _path, ...seed }) => seed) }));
	return { study: name, budget, seeds, groups, runs: plain, claims: judged, lengths };
}

/** The run whose samples are shown: the first finished seed of the study's subject. */
function subjectOf({ subject }: Study, runs: readonly RunResult[]): SeedResult | undefined {
	const seeds = runs.find(({ label }) => label === subject)?.seeds ?? [];
	return seeds.find(({ ended }) => ended !== "unfinished" && ended !== "failed");
}

const insideTitle = "A look inside";
const subjectTitles: readonly string[] = [sampleTitle, examplesTitle, insideTitle];

/** What the trained weights show; where these or the data are not here, what the report before showed of them. */
async function shownOrKept(subject: SeedResult, earlier: readonly Section[]): Promise<Section[]> {
	try {
		return await subjectSections(subject);
	} catch (error) {
		if (!(error instanceof RivuletError)) throw error;
		const kept = earlier.filter(({ title }) => subjectTitles.includes(title));
		if (kept.length > 0) return kept;
		const markdown = "The trained weights, or the data, are not where the report was written.";
		return [{ title: insideTitle, blocks: [{ kind: "text", markdown }] }];
	}
}

async function subjectSections({ path, seed }: SeedResult): Promise<Section[]> {
	if (!existsSync(path)) return [];
	const inside = await lookInside(path);
	const sections = await exampleSection(path);
	if (!inside) return sections;
	const { window, stateNorm, attention, block } = inside;
	const blocks: Block[] = [
		{
			kind: "chart",
			chart: {
				kind: "xy",
				title: "The state over time",
				x: { title: "tokens read" },
				y: { title: "root mean square of the state" },
				series: [{ name: `seed ${seed}`, x: stateNorm.map((_, k) => (k + 1) * window), y: stateNorm }],
			},
			caption: "First layer, first sequence of the validation split, after every block.",
		},
		{
			kind: "chart",
			chart: {
				kind: "heatmap",
				title: "Attention of a window",
				x: { title: "rows of the state, then tokens of the block" },
				y: { title: "token of the block" },
				values: attention,
			},
			caption: `First layer, block ${block}, mean over the heads: where each new token looks. Left of column ${window + 1}: the state.`,
		},
	];
	return [...sections, { title: insideTitle, blocks }];
}

function levels(runs: readonly RunResult[]) {
	return runs.flatMap(({ label, title, seeds }) =>
		label === "ngram" && seeds[0]?.loss != null ? [{ value: seeds[0].loss, label: title }] : [],
	);
}

function asideSection(asides: readonly RunResult[]): Section {
	return {
		title: "Ablations",
		blocks: [runsTable(asides), ...curveBlocks(asides, { title: "Ablations: validation loss" })],
	};
}

function budgetText({ note }: StudyBudget, { budget, overrides }: Manifest): string {
	const changed = describeOverrides(overrides);
	const lines = [`Budget **${budget}**: ${note}`];
	if (changed.length > 0) lines.push(`Set by the command line for every run: ${changed.join(", ")}.`);
	lines.push(
		"A comparison of two runs holds, or does not, where its mean over the seeds is more than two standard errors from zero; otherwise it is open.",
	);
	return lines.join("\n\n");
}

/** Names only: paths are nobody's business. */
function describeOverrides(overrides: object, prefix = ""): string[] {
	return Object.entries(overrides).flatMap(([key, value]) => {
		if (value === undefined) return [];
		if (typeof value === "object" && value !== null && !Array.isArray(value)) {
			return describeOverrides(value, `${prefix}${key}.`);
		}
		return [
			typeof value === "number" || key === "backend" || key === "precision"
				? `\`${prefix}${key} ${value}\``
				: `\`${prefix}${key}\``,
		];
	});
}

function claimsTable(judged: readonly Judged[]): Block {
	return {
		kind: "table",
		columns: [
			{ name: "claim" },
			{ name: "limit" },
			{ name: "paper" },
			{ name: "ours" },
			{ name: "standard error" },
			{ name: "seeds", digits: 0 },
			{ name: "verdict" },
		],
		rows: judged.map(({ claim, ours, error, seeds, verdict }): Cell[] => [
			claim.text + (claim.source === undefined ? "" : ` (${claim.source})`),
			limitText(claim),
			figureText(claim, claim.published ?? null),
			figureText(claim, ours),
			figureText(claim, error),
			seeds,
			verdict,
		]),
		caption: "For comparisons, ours is the difference between the two runs with the same seed.",
	};
}

function limitText(claim: Claim): string {
	const { rule } = claim;
	switch (rule.kind) {
		case "at-least":
			return `≥ ${figureText(claim, rule.value)}`;
		case "at-most":
			return `≤ ${figureText(claim, rule.value)}`;
		case "below":
			return "< 0";
		case "near":
			return `${figureText(claim, rule.value)} ± ${figureText(claim, rule.tolerance)}`;
	}
}

function figureText({ reading }: Claim, value: number | null): string | null {
	if (value === null) return null;
	switch (reading.measure) {
		case "loss":
			return value.toFixed(4);
		case "accuracy":
			return `${(100 * value).toFixed(2)} %`;
		case "flops":
			return value.toExponential(2);
		default:
			return value.toLocaleString("en-US", { maximumFractionDigits: 0 });
	}
}

function progressText(runs: readonly RunResult[]): string {
	const seeds = runs.flatMap((run) => run.seeds);
	const done = seeds.filter(({ ended }) => ended !== "unfinished" && ended !== "failed").length;
	const planned = runs.filter((run) => run.seeds.length === 0).length;
	if (planned === 0 && done === seeds.length) return `All ${done} runs are done.`;
	return `${done} runs are done; ${seeds.length - done} have begun and not ended; ${planned} configurations are still to come.`;
}

function verdictText(judged: readonly Judged[]): string {
	const count = (wanted: Verdict) => judged.filter(({ verdict }) => verdict === wanted).length;
	const parts = (["holds", "does not hold", "open", "not measured"] as const).flatMap((verdict) =>
		count(verdict) === 0 ? [] : [`${count(verdict)} ${verdict}`],
	);
	return `Of ${judged.length} claims: ${parts.join(", ")}.`;
}
