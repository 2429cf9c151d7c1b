/** A corpus of the user's: the paper's recipe for large language models. */
import type { ConfigInput } from "../../train/config.ts";
import type { Claim, Study, StudyBudget, StudyRun } from "../study.ts";
import { alphas, positions, randomWindows, windows } from "./ablations.ts";

const transformer = (layers: number): ConfigInput => ({ model: { kind: "transformer", layers } });
const beyond = [1, 2, 4, 8, 16];

/** @param layers of the deep baseline */
function runs(layers: number, steps: number): StudyRun[] {
	const config: ConfigInput = { train: { steps } };
	return [
		{ label: "recurrent", title: "recurrent, window 32", group: "main", config: {} },
		{
			label: "transformer-1-flops",
			title: "transformer, 1 layer (equal parameters), equal FLOPs",
			group: "main",
			config: transformer(1),
			match: { flops: "recurrent" },
		},
		{
			label: `transformer-${layers}-flops`,
			title: `transformer, ${layers} layers, equal FLOPs`,
			group: "main",
			config: transformer(layers),
			match: { flops: "recurrent" },
		},
		{
			label: "mingru",
			title: "minGRU, equal parameters and tokens",
			group: "main",
			config: { model: { kind: "mingru" } },
			match: { parameters: "recurrent" },
		},
		...windows([1, 2, 4, 8, 16, 64], { config }),
		randomWindows("16..48", { config }),
		...alphas({ config }),
		...positions({ config }).map((run) => ({ ...run, lengths: beyond })),
	];
}

function claims(layers: number): Claim[] {
	const against = (run: string, what: string): Claim => ({
		text: `The recurrent layer has a lower loss than ${what}`,
		reading: { run: "recurrent", measure: "loss" },
		rule: { kind: "below", run },
	});
	return [
		against("transformer-1-flops", "a transformer of one such layer given the same training FLOPs"),
		against(`transformer-${layers}-flops`, `a transformer of ${layers} such layers given the same training FLOPs`),
		against("mingru", "a minGRU of as many parameters after as many tokens"),
		against("ngram", "the interpolated n-gram model of the same text"),
	];
}

const recipe = { schedule: "loss" } as const;

const quick: StudyBudget = {
	note:
		"2,048 byte pairs of the text instead of GPT-2's 50,257 tokens, whose head would be nine tenths of the work; width 128, 4 heads, " +
		"sequences of 256, batch 16, 400 steps (1.6 M tokens); the schedule aims at 3.0 nats and starts from 1e-3. About 9 minutes on 2 cores.",
	seeds: 3,
	base: {
		data: { task: "text", tokenizer: "bpe", vocabulary: 2048, length: 256 },
		model: { width: 128, heads: 4, layers: 1, window: 32 },
		train: {
			...recipe,
			batch: 16,
			steps: 400,
			learningRate: 1e-3,
			minLearningRate: 1e-4,
			scheduleTarget: 3,
			evaluateEvery: 50,
			evaluateBatches: 16,
		},
	},
	runs: runs(4, 200),
	claims: claims(4),
	ngramOrder: 4,
};

const paper: StudyBudget = {
	note:
		"the paper's model and recipe: GPT-2 tokens, sequences of 1024, window 32, width 768, 12 heads, batch 12, rate clip(6e-4 (1 - exp(3.3 - loss)), " +
		"6e-5, 6e-4); 20,000 steps (246 M tokens) and one seed. Meant for a faster backend.",
	seeds: 1,
	base: {
		data: { task: "text", tokenizer: "gpt2", length: 1024 },
		model: { width: 768, heads: 12, layers: 1, window: 32 },
		train: {
			...recipe,
			batch: 12,
			steps: 20_000,
			learningRate: 6e-4,
			minLearningRate: 6e-5,
			scheduleTarget: 3.3,
			evaluateEvery: 500,
			evaluateBatches: 100,
		},
	},
	runs: runs(12, 5000),
	claims: claims(12),
	ngramOrder: 4,
};

export const language: Study = {
	name: "language",
	title: "A corpus of your own",
	question: "Does one recurrent layer model a corpus as well as transformers given the same training FLOPs?",
	subject: "recurrent",
	needs: "text",
	budgets: { quick, paper },
};
