/** The report of a plan: what is recommended and why, what it should come to, and the corpus that it is for. */
import type { Provenance, Report, Section, Series } from "../report/index.ts";
import { corpusSections } from "./corpus/index.ts";
import { countingLoss, expectLoss, type Plan, type Recommendation } from "./plan.ts";

/** @param laws rows of `comparison`, with their head, at the first recommendation's compute */
export function planReport(plan: Plan, laws: readonly (readonly string[])[], provenance: Provenance): Report {
	const { recommendations, uniqueTokens, vocabulary, statistics } = plan;
	const say = ({ kind, parameters, steps, seconds, loss }: Recommendation) =>
		`${kind}: ${parameters} parameters, ${steps} steps, about ${Math.round(seconds)} s, to a loss of ${loss.low.toFixed(3)} to ${loss.high.toFixed(3)} nats per token`;
	return {
		title: "A plan",
		summary: `For ${uniqueTokens} tokens of ${vocabulary} kinds. ${recommendations.map(say).join("; ")}.`,
		sections: [
			recommended(recommendations),
			expected(recommendations, countingLoss(statistics)),
			...recommendations.map(size),
			published(laws),
			...corpusSections(statistics),
		],
		provenance,
		data: { ...plan, laws },
	};
}

function recommended(recommendations: readonly Recommendation[]): Section {
	const rows = recommendations.map(({ kind, parameters, steps, tokens, epochs, flops, seconds, loss }) => [
		...[kind, parameters, steps, tokens, epochs, flops / 1e12, seconds],
		...[loss.low, loss.middle, loss.high],
	]);
	const reasons = recommendations.map(({ kind, sizeBy, reasons: each }) =>
		[`**${kind}**, size ${sizeBy}:`, "", ...each.map((reason) => `- ${reason}`)].join("\n"),
	);
	return {
		title: "What to train",
		blocks: [
			{
				kind: "table",
				columns: [
					{ name: "model" },
					{ name: "parameters" },
					{ name: "steps" },
					{ name: "tokens" },
					{ name: "passes", digits: 1 },
					{ name: "training", unit: "TFLOP", digits: 1 },
					{ name: "time", unit: "s", digits: 0 },
					{ name: "loss, low", unit: "nats", digits: 3 },
					{ name: "middle", unit: "nats", digits: 3 },
					{ name: "high", unit: "nats", digits: 3 },
				],
				rows,
				caption: "Time by the speed measured here; loss carried on from two short runs here.",
			},
			{ kind: "text", markdown: reasons.join("\n\n") },
		],
	};
}

/** Points from which the expectation is drawn. */
const drawn = 17;

function expected(recommendations: readonly Recommendation[], counting: number | null): Section {
	const series = recommendations.flatMap(({ kind, calibration, steps }): Series[] => {
		const from = calibration[1].steps;
		const x = Array.from({ length: drawn }, (_, i) => from * (steps / from) ** (i / (drawn - 1)));
		const each = x.map((at) => expectLoss(calibration, at, counting));
		return [
			{
				...{ name: `${kind}, expected`, group: kind, x, y: each.map(({ middle }) => middle) },
				...{ low: each.map(({ low }) => low), high: each.map(({ high }) => high) },
			},
			{
				...{ name: `${kind}, short runs here`, group: kind, mark: "points" as const },
				...{ x: calibration.map((run) => run.steps), y: calibration.map(({ loss }) => loss) },
			},
		];
	});
	return {
		title: "What loss to expect",
		blocks: [
			{
				kind: "chart",
				chart: {
					kind: "xy",
					title: "Validation loss against the length of the run",
					x: { title: "steps of a run whose schedule ends there", scale: "log" },
					y: { title: "validation loss", unit: "nats per token" },
					series,
					rules: counting === null ? [] : [{ axis: "y", value: counting, label: "best n-gram model" }],
				},
				caption:
					"Band: what one doubling won is won again by each further one at most, and shrinks to half each time at least; from two doublings on it reaches below the best n-gram model of the text. It does not foresee memorising.",
			},
		],
	};
}

function size({ kind, sizes, parameters, sizeBy }: Recommendation): Section {
	const nearest = sizes.parameters.reduce(
		(best, each, i) =>
			Math.abs(Math.log(each / parameters)) < Math.abs(Math.log(sizes.parameters[best] / parameters)) ? i : best,
		0,
	);
	return {
		title: `Which size: ${kind}`,
		blocks: [
			{
				kind: "chart",
				chart: {
					kind: "xy",
					title: `Loss against size at ${(sizes.flops / 1e12).toFixed(1)} TFLOP, ${sizeBy}`,
					x: { title: "parameters", scale: "log" },
					y: { title: "loss of the law", unit: "nats per token" },
					series: [
						{ name: "law", x: sizes.parameters, y: sizes.loss, dashed: true },
						{ name: "recommended", x: [parameters], y: [sizes.loss[nearest]], mark: "points" },
					],
				},
				caption:
					sizeBy === "measured here"
						? "The law that the sweep measured on this text, of runs that read as much as the sweep's."
						: "Losses are those of the law's own corpus: only where they are lowest carries over.",
			},
		],
	};
}

function published([head, ...rows]: readonly (readonly string[])[]): Section {
	return {
		title: "Published laws at this compute",
		blocks: [
			{
				kind: "table",
				columns: head.map((name, i) => ({ name, align: i === 0 ? ("left" as const) : ("right" as const) })),
				rows,
				caption: "Borrowed: each of its own corpus and tokenizer.",
			},
		],
	};
}
