/** Statistics of a corpus as sections of a report. */
import type { Series } from "../../report/chart.ts";
import type { Block, Section } from "../../report/index.ts";
import type { CorpusStatistics } from "./corpus-statistics.ts";
import { heapsTypes } from "./heaps.ts";
import { sketchError } from "./hyperloglog.ts";

/** The sections "Corpus", "Growth of n-grams", "Entropies" and "Correlations". */
export function corpusSections(statistics: CorpusStatistics): Section[] {
	return [overview(statistics), growth(statistics), entropies(statistics), correlations(statistics)];
}

function overview({ tokens, types, bytes, heaps, duplicates }: CorpusStatistics): Section {
	const rows: [string, string | number][] = [
		["tokens", tokens],
		["types", types],
		["bytes", bytes],
		["lines that are not blank", duplicates.lines],
		["repeated lines", `${(100 * duplicates.repeated).toFixed(2)} %`],
	];
	if (heaps !== null) rows.push(["Heaps' law", `V = ${heaps.k.toPrecision(3)} D^${heaps.h.toFixed(3)}`]);
	return {
		title: "Corpus",
		blocks: [{ kind: "table", columns: [{ name: "what" }, { name: "value", align: "right" }], rows }],
	};
}

function growth({ prefixes, distinct, heaps }: CorpusStatistics): Section {
	const series: Series[] = distinct.map(({ order, distinct }) => ({
		name: order === 1 ? "types" : `${order}-grams`,
		group: String(order),
		x: prefixes,
		y: distinct,
		mark: "line+points",
	}));
	if (heaps !== null) {
		const types = prefixes.map((length) => heapsTypes(heaps, length));
		series.push({ name: "Heaps' law", group: "1", x: prefixes, y: types, dashed: true });
	}
	const sketched = distinct.some(({ exact }) => !exact)
		? ` Numbers that are not exact are from a sketch with a standard error of ${(100 * sketchError).toFixed(1)} %.`
		: "";
	return {
		title: "Growth of n-grams",
		blocks: [
			{
				kind: "chart",
				chart: {
					kind: "xy",
					title: "Distinct n-grams against tokens",
					x: { title: "tokens read", scale: "log" },
					y: { title: "distinct n-grams", scale: "log" },
					series,
				},
				caption: "On prefixes of the corpus, each half of the next.",
			},
			{
				kind: "table",
				columns: [
					{ name: "order" },
					{ name: "distinct", digits: 0 },
					{ name: "exact" },
					{ name: "slope", digits: 3 },
					{ name: "slope of the last octave", digits: 3 },
				],
				rows: distinct.map(({ order, distinct, exact, slope, lastSlope }) => [
					order,
					distinct[distinct.length - 1],
					exact ? "yes" : "no",
					slope,
					lastSlope,
				]),
				caption: `Slopes are d ln U / d ln D. They depend on the order and fall or rise with D: one exponent does not describe them.${sketched}`,
			},
		],
	};
}

function entropies({ entropies, heldOutTokens }: CorpusStatistics): Section {
	const curve = (name: string, key: "plugIn" | "corrected" | "heldOut"): Series => {
		const known = entropies.filter((entropy) => entropy[key] !== null);
		const y = known.map((entropy) => entropy[key] as number);
		return { name, x: known.map(({ order }) => order), y, mark: "line+points" };
	};
	const curves = [
		curve("plug-in", "plugIn"),
		curve("bias corrected", "corrected"),
		curve("held-out n-gram model", "heldOut"),
	].filter(({ y }) => y.length > 0 && y.every((value) => value > 0));
	return {
		title: "Entropies",
		blocks: [
			...chartIf(curves, {
				title: "Entropy of the next token by order",
				x: { title: "order n", scale: "log" },
				y: { title: "entropy of a token given n - 1 before it", unit: "nats", scale: "log" },
				caption: "The corrected estimate is still too low at high orders; the held-out one is an upper bound.",
			}),
			{
				kind: "table",
				columns: [
					{ name: "order" },
					{ name: "plug-in", unit: "nats", digits: 4 },
					{ name: "bias corrected", unit: "nats", digits: 4 },
					{ name: "held out", unit: "nats", digits: 4 },
				],
				rows: entropies.map(({ order, plugIn, corrected, heldOut }) => [order, plugIn, corrected, heldOut]),
				caption: `Held out: an interpolated n-gram model on the last ${heldOutTokens.toLocaleString("en-US")} tokens, counted on those before.`,
			},
		],
	};
}

function correlations({ cooccurrence }: CorpusStatistics): Section {
	const { lags, norms, floor, exponent, exponentError, fitted, classes, coverage } = cooccurrence;
	const series: Series[] = [{ name: "norm", group: "norm", x: lags, y: norms, mark: "points" }];
	const points = fitted.map((lag) => [Math.log(lag), Math.log(norms[lags.indexOf(lag)])]);
	if (exponent !== null) {
		const level = points.reduce((sum, [x, y]) => sum + y + exponent * x, 0) / points.length;
		const y = fitted.map((lag) => Math.exp(level) * lag ** -exponent);
		series.push({ name: `lag^-${exponent.toFixed(2)}`, group: "norm", x: fitted, y, dashed: true });
	}
	const found =
		exponent === null
			? "Too few lags rise above the noise for an exponent."
			: `The norm falls as lag^-beta, beta = ${exponent.toFixed(3)} ± ${exponentError?.toFixed(3)} over lags ${fitted[0]} to ${fitted[fitted.length - 1]}.`;
	const counted =
		coverage < 1
			? ` The ${classes} most frequent tokens (${(100 * coverage).toFixed(1)} % of the corpus) are told apart, the rest counted as one.`
			: "";
	return {
		title: "Correlations",
		blocks: [
			...chartIf(norms.every((norm) => norm > 0) ? series : [], {
				title: "Co-occurrence norm by lag",
				x: { title: "lag", unit: "tokens", scale: "log" },
				y: { title: "largest singular value of C(n)", scale: "log" },
				caption: `${found}${counted}`,
				rules: floor > 0 ? [{ axis: "y", value: floor, label: "shuffled" }] : [],
			}),
			{
				kind: "table",
				columns: [{ name: "lag" }, { name: "norm" }, { name: "times the floor", digits: 2 }],
				rows: lags.map((lag, i) => [lag, Number(norms[i].toPrecision(6)), norms[i] / floor]),
				caption: `${found} Floor: ${floor.toExponential(2)}, of independent tokens with the same frequencies.`,
			},
		],
	};
}

type XyChart = Extract<Extract<Block, { kind: "chart" }>["chart"], { kind: "xy" }>;

function chartIf(
	series: readonly Series[],
	{ caption, ...rest }: Omit<XyChart, "kind" | "series"> & { readonly caption: string },
): Block[] {
	return series.length === 0 ? [] : [{ kind: "chart", chart: { kind: "xy", series, ...rest }, caption }];
}
