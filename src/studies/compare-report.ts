/** The report of a comparison: figures, curves, how the configurations differ, what the models wrote. */
import { type Block, type Cell, type Column, escapeMarkdown, type Provenance, type Report } from "../report/index.ts";
import { meanOf } from "./claims.ts";
import { type ComparedRun, type Comparison, type Difference, finalLoss } from "./compare.ts";
import type { SeedResult } from "./results.ts";
import { curveBlocks, failures } from "./run-sections.ts";

/** A sample longer than this is cut: the rest is in samples.txt. */
const sampleLength = 1500;

export function comparisonReport(comparison: Comparison, provenance: Provenance): Report {
	const { runs, differences } = comparison;
	const curves = curveBlocks(runs);
	const samples = runs.flatMap(sampleBlocks);
	return {
		title: runs.length === 1 ? `The run ${runs[0].title}` : `${runs.length} configurations compared`,
		summary: summaryText(comparison),
		sections: [
			{ title: "Figures", blocks: [figuresTable(runs), ...cautions(comparison)] },
			{ title: "Learning", blocks: curves.length > 0 ? curves : [text("No run has been evaluated.")] },
			{ title: "Configurations", blocks: [differencesBlock(runs, differences)] },
			...(samples.length === 0 ? [] : [{ title: "Samples", blocks: samples }]),
			...failures(runs),
		],
		provenance,
		data: comparisonData(comparison),
	};
}

/** The figures without the folders they lie in: what `--json` prints. */
export function comparisonData({ runs, differences }: Comparison) {
	return {
		runs: runs.map((run) => ({
			title: run.title,
			folders: run.folders,
			loss: finalLoss(run)?.mean ?? null,
			standardError: finalLoss(run)?.error ?? null,
			bitsPerByte: meanOf(run.finals.flatMap(({ bitsPerByte }) => bitsPerByte ?? []))?.mean ?? null,
			accuracy: meanOf(run.finals.flatMap(({ accuracy }) => accuracy ?? []))?.mean ?? null,
			seeds: run.seeds.map(({ path: _path, ...seed }, i) => ({ ...seed, final: run.finals[i] })),
		})),
		differences,
	};
}

const text = (markdown: string): Block => ({ kind: "text", markdown });

function summaryText({ runs }: Comparison): string {
	const count = runs.reduce((sum, { seeds }) => sum + seeds.length, 0);
	const judged = runs.flatMap((run) => {
		const loss = finalLoss(run);
		return loss === null ? [] : [{ run, ...loss }];
	});
	const [best, next] = judged.sort((a, b) => a.mean - b.mean);
	const runsText = `${count} ${count === 1 ? "run" : "runs"} of ${runs.length} ${runs.length === 1 ? "configuration" : "configurations"}.`;
	if (best === undefined) return `${runsText} None has been evaluated.`;
	const lowest = `The lowest final validation loss is ${withError(best.mean, best.error)} nats, of ${escapeMarkdown(best.run.title)}`;
	if (next === undefined) return `${runsText} ${lowest}.`;
	return `${runsText} ${lowest}; next is ${escapeMarkdown(next.run.title)} with ${withError(next.mean, next.error)}.`;
}

function withError(mean: number, error: number | null): string {
	return error === null ? mean.toFixed(4) : `${mean.toFixed(4)} ± ${error.toFixed(4)}`;
}

