/** Curves, bands and points over two axes. */
import * as Plot from "@observablehq/plot";
import type { Chart, Series } from "../chart.ts";
import { clean } from "../escape.ts";
import { drawRules, frame, gridLook, nothing, onAxes, scale, scaleOf } from "./axes.ts";
import { axisLabel, type Drawing, legend, lineLook, markerLook } from "./canvas.ts";
import { type SeriesStyle, seriesStyles } from "./palette.ts";
import { thinned } from "./thin.ts";
import { drawable, type ScaleKind, shortNumber } from "./ticks.ts";

type XyChart = Extract<Chart, { kind: "xy" }>;

interface Point {
	readonly x: number;
	readonly y: number;
	readonly low: number;
	readonly high: number;
}

const height = 380;
/** Markers along a curve: enough to tell it, few enough to see it. */
const markersPerLine = 7;

/** @throws Error where the lengths of a series differ */
export function drawXy(chart: XyChart): Drawing {
	const { title, series } = chart;
	const rules = (chart.rules ?? []).filter(({ axis, value }) => drawable(value, scaleOf(chart[axis])));
	const styles = seriesStyles(series);
	const points = series.map((one) => pointsOf(one, scaleOf(chart.x), scaleOf(chart.y)));
	const x = scale(
		chart.x,
		[...points.flatMap((all) => all.filter(isDrawn).map((point) => point.x)), ...valuesOf(rules, "x")],
		8,
	);
	const y = scale(
		chart.y,
		[...points.flatMap((all) => all.flatMap(({ y, low, high }) => [y, low, high])), ...valuesOf(rules, "y")],
		7,
	);
	const marks: Plot.Markish[] = [
		Plot.gridX(x.values, gridLook),
		Plot.gridY(y.values, gridLook),
		...series.flatMap((one, i) => spread(one, points[i], styles[i])),
		...series.flatMap((one, i) => curve(one, points[i], styles[i], i / series.length)),
		...drawRules(rules, x, y),
		...frame(x, y, axisLabel(chart.x), axisLabel(chart.y)),
	];
	if (!points.some((all) => all.some(isDrawn))) marks.push(nothing());
	const body = onAxes(height, x, y, rules, marks);
	const entries = series.map(({ name, mark = "line", dashed }, i) => ({
		...{ name, style: styles[i] },
		line: mark !== "points",
		marker: mark !== "line" || !dashed,
	}));
	return {
		title,
		description: describe({ ...chart, rules }, points),
		pieces: series.length > 1 ? [legend(entries), body] : [body],
	};
}

function valuesOf(rules: NonNullable<XyChart["rules"]>, wanted: "x" | "y"): number[] {
	return rules.filter(({ axis }) => axis === wanted).map(({ value }) => value);
}

/** The points in order; what an axis cannot show becomes NaN, where a line breaks. */
function pointsOf({ name, x, y, low, high }: Series, xScale: ScaleKind, yScale: ScaleKind): readonly Point[] {
	for (const [part, values] of Object.entries({ y, low, high })) {
		if (values !== undefined && values.length !== x.length) {
			throw new Error(`[chart] expected ${x.length} values of ${part} in series "${name}", got ${values.length}`);
		}
	}
	const shown = (value: number | undefined, kind: ScaleKind) =>
		value !== undefined && drawable(value, kind) ? value : Number.NaN;
	const all = x.map((value, i) => ({
		x: shown(value, xScale),
		y: shown(y[i], yScale),
		low: shown(low?.[i], yScale),
		high: shown(high?.[i], yScale),
	}));
	return thinned(all, ({ y }) => y);
}

function isDrawn({ x, y }: Point): boolean {
	return !Number.isNaN(x) && !Number.isNaN(y);
}

/** A band behind a line, bars through points. */
function spread(
	{ mark = "line", low, high }: Series,
	points: readonly Point[],
	{ colour }: SeriesStyle,
): Plot.Markish[] {
	if (low === undefined || high === undefined) return [];
	if (mark === "points") {
		return [Plot.ruleX(points.filter(hasSpread), { x: "x", y1: "low", y2: "high", stroke: colour, strokeWidth: 1.4 })];
	}
	return [Plot.areaY(points, { x: "x", y1: "low", y2: "high", fill: colour, fillOpacity: 0.2, className: "band" })];
}

function hasSpread({ x, low, high }: Point): boolean {
	return !Number.isNaN(x + low + high);
}

/** @param phase 0 to 1: where between two markers this line has its own, so that those of close lines do not cover each other */
function curve(
	{ mark = "line", dashed }: Series,
	points: readonly Point[],
	style: SeriesStyle,
	phase: number,
): Plot.Markish[] {
	const marks: Plot.Markish[] = [];
	if (mark !== "points") marks.push(Plot.line(points, { x: "x", y: "y", ...lineLook(style) }));
	const drawn = points.filter(isDrawn);
	const dots = mark === "line" ? (dashed ? [] : someOf(drawn, phase)) : drawn;
	if (dots.length > 0) marks.push(Plot.dot(dots, { x: "x", y: "y", ...markerLook(style) }));
	return marks;
}

function someOf(points: readonly Point[], phase: number): Point[] {
	if (points.length <= markersPerLine) return [...points];
	const step = (points.length - 1) / markersPerLine;
	return Array.from({ length: markersPerLine }, (_, i) => points[Math.round((i + phase) * step)]);
}

function describe({ x, y, series, rules = [] }: XyChart, points: readonly (readonly Point[])[]): string {
	const parts = series.map(({ name }, i) => {
		const drawn = points[i].filter(isDrawn);
		const [first, last] = [drawn[0], drawn.at(-1)];
		if (first === undefined || last === undefined) return `${name}: nothing to draw`;
		return `${name}: ${shortNumber(first.y)} at ${shortNumber(first.x)} to ${shortNumber(last.y)} at ${shortNumber(last.x)}`;
	});
	for (const { label, value } of rules) parts.push(`${label}: line at ${shortNumber(value)}`);
	return clean(`${axisLabel(y)} against ${axisLabel(x)}. ${parts.join(". ")}.`);
}
