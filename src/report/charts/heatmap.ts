/** A matrix of values as colours. Cividis: told apart by the colour-blind, and darker always means less, in gray print too. */
import * as Plot from "@observablehq/plot";
import type { Chart } from "../chart.ts";
import { escapeXml, shortened } from "../escape.ts";
import { nothing } from "./axes.ts";
import { axisLabel, type Drawing, fontSize, margins, type Piece, plotted, sheetWidth, textWidth } from "./canvas.ts";
import { pngAddress } from "./png.ts";
import { shortNumber, type Tick, ticksOf } from "./ticks.ts";

type HeatmapChart = Extract<Chart, { kind: "heatmap" }>;

const longest = 24; // characters of a cell's label
const ramp = 16; // height of the bar of colours

/** @throws Error where rows differ in length */
export function drawHeatmap(chart: HeatmapChart, id: string): Drawing {
	const { title, values } = chart;
	const rows = values.length;
	const columns = values[0]?.length ?? 0;
	if (values.some((row) => row.length !== columns))
		throw new Error(`[chart] expected rows of ${columns} values in "${title}"`);
	const finite = values.flat().filter((value): value is number => value !== null && Number.isFinite(value));
	const low = finite.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
	const high = finite.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
	if (finite.length === 0) {
		const empty = plotted({ height: 120, axis: null, marks: [nothing()] });
		return { title, description: "Nothing to draw.", pieces: [empty] };
	}
	const colours = Plot.scale({
		color: { type: "linear", scheme: "cividis", domain: [low, high > low ? high : low + 1] },
	});
	const colour = (value: number): string => colours.apply(value);
	return {
		title,
		description: `${rows} rows of ${axisLabel(chart.y)} by ${columns} columns of ${axisLabel(chart.x)}, values from ${shortNumber(low)} to ${shortNumber(high)}.`,
		pieces: [colourBar(low, high, colour, `${id}-colours`), matrix(chart, rows, columns, colour)],
	};
}

function matrix(chart: HeatmapChart, rows: number, columns: number, colour: (value: number) => string): Piece {
	const marginLeft = Math.min(210, 46 + widest(chart.yLabels ?? [String(rows)]));
	const inside = sheetWidth - marginLeft - margins.marginRight;
	// Square cells, unless the matrix would become a thread or a tower.
	const cell = Math.min(36, inside / columns);
	const across = cell * columns < 160 ? Math.min(inside, 320) : cell * columns;
	const down = Math.min(520, Math.max(80, (across / columns) * rows));
	const xTicks = cellTicks(columns, chart.xLabels, across / (widest(chart.xLabels ?? ["000"]) + 6));
	const yTicks = cellTicks(rows, chart.yLabels, down / 16);
	const zoom = Math.max(1, Math.ceil(across / columns), Math.ceil(down / rows));
	const src = pngAddress(columns, rows, 4, coloured(chart.values, columns, colour), Math.min(zoom, 64));
	const label = (ticks: readonly Tick[]) => (value: number) => ticks.find((tick) => tick.value === value)?.label ?? "";
	const look = { labelAnchor: "center", labelArrow: "none", tickSize: 3 } as const;
	return plotted({
		...margins,
		...{
			marginLeft,
			marginRight: sheetWidth - marginLeft - across,
			height: down + margins.marginTop + margins.marginBottom,
		},
		style: { fontSize: `${fontSize}px` },
		x: { type: "linear", domain: [0, columns], axis: null },
		y: { type: "linear", domain: [rows, 0], axis: null },
		marks: [
			Plot.image([src], {
				x: columns / 2,
				y: rows / 2,
				width: across,
				height: down,
				src: (address: string) => address,
				preserveAspectRatio: "none",
			}),
			Plot.axisX(
				xTicks.map(({ value }) => value),
				{ ...look, tickFormat: label(xTicks), label: axisLabel(chart.x), labelOffset: 38 },
			),
			Plot.axisY(
				yTicks.map(({ value }) => value),
				{ ...look, tickFormat: label(yTicks), label: axisLabel(chart.y), labelOffset: marginLeft - 12 },
			),
			Plot.frame({ strokeOpacity: 0.4 }),
		],
	});
}

/** Width of the widest label as drawn. */
function widest(labels: readonly string[]): number {
	return labels.reduce((most, label) => Math.max(most, textWidth(shortened(label, longest))), 6);
}

/** Ticks in the middle of cells, with the cell's label or its number from 0. */
function cellTicks(count: number, labels: readonly string[] | undefined, most: number): Tick[] {
	if (labels === undefined) {
		const whole = ticksOf([0, Math.max(1, count - 1)], "linear", Math.min(8, most)).filter(({ value }) =>
			Number.isInteger(value),
		);
		return whole.filter(({ value }) => value < count).map(({ value, label }) => ({ value: value + 0.5, label }));
	}
	const stride = Math.max(1, Math.ceil(count / most));
	return labels
		.slice(0, count)
		.flatMap((label, i) => (i % stride === 0 ? [{ value: i + 0.5, label: shortened(label, longest) }] : []));
}

/** Red, green, blue and opacity of every cell; those without a value are clear. */
function coloured(values: HeatmapChart["values"], columns: number, colour: (value: number) => string): Uint8Array {
	const pixels = new Uint8Array(values.length * columns * 4);
	values.flat().forEach((value, i) => {
		if (value === null || !Number.isFinite(value)) return;
		pixels.set([...(colour(value).match(/\d+/g) ?? []).slice(0, 3).map(Number), 255], 4 * i);
	});
	return pixels;
}

/** The colours from low to high, with both values. */
function colourBar(low: number, high: number, colour: (value: number) => string, id: string): Piece {
	const stops = Array.from(
		{ length: 9 },
		(_, i) => `<stop offset="${i / 8}" stop-color="${colour(low + ((high - low) * i) / 8)}"/>`,
	);
	const left = margins.marginLeft + textWidth(shortNumber(low)) + 8;
	return {
		height: ramp + 8,
		markup: `<defs><linearGradient id="${id}">${stops.join("")}</linearGradient></defs><text x="${left - 8}" y="11" text-anchor="end">${escapeXml(shortNumber(low))}</text><rect x="${left}" y="0" width="180" height="${ramp - 4}" fill="url(#${id})"/><text x="${left + 188}" y="11">${escapeXml(shortNumber(high))}</text>`,
	};
}
