/** The selective copy task: 16 symbols at random places among the noise, to be given back in order. */
import type { Claim, Study, StudyRun } from "../study.ts";
import { type RecallSizes, recallAblations, recallBase, recallComparisons, recallRuns } from "./recall.ts";

const source = "arXiv 2402.14746, table of results";

const quickSizes: RecallSizes = {
	task: "selective-copy",
	noise: 16,
	start: 16,
	width: 96,
	heads: 6,
	window: 8,
	positions: "window",
	clip: 1,
	batch: 32,
	steps: 900,
	evaluateEvery: 50,
	learningRate: 1e-3,
	targetLoss: 0.05,
};

const paperSizes: RecallSizes = {
	...quickSizes,
	noise: 4096,
	start: 128,
	window: 32,
	batch: 64,
	steps: 20_000,
	positions: "absolute",
	clip: 0,
	learningRate: 5e-4,
	targetLoss: 0.022,
};

const accuracy: Claim = {
	text: "At full noise 99.6 % of the symbols are recalled",
	reading: { run: "recurrent", measure: "accuracy" },
	rule: { kind: "at-least", value: 0.996 },
	published: 0.996,
	source,
};

/**
 * The recipe's gradients are near 10 and now and then above 1,000, which undoes what was learned; with dropout the symbols that are dropped
 * bound what can be. The full length is not learned before the rate is about 1e-4 and falling: a cosine over more steps, or from a higher
 * rate, only waits longer for that.
 */
const steady: StudyRun = {
	label: "recurrent-steady",
	title: "recurrent, no dropout, gradients clipped at 1, rate by a cosine",
	group: "main",
	config: {
		model: { dropout: 0 },
		train: {
			steps: 14_000,
			clip: 1,
			learningRate: 4e-4,
			schedule: "cosine",
			minLearningRate: 4e-6,
			curriculum: { start: 128, threshold: 0.2 },
		},
	},
};

export const selectiveCopy: Study = {
	name: "selective-copy",
	title: "Selective copy",
	question: "Can one recurrent layer pick 16 symbols out of noise and give them back in order?",
	subject: "recurrent",
	needs: null,
	budgets: {
		quick: {
			note:
				"16 noise tokens instead of 4096, windows of 8 with positions within them instead of 32; rate 1e-3, gradients clipped, at most 900 " +
				"steps of 32 (28,800 samples instead of 1.11 M): enough to see that it is learned, not to learn it. About 4 minutes on 2 cores.",
			seeds: 3,
			base: recallBase(quickSizes),
			runs: [...recallRuns(quickSizes), ...recallAblations(quickSizes)],
			claims: [
				{
					text: "A quarter of the symbols are recalled, where guessing gives one in fourteen",
					reading: { run: "recurrent", measure: "accuracy" },
					rule: { kind: "at-least", value: 0.25 },
				},
				...recallComparisons(),
			],
		},
		paper: {
			note: "the paper's sizes: 4096 noise tokens from 128 on, width 96, 6 heads, window 32, alpha 0.5, batch 64; at most 1.28 M samples (896,000 trained steadily), three seeds.",
			seeds: 3,
			base: recallBase(paperSizes),
			runs: [...recallRuns(paperSizes), steady, ...recallAblations(paperSizes)],
			claims: [
				{
					text: "The model has no more parameters than the paper's",
					reading: { run: "recurrent", measure: "parameters" },
					// Printed as 508.7 K.
					rule: { kind: "at-most", value: 508_800 },
					published: 508_700,
					source,
				},
				accuracy,
				{
					...accuracy,
					text: `${accuracy.text}, trained steadily`,
					reading: { run: steady.label, measure: "accuracy" },
				},
				{
					text: "That takes no more samples than the paper's",
					reading: { run: "recurrent", measure: "samples", untilAccuracy: 0.996 },
					rule: { kind: "at-most", value: 1_110_000 },
					published: 1_110_000,
					source,
				},
				...recallComparisons(),
			],
		},
	},
};
