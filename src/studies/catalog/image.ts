/** Gray CIFAR-10 as a sequence of 1024 pixels: the long-range task of the paper. */
import type { ConfigInput } from "../../train/config.ts";
import type { Claim, Study, StudyBudget, StudyRun } from "../study.ts";
import { alphas, positions, windows } from "./ablations.ts";

const source = "arXiv 2402.14746, table of results";

/** Plain: without what only a recurrence has. */
const plain = { variant: "forget", alpha: 0 } as const;
const transformer = (layers: number): ConfigInput => ({ model: { ...plain, kind: "transformer", layers } });

const base: ConfigInput = {
	data: { task: "image" },
	model: {
		variant: "accumulate",
		alpha: "learned:0.5",
		width: 32,
		heads: 4,
		layers: 1,
		window: "16..48",
		activation: "relu",
		dropout: 0.05,
		tied: false,
	},
	train: { optimizer: "adam", betas: [0.9, 0.999], clip: 0, learningRate: 5e-4 },
};

const recurrent: StudyRun = {
	label: "recurrent",
	title: "recurrent, random windows 16 to 48",
	group: "main",
	config: {},
};

const mingru: StudyRun = {
	label: "mingru",
	title: "minGRU, equal parameters",
	group: "main",
	config: { model: { ...plain, kind: "mingru" } },
	match: { parameters: "recurrent" },
};

const equalWork = (layers: number): StudyRun => ({
	label: `transformer-${layers}-flops`,
	title: `transformer, ${layers} ${layers === 1 ? "layer (equal parameters)" : "layers"}, equal FLOPs`,
	group: "main",
	config: transformer(layers),
	match: { flops: "recurrent" },
});

const main: StudyRun[] = [
	recurrent,
	{ label: "transformer-4", title: "transformer, 4 layers", group: "main", config: transformer(4) },
	{ label: "transformer-1", title: "transformer, 1 layer (equal parameters)", group: "main", config: transformer(1) },
	equalWork(4),
	mingru,
];

/** Fixed windows stand beside the random ones of the main run. */
function ablations(config: ConfigInput): StudyRun[] {
	return [...windows([1, 2, 4, 8, 16, 32, 64], { config }), ...alphas({ config }), ...positions({ config })];
}

const better = (run: string, what: string): Claim => ({
	text: `The recurrent layer has a lower loss than ${what}`,
	reading: { run: "recurrent", measure: "loss" },
	rule: { kind: "below", run },
});

const comparisons: Claim[] = [
	better("transformer-1", "a transformer of as many parameters"),
	better("transformer-4", "a transformer of four layers after as many images"),
	better("transformer-4-flops", "a transformer of four layers given the same training FLOPs"),
	better("mingru", "a minGRU of as many parameters"),
];

const quickSteps = 1500;

const quick: StudyBudget = {
	note:
		"the paper's model, but 1,500 steps of 16 images (24,000 images instead of 600,000 and more), rate 1e-3 with gradients clipped, validated on 512 images, " +
		"two seeds, transformers at equal FLOPs only: the first minutes of learning, far from the published accuracy. About 10 minutes on 2 cores.",
	seeds: 2,
	base: {
		...base,
		train: {
			...base.train,
			learningRate: 1e-3,
			clip: 1,
			batch: 16,
			steps: quickSteps,
			evaluateEvery: 100,
			evaluateBatches: 32,
		},
	},
	runs: [recurrent, equalWork(1), equalWork(4), mingru, ...ablations({ train: { steps: 200 } })],
	claims: [
		better("transformer-1-flops", "a transformer of as many parameters given the same training FLOPs"),
		better("transformer-4-flops", "a transformer of four layers given the same training FLOPs"),
		better("mingru", "a minGRU of as many parameters"),
	],
};

const paper: StudyBudget = {
	note: "the paper's sizes: width 32, 4 heads, random windows 16 to 48, batch 120, 15,000 steps (36 passes over the training images), three seeds.",
	seeds: 3,
	base: { ...base, train: { ...base.train, batch: 120, steps: 15_000, evaluateEvery: 250 } },
	runs: [...main, ...ablations({ train: { steps: 5000 } })],
	claims: [
		{
			text: "The model has no more parameters than the paper's",
			reading: { run: "recurrent", measure: "parameters" },
			// Printed as 53.6 K: the weights are 53,664, and alpha is one more.
			rule: { kind: "at-most", value: 53_700 },
			published: 53_600,
			source,
		},
		{
			text: "The recurrent layer reaches the published accuracy",
			reading: { run: "recurrent", measure: "accuracy" },
			rule: { kind: "at-least", value: 0.4309 },
			published: 0.4309,
			source,
		},
		{
			text: "The transformer of four layers reaches the published accuracy",
			reading: { run: "transformer-4", measure: "accuracy" },
			rule: { kind: "at-least", value: 0.429 },
			published: 0.429,
			source,
		},
		{
			text: "The recurrent layer's loss is no higher than published",
			reading: { run: "recurrent", measure: "loss" },
			rule: { kind: "at-most", value: 1.631 },
			published: 1.631,
			source,
		},
		...comparisons,
	],
};

export const image: Study = {
	name: "image",
	title: "Pictures as pixels",
	question: "Can one small recurrent layer tell what a picture shows, read as a sequence of 1024 pixels?",
	subject: "recurrent",
	needs: "images",
	budgets: { quick, paper },
};
