/** Axes, grid and labelled lines, as Plot marks, for the charts that have them. */
import * as Plot from "@observablehq/plot";
import type { Axis } from "../chart.ts";
import { shortened } from "../escape.ts";
import { fontSize, margins, type Piece, plotted } from "./canvas.ts";
import { domainOf, type ScaleKind, type Tick, ticksOf } from "./ticks.ts";

const labelRow = 14;

/** A labelled line at a value of one axis. */
export interface Rule {
	readonly axis: "x" | "y";
	readonly value: number;
	readonly label: string;
}

/** What Plot needs of an axis. */
export interface Scale {
	readonly domain: [number, number];
	readonly ticks: readonly Tick[];
	readonly values: number[];
	/** Where on the axis a value stands: 0 at its beginning, 1 at its end. */
	share(value: number): number;
	readonly options: { readonly type: ScaleKind; readonly domain: [number, number]; readonly axis: null };
}

export function scale(axis: Axis, values: readonly number[], count: number): Scale {
	const type = scaleOf(axis);
	const domain = domainOf(values, type);
	const ticks = ticksOf(domain, type, count);
	const along = type === "log" ? Math.log : Number;
	const share = (value: number) => (along(value) - along(domain[0])) / (along(domain[1]) - along(domain[0]));
	return { domain, ticks, share, values: ticks.map(({ value }) => value), options: { type, domain, axis: null } };
}

/** Axes with their titles. */
export function frame(x: Scale, y: Scale, xTitle: string, yTitle: string): Plot.Markish[] {
	// As text, not as a format: on a log axis Plot leaves out labels that a format gives.
	const label = (ticks: readonly Tick[]) => (value: number) => ticks.find((tick) => tick.value === value)?.label ?? "";
	const look = { labelAnchor: "center", labelArrow: "none", tickSize: 4 } as const;
	return [
		Plot.axisX(x.values, { ...look, text: label(x.ticks), label: xTitle, labelOffset: 38 }),
		Plot.axisY(y.values, { ...look, text: label(y.ticks), label: yTitle, labelOffset: 58 }),
		Plot.ruleX([x.domain[0]]),
		Plot.ruleY([y.domain[0]]),
	];
}

export const gridLook = { stroke: "currentColor", strokeOpacity: 0.12 } as const;

export function scaleOf({ scale = "linear" }: Axis): ScaleKind {
	return scale;
}

function ruleLine({ axis, value }: Rule): Plot.Markish {
	const look = { stroke: "currentColor", strokeOpacity: 0.65, strokeDasharray: "3 3" };
	return axis === "x" ? Plot.ruleX([value], look) : Plot.ruleY([value], look);
}

/** Marks over two axes, with room above the frame for the labels of the x axis's rules. */
export function onAxes(height: number, x: Scale, y: Scale, rules: readonly Rule[], marks: Plot.Markish[]): Piece {
	const above = labelRow * rules.filter(({ axis }) => axis === "x").length;
	const room = { height: height + above, ...margins, marginTop: margins.marginTop + above };
	return plotted({ ...room, style: { fontSize: `${fontSize}px` }, x: x.options, y: y.options, marks });
}

/** Lines with their labels, which keep out of each other's way: those of the x axis above the frame, the others inside. */
export function drawRules(rules: readonly Rule[], x: Scale, y: Scale): Plot.Markish[] {
	const halo = { fill: "currentColor", stroke: "#fff", strokeWidth: 3, className: "halo" } as const;
	const [across, up] = (["x", "y"] as const).map((wanted) => rules.filter(({ axis }) => axis === wanted));
	const xLabels = across.map(({ value, label }, row) => {
		// On the side where there is more room, each on a line of its own.
		const [textAnchor, dx] = x.share(value) > 0.6 ? (["end", -5] as const) : (["start", 5] as const);
		const place = { x: value, y: y.domain[1], textAnchor, dx, dy: -7 - labelRow * row };
		return Plot.text([shortened(label, 70)], { ...place, ...halo });
	});
	const down = [...up].sort((a, b) => b.value - a.value);
	const yLabels = down.map(({ value, label }, row) => {
		const crowded = row > 0 && y.share(down[row - 1].value) - y.share(value) < 0.07;
		// The first of a crowd stands above its line, the second below, the third on the left.
		const [textAnchor, at, dx] =
			row % 3 === 2 ? (["start", x.domain[0], 6] as const) : (["end", x.domain[1], -4] as const);
		const beside = crowded ? ({ lineAnchor: "top", dy: 4 } as const) : ({ lineAnchor: "bottom", dy: -3 } as const);
		return Plot.text([shortened(label, 70)], { x: at, y: value, textAnchor, dx, ...beside, ...halo });
	});
	return [...rules.map(ruleLine), ...xLabels, ...yLabels];
}

/** What an empty chart shows. */
export function nothing(): Plot.Markish {
	return Plot.text(["nothing to draw"], { frameAnchor: "middle", fontStyle: "italic", fillOpacity: 0.7 });
}
