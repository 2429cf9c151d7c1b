/** The report of a sweep: laws, exponents, predictions, architectures side by side, with the charts to judge them by. */
import { fitRows } from "../../laws/fit/fit-report.ts";
import { naturalWarnings } from "../../laws/natural.ts";
import type { Block, Cell, Chart, Provenance, Report, Section } from "../../report/index.ts";
import { efficientOnSurface, growthExponent } from "./efficient.ts";
import type { ArchitectureFit, Comparison, Measured, SweepFindings } from "./fit-sweep.ts";
import { batch, firstRates, headWidth, length, mostPasses } from "./ladder.ts";
import type { SweepRunOutcome } from "./run-sweep.ts";
import {
	efficientChart,
	gammaChart,
	heldBackChart,
	lossBySizeChart,
	lossByTextChart,
	residualChart,
} from "./sweep-charts.ts";
import type { SweepManifest } from "./sweep-folder.ts";
import { rangeVerdicts } from "./verdicts.ts";

/** All that a report is written from. */
export interface SweepResults {
	/** Of the text, without folders. */
	readonly name: string;
	readonly manifest: SweepManifest;
	readonly outcomes: readonly SweepRunOutcome[];
	readonly findings: SweepFindings;
	/** Heaps' exponent of the text's words; null where it could not be measured. */
	readonly heaps: number | null;
}

export function sweepReport(results: SweepResults, provenance: Provenance): Report {
	const { name, manifest, findings } = results;
	const { fits, comparison } = findings;
	const sections: Section[] = [{ title: "The ladder", blocks: ladderBlocks(results) }];
	for (const fit of fits) sections.push({ title: `The law of the ${fullName(fit.kind)}`, blocks: lawBlocks(fit) });
	if (fits.length > 0) {
		sections.push(
			{ title: "How large a model the text deserves", blocks: efficientBlocks(results) },
			{ title: "Residuals", blocks: [chart(residualChart(fits), residualCaption)] },
		);
	}
	if (fits.some(({ heldBack }) => heldBack)) {
		sections.push({ title: "The run that was held back", blocks: heldBackBlocks(fits) });
	}
	if (comparison)
		sections.push({ title: "Recurrent transformer and transformer", blocks: comparisonBlocks(comparison) });
	sections.push({ title: "All runs", blocks: [runsTable(results)] });
	return {
		title: `Scaling laws of ${name}, measured`,
		summary: summaryText(results),
		sections,
		provenance,
		data: sweepData(results, manifest),
	};
}

/** What a program gets; `rivulet plan --sweep` reads `laws`. */
export function sweepData({ outcomes, findings, heaps, name }: SweepResults, manifest: SweepManifest) {
	const { ladder, trainTokens, vocabulary, speeds, request } = manifest;
	const { path: _path, ...asked } = request;
	return {
		text: name,
		...{ request: asked, trainTokens, vocabulary, ladder, speeds, heaps, within: findings.within },
		laws: findings.fits.map((fit) => ({
			kind: fit.kind,
			constants: fit.fit.constants,
			quantities: fitRows(fit.fit),
			spread: fit.spread,
			gamma: fit.gamma,
			directGamma: fit.directGamma,
			balance: fit.balance,
			ranges: rangeVerdicts(fit, heaps),
			smallest: { surface: fit.surface, direct: fit.direct },
			heldBack: fit.heldBack,
			warnings: fit.warnings,
			samples: fit.fit.samples,
		})),
		comparison: findings.comparison,
		runs: outcomes.map(({ run, summary }) => ({
			...run,
			parameters: summary?.parameters ?? null,
			steps: summary?.steps ?? null,
			seconds: summary?.seconds ?? null,
			flops: summary?.flops ?? null,
			best: summary?.best ?? null,
		})),
	};
}

