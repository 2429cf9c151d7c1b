/** What the two memory tasks share: the paper's model and recipe, its baselines and ablations. */
import type { ConfigInput } from "../../train/config.ts";
import type { Claim, StudyRun } from "../study.ts";
import { alphas, positions, randomWindows, windows } from "./ablations.ts";

/** Sizes of a budget. */
export interface RecallSizes {
	readonly task: "copy" | "selective-copy";
	readonly noise: number;
	/** Noise tokens that the curriculum starts with. */
	readonly start: number;
	readonly width: number;
	readonly heads: number;
	readonly window: number;
	/** Of the recurrent layer; default: absolute, as everywhere else. */
	readonly positions?: "absolute" | "window";
	/** Norm that gradients are clipped to; default: not at all, as in the paper. */
	readonly clip?: number;
	readonly batch: number;
	readonly steps: number;
	readonly evaluateEvery: number;
	readonly learningRate?: number;
	/** Ends a run: the published loss. */
	readonly targetLoss: number;
}

const seen = (values: Pick<RecallSizes, "task">) => (values.task === "copy" ? "learned:0.5" : 0.5);

/** Adam without clipping, noise doubled as the loss falls, then the rate with the loss. */
export function recallBase(sizes: RecallSizes): ConfigInput {
	const { task, noise, start, width, heads, window, batch, steps, evaluateEvery, targetLoss } = sizes;
	return {
		data: { task, noise },
		model: {
			layers: 1,
			width,
			heads,
			activation: "relu",
			dropout: 0.05,
			variant: "accumulate",
			window,
			alpha: seen(sizes),
			positions: sizes.positions ?? "absolute",
		},
		train: {
			batch,
			steps,
			targetLoss,
			optimizer: "adam",
			betas: [0.9, 0.999],
			clip: sizes.clip ?? 0,
			learningRate: sizes.learningRate ?? 5e-4,
			schedule: "recall",
			evaluateEvery,
			curriculum: { start, threshold: 0.3 },
		},
	};
}

/** Plain: without what only a recurrence has. */
const plain = { variant: "forget", alpha: 0, positions: "absolute" } as const;
const transformer = (layers: number): ConfigInput => ({ model: { ...plain, kind: "transformer", layers } });

/** The recurrent layer and what it is compared with. */
export function recallRuns(sizes: RecallSizes): StudyRun[] {
	return [
		{ label: "recurrent", title: `recurrent, accumulate, window ${sizes.window}`, group: "main", config: {} },
		{
			label: "transformer-1",
			title: "transformer, 1 layer (equal parameters)",
			group: "main",
			config: transformer(1),
		},
		{ label: "transformer-4", title: "transformer, 4 layers", group: "main", config: transformer(4) },
		{
			label: "transformer-1-flops",
			title: "transformer, 1 layer, equal FLOPs",
			group: "main",
			config: transformer(1),
			match: { flops: "recurrent" },
		},
		{
			label: "mingru",
			title: "minGRU, equal parameters",
			group: "main",
			config: { model: { ...plain, kind: "mingru" } },
			match: { parameters: "recurrent" },
		},
	];
}

/** Window, alpha, positions (and with them the lengths beyond training), random windows, curriculum off. */
export function recallAblations(sizes: RecallSizes, config: ConfigInput = {}): StudyRun[] {
	const beyond = [1, 2, 4];
	return [
		...windows(
			[1, 2, 4, 8, 16, 32, 64].filter((width) => width !== sizes.window),
			{ config },
		),
		randomWindows(`${sizes.window / 2}..${(3 * sizes.window) / 2}`, { config }),
		...alphas({ config }),
		...positions({ config }).map((run) => ({ ...run, lengths: beyond })),
		{
			label: "curriculum-off",
			title: "no curriculum: all noise from the start",
			group: "ablations",
			seeds: 1,
			config: { ...config, train: { ...config.train, curriculum: { start: null } } },
		},
	];
}

/** The recurrent layer against each baseline, by the best accuracy at full noise. */
export function recallComparisons(): Claim[] {
	const against = (run: string, what: string): Claim => ({
		text: `The recurrent layer has a lower loss at full noise than ${what}`,
		reading: { run: "recurrent", measure: "loss" },
		rule: { kind: "below", run },
	});
	return [
		against("transformer-1", "a transformer of as many parameters"),
		against("transformer-4", "a transformer of four layers"),
		against("transformer-1-flops", "a transformer given the same training FLOPs"),
		against("mingru", "a minGRU of as many parameters"),
	];
}
