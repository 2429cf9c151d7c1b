/** The charts of a sweep's report. */
import { additiveLoss } from "../../laws/additive.ts";
import type { Chart, Series } from "../../report/index.ts";
import { amountsOf, efficientOnSurface, lossBySize, type SizeLoss } from "./efficient.ts";
import type { ArchitectureFit } from "./fit-sweep.ts";

const nats = "nats per token";

/** Loss over N, a curve for each D. */
export function lossBySizeChart({ kind, runs, fit }: ArchitectureFit): Chart {
	const grid = logarithmic(Math.min(...runs.parameters), Math.max(...runs.parameters));
	const series = amountsOf(runs).flatMap((tokens) =>
		pointsAndLaw(`D = ${tokens.toLocaleString("en")}`, lossBySize(runs, tokens), grid, (n) =>
			additiveLoss(fit.constants, n, tokens),
		),
	);
	return {
		kind: "xy",
		title: `Loss by size, ${kind}`,
		x: { title: "parameters N", scale: "log" },
		y: { title: "best validation loss", unit: nats },
		series,
	};
}

/** Loss over D, a curve for each N. */
export function lossByTextChart({ kind, runs, fit }: ArchitectureFit): Chart {
	const amounts = amountsOf(runs);
	const grid = logarithmic(amounts[0], amounts.at(-1)!);
	const curves = amounts.map((tokens) => lossBySize(runs, tokens));
	const sizes = [...new Set(runs.parameters)].sort((a, b) => a - b);
	const series = sizes.flatMap((size) => {
		const points = curves.flatMap((curve, i) =>
			curve.filter(({ parameters }) => parameters === size).map(({ loss }) => ({ parameters: amounts[i], loss })),
		);
		const law = (d: number) => additiveLoss(fit.constants, size, d);
		return pointsAndLaw(`N = ${size.toLocaleString("en")}`, points, grid, law);
	});
	return {
		kind: "xy",
		title: `Loss by text, ${kind}`,
		x: { title: "training tokens D", scale: "log" },
		y: { title: "best validation loss", unit: nats },
		series,
	};
}

/** The smallest good model over D, both axes logarithmic: a straight line of slope gamma. */
export function efficientChart(fits: readonly ArchitectureFit[], within: number): Chart {
	const series: Series[] = fits.flatMap(({ kind, direct, surface, fit }) => {
		const grid = logarithmic(surface[0].tokens, surface.at(-1)!.tokens);
		return [
			{
				name: `${kind}, from the runs`,
				group: kind,
				mark: "points" as const,
				x: direct.map(({ tokens }) => tokens),
				y: direct.map(({ parameters }) => parameters),
			},
			{
				name: `${kind}, on the fitted surface`,
				group: kind,
				dashed: true,
				x: grid,
				y: efficientOnSurface(fit.constants, grid, within).map(({ parameters }) => parameters),
			},
		];
	});
	return {
		kind: "xy",
		title: "The smallest good model",
		x: { title: "training tokens D", scale: "log" },
		y: { title: "parameters N", scale: "log" },
		series: series.filter(({ y }) => y.every((value) => value > 0 && Number.isFinite(value))),
	};
}

export function residualChart(fits: readonly ArchitectureFit[]): Chart {
	return {
		kind: "xy",
		title: "Residuals",
		x: { title: "training tokens D", scale: "log" },
		y: { title: "ln(law / run)" },
		series: fits.map(({ kind, runs, fit }) => ({
			name: kind,
			mark: "points" as const,
			x: [...runs.tokens],
			y: [...fit.residuals],
		})),
		rules: [{ axis: "y", value: 0, label: "the law" }],
	};
}

/** Held-back runs on the law's curve through all of the text. */
export function heldBackChart(fits: readonly ArchitectureFit[]): Chart {
	const series: Series[] = fits.flatMap(({ kind, runs, fit, heldBack }) => {
		if (!heldBack) return [];
		const { parameters, tokens, predicted, interval, measured } = heldBack;
		const grid = logarithmic(Math.min(...runs.parameters), parameters);
		return [
			{
				...{ name: `${kind}, law`, group: kind, dashed: true, x: grid },
				y: grid.map((n) => additiveLoss(fit.constants, n, tokens)),
			},
			{
				...{ name: `${kind}, predicted`, group: kind, mark: "points" as const, x: [parameters], y: [predicted] },
				...(interval ? { low: [interval.low], high: [interval.high] } : {}),
			},
			{ name: `${kind}, held back`, mark: "points" as const, x: [parameters], y: [measured] },
		];
	});
	return {
		kind: "xy",
		title: "The held-back run",
		x: { title: "parameters N", scale: "log" },
		y: { title: "best validation loss", unit: nats },
		series,
	};
}

export function gammaChart(samples: readonly { readonly name: string; readonly values: readonly number[] }[]): Chart {
	return {
		kind: "histogram",
		title: "Exponent of the smallest good model",
		x: { title: "gamma" },
		series: samples,
		rules: [
			{ axis: "x", value: 0.44, label: "0.44" },
			{ axis: "x", value: 0.72, label: "0.72" },
		],
	};
}

function pointsAndLaw(
	group: string,
	points: readonly SizeLoss[],
	grid: readonly number[],
	law: (x: number) => number,
): Series[] {
	const measured = { x: points.map(({ parameters }) => parameters), y: points.map(({ loss }) => loss) };
	return [
		{ name: group, group, mark: "points", ...measured },
		{ name: `law, ${group}`, group, dashed: true, x: grid, y: grid.map(law) },
	];
}

function logarithmic(from: number, to: number, count = 40): number[] {
	return Array.from({ length: count }, (_, i) => from * (to / from) ** (i / (count - 1)));
}