export function summaryText({ findings, heaps }: SweepResults): string {
	const { fits, comparison, within } = findings;
	if (fits.length === 0) return "Too few runs are done for a law: it takes two sizes and two amounts of text at least.";
	const parts = fits.map((fit) => {
		const { E, A, B, alpha, beta } = fit.fit.constants;
		const [own, , paper] = rangeVerdicts(fit, heaps);
		const law = `L(N, D) = ${E.toFixed(3)} + ${short(A)} / N^${alpha.toFixed(3)} + ${short(B)} / D^${beta.toFixed(3)}`;
		const grows = `The smallest model within ${100 * within} % of the best grows as D^${withInterval(fit.gamma)} on the fitted surface (${place(own.surface)} the natural law's range of this beta, ${place(paper.surface)} the paper's [0.44, 0.72])`;
		const direct = `and as D^${withInterval(fit.directGamma)} by the runs alone`;
		return `**${capital(fullName(fit.kind))}:** ${law}, the runs ${fit.spread.toFixed(3)} nats about it. ${grows} ${direct}. ${heldBackText(fit)}`;
	});
	if (comparison) parts.push(comparisonText(comparison));
	return parts.join("\n\n");
}

const fullName = (kind: ArchitectureFit["kind"]) => (kind === "recurrent" ? "recurrent transformer" : "transformer");
const capital = (text: string) => text[0].toUpperCase() + text.slice(1);
const short = (value: number) => String(Number(value.toPrecision(4)));
const chart = (what: Chart, caption: string): Block => ({ kind: "chart", chart: what, caption });
const text = (markdown: string): Block => ({ kind: "text", markdown });
const list = (lines: readonly string[]): Block => text(lines.map((line) => `- ${line}`).join("\n"));
const residualCaption = "The law's loss over the run's, as a logarithm. A slope or a bow says that the form is wrong.";

const places = {
	inside: "inside",
	outside: "outside",
	overlaps: "partly in",
	unknown: "not to be held against",
} as const;
const place = (where: keyof typeof places) => places[where];

export function withInterval({ value, interval }: Measured, digits = 2): string {
	const figure = (number: number) =>
		Number.isFinite(number) ? number.toFixed(digits) : Number.isNaN(number) ? "–" : "∞";
	return `${figure(value)}${interval ? ` [${figure(interval.low)}, ${figure(interval.high)}]` : ""}`;
}

function heldBackText({ heldBack }: ArchitectureFit): string {
	if (!heldBack) return "No larger run was held back.";
	const { parameters, predicted, interval, measured, inside } = heldBack;
	const range = interval ? ` [${interval.low.toFixed(3)}, ${interval.high.toFixed(3)}]` : "";
	const verdict = inside === null ? "" : inside ? ", inside the interval" : ", **outside the interval**";
	return `A larger run of ${parameters.toLocaleString("en")} parameters that the fit did not see was predicted at ${predicted.toFixed(3)}${range} and came to ${measured.toFixed(3)}${verdict}.`;
}

function comparisonText({ ratio, direct, verdict, lower, pairs }: Comparison): string {
	const says = {
		fewer: "needs fewer parameters than the transformer for the same loss",
		more: "needs more parameters than the transformer for the same loss",
		undecided: "cannot be told from the transformer by the parameters it needs for the same loss",
	}[verdict];
	return `**The recurrent transformer ${says}** in training of this length: ${withInterval(ratio)} times as many by the fitted laws, ${fixed(direct.ratio)} by the median of ${direct.runs} runs; its loss is the lower one in ${lower} of ${pairs} pairs of size and text.`;
}

function ladderBlocks({ manifest, outcomes, name, heaps }: SweepResults): Block[] {
	const { ladder, request, trainTokens, vocabulary } = manifest;
	const count = (part: SweepRunOutcome["run"]["part"]) => outcomes.filter(({ run }) => run.part === part).length;
	const limited = ladder.tokens.at(-1)! < trainTokens;
	return [
		list([
			`${name}: ${trainTokens.toLocaleString("en")} training tokens (${request.tokenizer}) of ${vocabulary.toLocaleString("en")} kinds${heaps === null ? "" : `; its words grow as (their number)^${heaps.toFixed(3)} (Heaps)`}.`,
			`${count("ladder")} runs: ${ladder.widths.length} widths (${ladder.widths.join(", ")}) by ${ladder.tokens.length} amounts of text (${ladder.tokens.map((n) => n.toLocaleString("en")).join(", ")} tokens, each the beginning of the next) by ${ladder.architectures.join(" and ")}, ${request.seeds === 1 ? "one seed" : `${request.seeds} seeds`}; ${count("search")} more to find learning rates; ${count("held back")} of width ${ladder.heldBack} held back.`,
			`One layer, heads of ${headWidth} columns, a window of 16 for the recurrent transformer, sequences of ${length}, ${batch} of them a step, AdamW, cosine to a hundredth.`,
			`Steps: ${ladder.steps.toLocaleString("en")}, as many as ${request.steps === null ? `a budget of ${request.budgetMinutes} minutes paid by speeds measured first` : "was asked for"}, but at most ${mostPasses} passes over a run's text. The best evaluation counts, so that a model which goes on to learn its text by heart is not marked down for it.`,
			`Learning rate: ${firstRates.join(", ")} and, where the best is at an end, the next beyond, tried at the smallest width and the middle amount of text; at other widths it falls with the root of the width.`,
			"N are all parameters, D the different tokens of text a run may read (not how often it reads them), losses those of the same validation text.",
			...(limited ? ["Text beyond what the longest run reads is left out."] : []),
		]),
	];
}

