/** Named starting points. A preset is only values: a file and flags override any of them. */
import { RivuletError } from "../base/errors.ts";
import { nearest } from "../base/nearest.ts";
import type { ConfigInput } from "./config.ts";

/** What `npm start` runs: a small model on the built-in tales, a few minutes on two cores. */
const quick: ConfigInput = {
	data: { task: "tales", tokenizer: "char", length: 128 },
	// Positions within the window, so that generated text may be of any length.
	model: { width: 128, heads: 4, window: 16, positions: "window" },
	train: {
		batch: 32,
		learningRate: 2e-3,
		schedule: "cosine",
		warmup: 50,
		steps: 1000,
		seconds: 120,
		evaluateEvery: 100,
	},
};

/** Characters of tiny Shakespeare, as the paper trains them (arXiv 2402.14746). The text is the user's: --data.path FILE. */
const shakespeare: ConfigInput = {
	data: { task: "text", tokenizer: "char", length: 256 },
	model: { width: 384, heads: 6, layers: 1, window: 16, dropout: 0.2 },
	train: { batch: 64, steps: 10_000, learningRate: 1e-3, evaluateEvery: 250 },
};

/** What the two memory tasks share: Adam without clipping, noise doubled as the loss falls, then the rate with the loss. */
const recall: ConfigInput = {
	data: { noise: 4096 },
	model: { variant: "accumulate", width: 96, heads: 6, layers: 1, window: 32, activation: "relu", dropout: 0.05 },
	train: {
		batch: 64,
		steps: 20_000,
		optimizer: "adam",
		betas: [0.9, 0.999],
		clip: 0,
		learningRate: 5e-4,
		schedule: "recall",
		evaluateEvery: 50,
		curriculum: { start: 128, threshold: 0.3 },
	},
};

/** Gray CIFAR-10 pixel by pixel (paper.md section 2). The images are the user's: --data.path FOLDER. */
const image: ConfigInput = {
	data: { task: "image", length: 1024 },
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
	train: {
		batch: 120,
		steps: 5000,
		optimizer: "adam",
		betas: [0.9, 0.999],
		clip: 0,
		learningRate: 5e-4,
		evaluateEvery: 500,
	},
};

const presets: Readonly<Record<string, ConfigInput>> = {
	quick,
	shakespeare,
	image,
	copy: { ...recall, data: { ...recall.data, task: "copy" }, model: { ...recall.model, alpha: "learned:0.5" } },
	"selective-copy": {
		...recall,
		data: { ...recall.data, task: "selective-copy" },
		model: { ...recall.model, alpha: 0.5 },
	},
};

/** Names that `preset` takes. */
export const presetNames: readonly string[] = Object.keys(presets);

/** The values of a preset. */
export function findPreset(name: string): ConfigInput {
	if (Object.hasOwn(presets, name)) return presets[name];
	const suggestion = nearest(name, presetNames);
	throw new RivuletError("unknown-preset", `unknown preset "${name}"`, {
		hint: suggestion ? `did you mean ${suggestion}?` : `there are ${presetNames.join(", ")}`,
		exitStatus: 2,
	});
}
