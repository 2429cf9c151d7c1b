/** Parts of a report about runs: their curves with the seeds as bands, their figures as a table. */

import type { Series } from "../report/chart.ts";
import type { Block, Cell, Section } from "../report/index.ts";
import { meanOf } from "./claims.ts";
import type { CurvePoint, RunResult, SeedResult } from "./results.ts";
import type { PublishedCurve } from "./study.ts";

/** What a curve is drawn against. */
export type Against = "flops" | "tokens" | "seconds";

const axes = {
	flops: { title: "training FLOPs, exact", unit: "FLOP" },
	tokens: { title: "tokens seen" },
	seconds: { title: "training time", unit: "s" },
} as const;

export interface CurveOptions {
	/** Drawn dashed; only against tokens. */
	readonly published?: readonly PublishedCurve[];
	/** A level to compare with: an n-gram model. */
	readonly rules?: readonly { readonly value: number; readonly label: string }[];
	readonly title?: string;
}

/** Validation loss against FLOPs, tokens and time. Nothing where no run has been evaluated. */
export function curveBlocks(runs: readonly RunResult[], options: CurveOptions = {}): Block[] {
	const evaluated = runs.filter(({ seeds }) => seeds.some(({ curve }) => curve.length > 0));
	if (evaluated.length === 0) return [];
	return (["flops", "tokens", "seconds"] as const).map((against) => ({
		kind: "chart",
		chart: {
			kind: "xy",
			title: `${options.title ?? "Validation loss"} against ${axes[against].title.split(",")[0]}`,
			x: { ...axes[against], scale: "log" },
			y: { title: "validation loss", unit: "nats" },
			series: [
				...evaluated.map((run) => seriesOf(run, against)),
				...(against === "tokens" ? (options.published ?? []).map(dashed) : []),
			],
			rules: (options.rules ?? []).map((rule) => ({ axis: "y", ...rule })),
		},
		caption: "Line: mean over the seeds; band: from the lowest seed to the highest.",
	}));
}

function dashed({ title, tokens, loss }: PublishedCurve): Series {
	return { name: title, x: tokens, y: loss, dashed: true };
}

/** Mean, lowest and highest over the seeds that were evaluated at each step. */
function seriesOf({ title, seeds }: RunResult, against: Against): Series {
	const atStep = new Map<number, CurvePoint[]>();
	for (const { curve } of seeds) {
		for (const point of curve) atStep.set(point.step, [...(atStep.get(point.step) ?? []), point]);
	}
	const steps = [...atStep].sort(([a], [b]) => a - b).filter(([, points]) => points[0][against] > 0);
	const losses = steps.map(([, points]) => points.map(({ loss }) => loss));
	const several = losses.some((values) => values.length > 1);
	return {
		name: title,
		x: steps.map(([, points]) => average(points.map((point) => point[against]))),
		y: losses.map(average),
		...(several
			? { low: losses.map((values) => Math.min(...values)), high: losses.map((values) => Math.max(...values)) }
			: {}),
		mark: steps.length > 1 ? "line" : "points",
	};
}

/** A row for each run: size, result with its standard error, work, time. */
export function runsTable(runs: readonly RunResult[], caption?: string): Block {
	const accuracies = runs.some(({ seeds }) => seeds.some(({ accuracy }) => accuracy !== null));
	const rows = runs.map(({ title, seeds }): Cell[] => {
		const figure = (value: (seed: SeedResult) => number | null) => meanOf(seeds.flatMap((seed) => value(seed) ?? []));
		const loss = figure((seed) => seed.loss);
		const accuracy = figure((seed) => seed.accuracy);
		return [
			title,
			`${seeds.filter(isDone).length} of ${seeds.length}`,
			figure((seed) => (seed.parameters > 0 ? seed.parameters : null))?.mean ?? null,
			loss?.mean ?? null,
			loss?.error ?? null,
			...(accuracies
				? [accuracy === null ? null : 100 * accuracy.mean, accuracy?.error == null ? null : 100 * accuracy.error]
				: []),
			figure((seed) => seed.tokens)?.mean ?? null,
			figure((seed) => seed.flops / 1e12)?.mean ?? null,
			figure((seed) => (seed.paperFlops === null ? null : seed.paperFlops / 1e12))?.mean ?? null,
			figure((seed) => seed.seconds)?.mean ?? null,
			figure((seed) => seed.wallSeconds)?.mean ?? null,
			figure((seed) => (seed.tokensPerSecond > 0 ? seed.tokensPerSecond : null))?.mean ?? null,
			figure((seed) => (seed.peakMemory === null ? null : seed.peakMemory / 1e6))?.mean ?? null,
		];
	});
	return {
		kind: "table",
		columns: [
			{ name: "run" },
			{ name: "seeds done" },
			{ name: "parameters", digits: 0 },
			{ name: "best loss", unit: "nats", digits: 4 },
			{ name: "standard error", digits: 4 },
			...(accuracies
				? [
						{ name: "best accuracy", unit: "%", digits: 2 },
						{ name: "standard error", unit: "%", digits: 2 },
					]
				: []),
			{ name: "tokens", digits: 0 },
			{ name: "exact", unit: "TFLOP", digits: 3 },
			{ name: "as the paper counts", unit: "TFLOP", digits: 3 },
			{ name: "training", unit: "s", digits: 0 },
			{ name: "with evaluation", unit: "s", digits: 0 },
			{ name: "tokens/s", digits: 0 },
			{ name: "peak memory", unit: "MB", digits: 0 },
		],
		rows,
		caption: caption ?? "Means over the seeds; the standard error is that of the mean.",
	};
}

const isDone = ({ ended }: SeedResult) => ended !== "unfinished" && ended !== "failed";

/** Runs that came to nothing, or nothing if there are none. */
export function failures(runs: readonly RunResult[]): Section[] {
	const rows = runs.flatMap(({ title, seeds }) =>
		seeds.flatMap(({ seed, failure }): Cell[][] => (failure === undefined ? [] : [[title, seed, failure]])),
	);
	if (rows.length === 0) return [];
	return [
		{
			title: "Runs that failed",
			blocks: [{ kind: "table", columns: [{ name: "run" }, { name: "seed" }, { name: "why" }], rows }],
		},
	];
}

function average(values: readonly number[]): number {
	return values.reduce((sum, value) => sum + value, 0) / values.length;
}