function lawBlocks(architecture: ArchitectureFit): Block[] {
	const { fit, warnings } = architecture;
	const rows = fitRows(fit).filter(({ quantity }) => !["gammaLow", "gammaHigh"].includes(quantity));
	const cell = (value: number | null): Cell => (value === null ? null : short(value));
	return [
		{
			kind: "table",
			columns: ["quantity", "value", "95 % from", "to"].map((column, i) => ({
				name: column,
				align: i === 0 ? ("left" as const) : ("right" as const),
			})),
			rows: rows.map(({ quantity, value, low, high }) => [quantity, cell(value), cell(low), cell(high)]),
			caption: `L(N, D) = E + A / N^alpha + B / D^beta by variable projection${fit.samples.length > 1 ? `; percentiles of ${fit.samples.length} bootstraps over runs` : ""}. The best N grows with compute as C^a if text is never repeated.`,
		},
		chart(lossBySizeChart(architecture), "Points are runs, lines the fitted law."),
		chart(lossByTextChart(architecture), "The same runs over the amount of text."),
		...(warnings.length > 0 ? [list(warnings.map((warning) => `Warning: ${warning}.`))] : []),
	];
}

function efficientBlocks({ findings, heaps }: SweepResults): Block[] {
	const { fits, within } = findings;
	const percent = `${100 * within} %`;
	const smallest: Block = {
		kind: "table",
		columns: [
			{ name: "architecture" },
			{ name: "D", unit: "tokens" },
			{ name: "best loss of those tried", digits: 3 },
			{ name: "N, by the runs", digits: 0 },
			{ name: "N, on the surface", digits: 0 },
			{ name: "edge" },
		],
		rows: fits.flatMap(({ kind, direct, surface }) =>
			direct.map(({ tokens, best, parameters, edge }, i) => [
				...[kind, tokens, best, parameters, surface[i].parameters],
				edge === null ? "" : edge === "smallest" ? "smallest is enough" : "largest is best",
			]),
		),
		caption: `Parameters of the smallest model within ${percent} of the best loss. By the runs: of the best loss of the sizes tried, between sizes by a line in ln N. On the surface: of E + B / D^beta, the loss of an unbounded model.`,
	};
	const exponents: Block = {
		kind: "table",
		columns: ["architecture", "exponent of N in D", "value", "95 % from", "to"].map((column, i) => ({
			name: column,
			align: i < 2 ? ("left" as const) : ("right" as const),
		})),
		rows: fits.flatMap(({ kind, gamma, directGamma, balance }) =>
			(
				[
					[`gamma, within ${percent}, surface`, gamma],
					[`gamma, within ${percent}, runs alone`, directGamma],
					["beta / alpha, both terms alike", balance],
				] as const
			).map(([what, { value, interval }]): Cell[] => [
				...[kind, what, fixed(value)],
				...[interval?.low, interval?.high].map((bound) => (bound === undefined ? null : fixed(bound))),
			]),
		),
	};
	const verdicts: Block = {
		kind: "table",
		columns: ["architecture", "range", "from", "to", "surface", "runs alone"].map((column) => ({ name: column })),
		rows: fits.flatMap((fit) =>
			rangeVerdicts(fit, heaps).map(({ range, low, high, surface, direct }): Cell[] => [
				...[fit.kind, range],
				...[low, high].map((bound) => (bound === null ? null : fixed(bound))),
				...[surface, direct].map((where) => (where === "overlaps" ? "partly" : where)),
			]),
		),
		caption:
			"Whether gamma's interval lies inside the range, outside of it, or partly in it. The natural law's beta is that of the loss in the text; Heaps' exponent is another one, which the text alone gives, and stands here for comparison.",
	};
	const others = [0.01, 0.02, 0.05, 0.1];
	return [
		smallest,
		chart(efficientChart(fits, within), `Within ${percent} of the best loss; the slope is gamma.`),
		exponents,
		verdicts,
		chart(
			gammaChart(
				fits.flatMap(({ kind, fit, surface }) => {
					const amounts = surface.map(({ tokens }) => tokens);
					const values = fit.samples.map((sample) => growthExponent(efficientOnSurface(sample, amounts, within)));
					return values.length > 1 ? [{ name: kind, values: values.filter(Number.isFinite) }] : [];
				}),
			),
			"gamma on the surface over the bootstraps, with the ends of the paper's range.",
		),
		{
			kind: "table",
			columns: [
				{ name: "architecture" },
				...others.map((share) => ({ name: `within ${Number((100 * share).toFixed(6))} %`, align: "right" as const })),
			],
			rows: fits.map(({ kind, fit, surface }): Cell[] => [
				kind,
				...others.map((share) =>
					fixed(
						growthExponent(
							efficientOnSurface(
								fit.constants,
								surface.map(({ tokens }) => tokens),
								share,
							),
						),
					),
				),
			]),
			caption: "gamma on the surface for other distances.",
		},
		list([naturalWarnings.exponent]),
	];
}

