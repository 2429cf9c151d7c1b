/** The report of a fit: what was found and how sure it is, beside the published laws, with the charts to judge it by. */
import type { Block, Chart, Provenance, Report, Section, Series } from "../../report/index.ts";
import { additiveLoss, frontier } from "../additive.ts";
import { besiroglu, hoffmann, hoffmannRounded } from "../hoffmann.ts";
import { naturalWarnings } from "../natural.ts";
import { interval, type Quantity, quantities, standardError } from "./bootstrap.ts";
import type { Fit } from "./fit.ts";
import type { IsoflopFit } from "./isoflop.ts";

const published = [hoffmannRounded, hoffmann, besiroglu];

const meanings: Readonly<Record<Quantity, string>> = {
	E: "loss that neither size nor data takes away",
	A: "of the term of size, A / N^alpha",
	B: "of the term of data, B / D^beta",
	alpha: "exponent of size",
	beta: "exponent of data",
	a: "best N grows as C^a",
	b: "best D grows as C^b",
	gammaLow: "natural law, 1 - 2 beta",
	gammaHigh: "natural law, 1 - beta",
};

/** One row per quantity: value, standard error, 95 % interval. */
export interface FitRow {
	readonly quantity: Quantity;
	readonly value: number;
	readonly error: number | null;
	readonly low: number | null;
	readonly high: number | null;
}

export function fitRows({ derived, samples }: Fit): FitRow[] {
	return quantities.map((quantity) => {
		const value = derived[quantity];
		if (samples.length < 2) return { quantity, value, error: null, low: null, high: null };
		return { quantity, value, error: standardError(samples, quantity), ...interval(samples, quantity) };
	});
}

/** What a program gets: everything but the runs themselves. */
export function fitData(fit: Fit, isoflop: IsoflopFit | null) {
	const { method, constants, objective, warnings, runs, samples, profiles } = fit;
	return {
		method,
		runs: runs.losses.length,
		objective,
		constants,
		frontier: frontier(constants),
		quantities: fitRows(fit),
		warnings,
		profiles,
		samples,
		isoflop: isoflop && {
			exponent: isoflop.exponent,
			factor: isoflop.factor,
			curves: isoflop.curves.map(({ flops, best, floor, inside }) => ({ flops, best, floor, inside })),
		},
	};
}

export function fitReport(name: string, fit: Fit, isoflop: IsoflopFit | null, provenance: Provenance): Report {
	const { constants, warnings } = fit;
	const sections: Section[] = [
		{ title: "The law", blocks: [constantsTable(fit), comparison(fit), notes(warnings)] },
		{ title: "Fit and runs", blocks: [chart(lossChart(fit), "Loss over tokens, by size; lines are the fitted law.")] },
		{
			title: "Residuals",
			blocks: [
				chart(
					residualChart(fit),
					"The law's loss over the run's, as a logarithm. A slope or a bow says that the form is wrong.",
				),
			],
		},
	];
	if (isoflop) sections.push({ title: "IsoFLOP curves", blocks: isoflopBlocks(isoflop) });
	if (fit.samples.length > 1) sections.push({ title: "How sure the exponents are", blocks: posteriorBlocks(fit) });
	const { a } = frontier(constants);
	return {
		title: `Scaling law of ${name}`,
		summary: `L(N, D) = ${constants.E.toFixed(4)} + ${short(constants.A)} / N^${constants.alpha.toFixed(4)} + ${short(constants.B)} / D^${constants.beta.toFixed(4)}, from ${fit.runs.losses.length} runs by ${fit.method === "huber" ? "Huber's objective" : "variable projection"}. The best model grows as C^${a.toFixed(3)}.`,
		sections,
		provenance,
		data: fitData(fit, isoflop),
	};
}

const short = (value: number) => String(Number(value.toPrecision(5)));
const chart = (what: Chart, caption: string): Block => ({ kind: "chart", chart: what, caption });

function constantsTable(fit: Fit): Block {
	return {
		kind: "table",
		columns: [
			{ name: "quantity" },
			{ name: "value", align: "right" },
			{ name: "standard error", align: "right" },
			{ name: "95 % from", align: "right" },
			{ name: "to", align: "right" },
			{ name: "what it is" },
		],
		rows: fitRows(fit).map(({ quantity, value, error, low, high }) => [
			quantity,
			...[value, error, low, high].map((number) => (number === null ? null : short(number))),
			meanings[quantity],
		]),
		caption: fit.samples.length > 1 ? `Percentiles of ${fit.samples.length} bootstraps over runs.` : undefined,
	};
}

/** Published constants beside the intervals. */
function comparison(fit: Fit): Block {
	const rows = fitRows(fit).slice(0, 5);
	return {
		kind: "table",
		columns: [{ name: "published law" }, ...rows.map(({ quantity }) => ({ name: quantity, align: "right" as const }))],
		rows: published.map((law) => [
			law.name,
			...rows.map(({ quantity, low, high }) => {
				const value = law.constants[quantity];
				const inside = low === null || high === null ? "" : value >= low && value <= high ? " (in)" : " (out)";
				return `${short(value)}${inside}`;
			}),
		]),
		caption: "In or out of the 95 % interval above. A, B and E depend on corpus and tokenizer; exponents less so.",
	};
}

