/** The copy task: 16 symbols to be given back after a stretch of noise. */
import type { Claim, Study } from "../study.ts";
import { type RecallSizes, recallAblations, recallBase, recallComparisons, recallRuns } from "./recall.ts";

const source = "arXiv 2402.14746, table of results";

const quickSizes: RecallSizes = {
	task: "copy",
	noise: 256,
	start: 32,
	width: 96,
	heads: 6,
	window: 32,
	batch: 32,
	steps: 500,
	evaluateEvery: 20,
	targetLoss: 0.05,
};

const paperSizes: RecallSizes = {
	...quickSizes,
	noise: 4096,
	start: 128,
	batch: 64,
	steps: 1800,
	targetLoss: 0.006,
};

/** What 100 % means with 4096 markers in the validation split. */
const all = 0.9995;

const accuracy: Claim = {
	text: "All symbols are recalled at full noise",
	reading: { run: "recurrent", measure: "accuracy" },
	rule: { kind: "at-least", value: all },
	published: 1,
	source,
};

const paperClaims: Claim[] = [
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
		text: "That takes no more samples than the paper's",
		reading: { run: "recurrent", measure: "samples", untilAccuracy: all },
		rule: { kind: "at-most", value: 57_600 },
		published: 57_600,
		source,
	},
	{
		text: "That takes no more training FLOPs, counted exactly, than the paper gives",
		reading: { run: "recurrent", measure: "flops", untilAccuracy: all },
		rule: { kind: "at-most", value: 1.32e13 },
		published: 1.32e13,
		source,
	},
	...recallComparisons(),
];

export const copy: Study = {
	name: "copy",
	title: "Copy",
	question: "Can one recurrent layer carry 16 symbols through noise far longer than its window?",
	subject: "recurrent",
	needs: null,
	budgets: {
		quick: {
			note:
				"256 noise tokens, from 32 on, instead of 4096 from 128 on; batch 32, at most 500 steps (16,000 samples). Eight windows instead " +
				"of 129: the state still has to carry the symbols. About 7 minutes on 2 cores.",
			seeds: 3,
			base: recallBase(quickSizes),
			runs: [...recallRuns(quickSizes), ...recallAblations(quickSizes)],
			claims: [{ ...accuracy, published: undefined, source: undefined }, ...recallComparisons()],
		},
		paper: {
			note: "the paper's sizes: 4096 noise tokens from 128 on, width 96, 6 heads, window 32, batch 64; at most 115,200 samples, three seeds.",
			seeds: 3,
			base: recallBase(paperSizes),
			runs: [...recallRuns(paperSizes), ...recallAblations(paperSizes)],
			claims: paperClaims,
		},
	},
};