const fixed = (value: number) => (Number.isFinite(value) ? value.toFixed(3) : "–");

function heldBackBlocks(fits: readonly ArchitectureFit[]): Block[] {
	return [
		{
			kind: "table",
			columns: [
				{ name: "architecture" },
				{ name: "N" },
				{ name: "D", unit: "tokens" },
				{ name: "predicted", digits: 4 },
				{ name: "95 % from", digits: 4 },
				{ name: "to", digits: 4 },
				{ name: "measured", digits: 4 },
				{ name: "verdict" },
			],
			rows: fits.flatMap(({ kind, heldBack }): Cell[][] => {
				if (!heldBack) return [];
				const { parameters, tokens, predicted, interval, measured, inside } = heldBack;
				const verdict = inside === null ? "–" : inside ? "inside" : "outside";
				return [
					[kind, parameters, tokens, predicted, interval?.low ?? null, interval?.high ?? null, measured, verdict],
				];
			}),
			caption:
				"The interval is that of a new run: the bootstraps' predictions, each with a residual of the fit drawn at random and widened for the five constants.",
		},
		chart(heldBackChart(fits), "The law through all of the text, its prediction with interval, and the run."),
	];
}

function comparisonBlocks(comparison: Comparison): Block[] {
	const { ratio, direct } = comparison;
	return [
		text(comparisonText(comparison)),
		{
			kind: "table",
			columns: [
				{ name: "parameters of the recurrent transformer over the transformer's, same loss" },
				{ name: "ratio" },
			],
			rows: [
				["on the fitted surfaces, median over the ladder (95 % of bootstraps)", withInterval(ratio, 3)],
				[
					`by the runs alone, median of ${direct.runs} (${direct.outside} more have losses that the recurrent ones do not span)`,
					fixed(direct.ratio),
				],
			],
		},
	];
}

function runsTable({ outcomes }: SweepResults): Block {
	return {
		kind: "table",
		columns: [
			{ name: "part" },
			{ name: "architecture" },
			{ name: "width" },
			{ name: "N" },
			{ name: "D", unit: "tokens" },
			{ name: "seed" },
			{ name: "learning rate" },
			{ name: "steps" },
			{ name: "best at" },
			{ name: "best loss", unit: "nats", digits: 4 },
			{ name: "time", unit: "s", digits: 1 },
		],
		rows: outcomes.map(({ run, summary }) => [
			...[run.part, run.kind, run.width, summary?.parameters ?? null, run.tokens, run.seed, run.rate],
			...[summary?.steps ?? null, summary?.best?.step ?? null, summary?.best?.loss ?? null, summary?.seconds ?? null],
		]),
	};
}