function notes(warnings: readonly string[]): Block {
	const list = [...warnings, naturalWarnings.exponent].map((text) => `- ${text}`);
	return { kind: "text", markdown: list.join("\n") };
}

/** Up to six sizes, evenly among those there are, each with its runs and the law's curve. */
function lossChart({ runs, constants }: Fit): Chart {
	const sizes = [...new Set(runs.parameters)].sort((x, y) => x - y);
	const chosen = sizes.filter((_, i) => i % Math.ceil(sizes.length / 6) === 0);
	const nearest = (parameters: number) =>
		chosen.reduce((best, size) =>
			Math.abs(Math.log(size / parameters)) < Math.abs(Math.log(best / parameters)) ? size : best,
		);
	const tokens = [...runs.tokens];
	const grid = logarithmic(Math.min(...tokens), Math.max(...tokens), 40);
	const series: Series[] = chosen.flatMap((size) => {
		const rows = tokens.flatMap((_, i) => (nearest(runs.parameters[i]) === size ? [i] : []));
		const group = `N about ${size.toExponential(1)}`;
		return [
			{ name: group, group, mark: "points", x: rows.map((i) => tokens[i]), y: rows.map((i) => runs.losses[i]) },
			{ name: `law, ${group}`, group, dashed: true, x: grid, y: grid.map((d) => additiveLoss(constants, size, d)) },
		];
	});
	return {
		kind: "xy",
		title: "Loss surface",
		x: { title: "tokens D", scale: "log" },
		y: { title: "loss", unit: "nats per token" },
		series,
	};
}

function residualChart({ runs, residuals }: Fit): Chart {
	return {
		kind: "xy",
		title: "Residuals",
		x: { title: "FLOPs", scale: "log" },
		y: { title: "ln(law / run)" },
		series: [{ name: "runs", mark: "points", x: [...runs.flops], y: [...residuals] }],
		rules: [{ axis: "y", value: 0, label: "the law" }],
	};
}

function isoflopBlocks({ curves, exponent, factor }: IsoflopFit): Block[] {
	const series: Series[] = curves.flatMap(({ flops, runs, best, floor, bend }) => {
		const group = `${flops.toExponential(1)} FLOPs`;
		const sizes = [...runs.parameters];
		const grid = logarithmic(Math.min(...sizes), Math.max(...sizes), 30);
		return [
			{ name: group, group, mark: "points", x: sizes, y: [...runs.losses] },
			{
				name: `parabola, ${group}`,
				group,
				dashed: true,
				x: grid,
				y: grid.map((n) => floor + bend * Math.log(n / best) ** 2),
			},
		];
	});
	const used = curves.filter(({ inside }) => inside);
	const compute = used.map(({ flops }) => flops);
	return [
		chart(
			{
				kind: "xy",
				title: "IsoFLOP curves",
				x: { title: "parameters N", scale: "log" },
				y: { title: "loss", unit: "nats per token" },
				series,
			},
			"Runs of one budget and their parabola.",
		),
		chart(
			{
				kind: "xy",
				title: "Best size by budget",
				x: { title: "FLOPs C", scale: "log" },
				y: { title: "parameters N*", scale: "log" },
				series: [
					{ name: "lowest point", mark: "points", group: "N*", x: compute, y: used.map(({ best }) => best) },
					{
						name: `C^${exponent.toFixed(3)}`,
						group: "N*",
						dashed: true,
						x: compute,
						y: compute.map((c) => factor * c ** exponent),
					},
				],
			},
			`N* = ${factor.toExponential(3)} C^${exponent.toFixed(4)}, through ${used.length} of ${curves.length} budgets: those whose lowest point lies among their sizes.`,
		),
	];
}

function posteriorBlocks({ samples, profiles, derived }: Fit): Block[] {
	const histogram = (title: string, names: readonly Quantity[]): Block =>
		chart(
			{
				kind: "histogram",
				title,
				x: { title: "exponent" },
				series: names.map((name) => ({ name, values: samples.map((sample) => sample[name]).filter(Number.isFinite) })),
				rules: names.map((name) => ({ axis: "x" as const, value: derived[name], label: name })),
			},
			`${title} over ${samples.length} bootstraps.`,
		);
	const blocks = [histogram("Exponents of the loss", ["alpha", "beta"]), histogram("Exponent of the best size", ["a"])];
	if (profiles.length === 0) return blocks;
	const series = profiles.map(({ exponent, values, objectives }) => ({
		name: exponent,
		mark: "line+points" as const,
		x: values,
		y: objectives,
	}));
	blocks.push(
		chart(
			{
				kind: "xy",
				title: "Profiles",
				x: { title: "exponent held" },
				y: { title: "least objective", scale: "log" },
				series,
			},
			"The best fit with one exponent held. A flat profile: the runs do not tell it.",
		),
	);
	return blocks;
}

function logarithmic(from: number, to: number, count: number): number[] {
	return Array.from({ length: count }, (_, i) => from * (to / from) ** (i / (count - 1)));
}
