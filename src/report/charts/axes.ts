/** Axes, grid and labelled lines, as Plot marks, for the charts that have them. */
import * as Plot from "@observablehq/plot";
import type { Axis } from "../chart.ts";
import { shortened } from "../escape.ts";
import { domainOf, type ScaleKind, type Tick, ticksOf } from "./ticks.ts";

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
	readonly options: { readonly type: ScaleKind; readonly domain: [number, number]; readonly axis: null };
}

export function scale(axis: Axis, values: readonly number[], count: number): Scale {
	const type = scaleOf(axis);
	const domain = domainOf(values, type);
	const ticks = ticksOf(domain, type, count);
	return { domain, ticks, values: ticks.map(({ value }) => value), options: { type, domain, axis: null } };
}

/** Axes with their titles. */
export function frame(x: Scale, y: Scale, xTitle: string, yTitle: string): Plot.Markish[] {
	const label = (ticks: readonly Tick[]) => (value: number) => ticks.find((tick) => tick.value === value)?.label ?? "";
	const look = { labelAnchor: "center", labelArrow: "none", tickSize: 4 } as const;
	return [
		Plot.axisX(x.values, { ...look, tickFormat: label(x.ticks), label: xTitle, labelOffset: 38 }),
		Plot.axisY(y.values, { ...look, tickFormat: label(y.ticks), label: yTitle, labelOffset: 52 }),
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

/** Lines with their labels; labels of several lines are set apart, whatever the values. */
export function drawRules(rules: readonly Rule[], x: [number, number], y: [number, number]): Plot.Markish[] {
	const halo = { fill: "currentColor", stroke: "#fff", strokeWidth: 3, className: "halo" } as const;
	const rows = new Map<string, number>();
	const labels = rules.map(({ axis, value, label }) => {
		const text = () => shortened(label, 70);
		const row = rows.get(axis) ?? 0;
		rows.set(axis, row + 1);
		if (axis === "x") {
			const dy = 8 + 14 * row;
			return Plot.text([value], { x: value, y: y[1], text, textAnchor: "start", dx: 4, dy, ...halo });
		}
		const [textAnchor, at, dx] = row % 2 === 0 ? (["end", x[1], -4] as const) : (["start", x[0], 6] as const);
		return Plot.text([value], { x: at, y: value, text, textAnchor, lineAnchor: "bottom", dx, dy: -3, ...halo });
	});
	return [...rules.map(ruleLine), ...labels];
}

/** What an empty chart shows. */
export function nothing(): Plot.Markish {
	return Plot.text(["nothing to draw"], { frameAnchor: "middle", fontStyle: "italic", fillOpacity: 0.7 });
}