/** What a row of the table says of a run, by column. Columns that no run fills are left out. */
const figures: readonly (Column & { of(run: ComparedRun): Cell })[] = [
	{ name: "run", of: ({ title }) => title },
	{ name: "seeds", digits: 0, of: ({ seeds }) => seeds.length },
	{ name: "ended", of: ({ seeds }) => [...new Set(seeds.map(({ ended }) => ended))].join(", ") },
	{ name: "parameters", digits: 0, of: (run) => mean(run, ({ parameters }) => parameters || null) },
	{ name: "final loss", unit: "nats", digits: 4, of: (run) => finalLoss(run)?.mean ?? null },
	{ name: "standard error", digits: 4, of: (run) => finalLoss(run)?.error ?? null },
	{ name: "best loss", unit: "nats", digits: 4, of: (run) => mean(run, ({ loss }) => loss) },
	{
		name: "bits per byte",
		digits: 4,
		of: ({ finals }) => meanOf(finals.flatMap((one) => one.bitsPerByte ?? []))?.mean ?? null,
	},
	{
		name: "accuracy",
		unit: "%",
		digits: 2,
		of: ({ finals }) =>
			meanOf(finals.flatMap((one) => (one.accuracy === null ? [] : 100 * one.accuracy)))?.mean ?? null,
	},
	{ name: "tokens", digits: 0, of: (run) => mean(run, ({ tokens }) => tokens) },
	{ name: "FLOPs, exact", of: (run) => mean(run, ({ flops }) => flops) },
	{
		name: "FLOPs, as the paper counts",
		of: (run) => mean(run, ({ paperFlops }) => paperFlops),
	},
	{ name: "training time", unit: "s", digits: 1, of: (run) => mean(run, ({ seconds }) => seconds) },
	{ name: "with evaluation", unit: "s", digits: 1, of: (run) => mean(run, ({ wallSeconds }) => wallSeconds) },
	{ name: "tokens/s", digits: 0, of: (run) => mean(run, ({ tokensPerSecond }) => tokensPerSecond || null) },
	{
		name: "peak memory",
		unit: "MB",
		digits: 0,
		of: (run) => mean(run, ({ peakMemory }) => peakMemory && peakMemory / 1e6),
	},
];

function mean({ seeds }: ComparedRun, value: (seed: SeedResult) => number | null): number | null {
	return meanOf(seeds.flatMap((seed) => value(seed) ?? []))?.mean ?? null;
}

function figuresTable(runs: readonly ComparedRun[]): Block {
	const columns = figures.filter(({ of }) => runs.some((run) => of(run) !== null));
	return {
		kind: "table",
		columns: columns.map(({ of: _, ...column }) => column),
		rows: runs.map((run) => columns.map(({ of }) => of(run))),
		caption:
			"Means over the seeds. The standard error is that of the mean over the seeds; of a single run, that of its last evaluation.",
	};
}

/** What makes figures stand side by side that do not belong there. */
function cautions({ runs, differences }: Comparison): Block[] {
	const found: string[] = [];
	const data = differences.filter(({ key }) => key.startsWith("data.")).map(({ key }) => `\`${key}\``);
	if (data.length > 0) {
		found.push(
			`The runs differ in their data (${data.join(", ")}): losses per token are only comparable where the tokens and the validation text are the same. Bits per byte also compare across tokenizers, on the same text.`,
		);
	}
	const open = runs.filter(({ seeds }) => seeds.some(({ ended }) => ended === "unfinished" || ended === "failed"));
	if (open.length > 0) {
		const names = open.map(({ title }) => escapeMarkdown(title)).join(", ");
		found.push(`Not everything had ended: ${names}. Figures of such runs are those of their last evaluation.`);
	}
	return found.map(text);
}

function differencesBlock(runs: readonly ComparedRun[], differences: readonly Difference[]): Block {
	if (runs.length === 1) return text("There is one configuration, so nothing differs but the seeds.");
	return {
		kind: "table",
		columns: [{ name: "key" }, ...runs.map(({ title }) => ({ name: title, align: "right" as const }))],
		rows: differences.map(({ key, values }) => [key, ...values]),
		caption: "Keys whose values differ; all others are the same. Every run's `config.json` holds the whole.",
	};
}

function sampleBlocks({ title, sample }: ComparedRun): Block[] {
	if (sample === null) return [];
	const cut = sample.length > sampleLength ? `${sample.slice(0, sampleLength)} …` : sample;
	return [{ kind: "code", text: cut, caption: escapeMarkdown(title) }];
}
