/** How values are spread: outlines over common bins, one for each series. */
import * as Plot from "@observablehq/plot";
import type { Chart } from "../chart.ts";
import { drawRules, frame, gridLook, nothing, onAxes, scale } from "./axes.ts";
import { axisLabel, type Drawing, legend, lineLook } from "./canvas.ts";
import { seriesStyles } from "./palette.ts";
import { domainOf, drawable, shortNumber } from "./ticks.ts";

type HistogramChart = Extract<Chart, { kind: "histogram" }>;

const height = 300;

export function drawHistogram(chart: HistogramChart): Drawing {
	const kind = chart.x.scale ?? "linear";
	const rules = (chart.rules ?? []).filter(({ value }) => drawable(value, kind));
	const values = chart.series.map((one) => one.values.filter((value) => drawable(value, kind)));
	const bins = binning(values.flat(), kind);
	const shares = values.map((all) => counts(all, bins).map((count) => count / Math.max(1, all.length)));
	const x = scale(chart.x, [...bins, ...rules.map(({ value }) => value)], 8);
	const y = scale({ title: "share" }, [0, ...shares.flat()], 5);
	const styles = seriesStyles(chart.series.map((_, i) => ({ dashed: i > 0 })));
	const outlines = shares.map((share) => steps(share, bins));
	const step = { x: "x", curve: "step-after" } as const;
	const marks: Plot.Markish[] = [
		Plot.gridY(y.values, gridLook),
		...outlines.map((one, i) => Plot.areaY(one, { ...step, y1: 0, y2: "y", fill: styles[i].colour, fillOpacity: 0.2 })),
		...outlines.map((one, i) => Plot.line(one, { ...step, y: "y", ...lineLook(styles[i]) })),
		...drawRules(rules, x, y),
		...frame(x, y, axisLabel(chart.x), "share"),
	];
	if (values.every((all) => all.length === 0)) marks.push(nothing());
	const body = onAxes(height, x, y, rules, marks);
	const entries = chart.series.map(({ name }, i) => ({ name, style: styles[i], line: true, marker: false }));
	const parts = chart.series.map(({ name }, i) => `${name}: ${spreadInWords(values[i])}`);
	for (const { label, value } of rules) parts.push(`${label}: line at ${shortNumber(value)}`);
	return {
		title: chart.title,
		description: `Histogram of ${axisLabel(chart.x)}. ${parts.join(". ")}.`,
		pieces: entries.length > 1 ? [legend(entries), body] : [body],
	};
}

/** Edges of equal bins (equal ratios on a log axis), about as many as the square root of the number of values, 8 to 60. */
function binning(values: readonly number[], kind: "linear" | "log"): number[] {
	const [low, high] = domainOf(values, kind, 0);
	const count = Math.min(60, Math.max(8, Math.round(Math.sqrt(values.length))));
	const at = (i: number) => (kind === "log" ? low * (high / low) ** (i / count) : low + ((high - low) * i) / count);
	return Array.from({ length: count + 1 }, (_, i) => at(i));
}

function counts(values: readonly number[], edges: readonly number[]): number[] {
	const result = new Array<number>(edges.length - 1).fill(0);
	for (const value of values) {
		let bin = edges.findIndex((edge) => value < edge) - 1;
		if (bin < 0) bin = result.length - 1; // the highest value belongs to the last bin
		result[bin]++;
	}
	return result;
}

/** Corners of the outline; it begins and ends on the axis. */
function steps(share: readonly number[], edges: readonly number[]): { x: number; y: number }[] {
	const corners = edges.map((x, i) => ({ x, y: share[i] ?? 0 }));
	return [{ x: edges[0], y: 0 }, ...corners];
}

function spreadInWords(values: readonly number[]): string {
	if (values.length === 0) return "nothing to draw";
	const sorted = [...values].sort((a, b) => a - b);
	const at = (share: number) => shortNumber(sorted[Math.round(share * (sorted.length - 1))]);
	return `${values.length} values, median ${at(0.5)}, 95 % of them from ${at(0.025)} to ${at(0.975)}`;
}
