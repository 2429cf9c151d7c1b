/**
 * The schema of a run's configuration: every key with its meaning, default and unit. Flags, files, saved runs, help and
 * docs/configuration.md are derived from it. How layers of values become one Config is in config-resolve.ts.
 */
import { z } from "zod";

/** What the schema says about a key beside its type. */
export interface KeyMeta {
	readonly description: string;
	readonly unit?: string;
	/** Shown by `--help`; the rest only by `--help-all`. */
	readonly common?: boolean;
	/** May differ between a run and its resumption: it changes when or where work is done, not what is computed. */
	readonly resumable?: boolean;
	/** The default in words, where it depends on other keys (`deriveDefaults` in config-resolve.ts fills it in). */
	readonly derived?: string;
	/** The accepted values in words, where the type alone does not say it. */
	readonly expects?: string;
}

/** Attach the meaning of a key; last in the chain, since wrapping a zod schema drops what it carried. */
function key<T extends z.ZodType>(schema: T, meta: KeyMeta): T {
	return schema.meta({ ...meta });
}

const count = (minimum: number) => z.int().min(minimum);
const positive = z.number().positive();
const fraction = z.number().min(0).lt(1);
/** One name or several; always a list once parsed. */
const names = z.union([
	z
		.string()
		.min(1)
		.transform((name) => [name]),
	z.array(z.string().min(1)),
]);
const orNone = <T extends z.ZodType>(schema: T) => schema.nullable().default(null);

const data = z.strictObject({
	path: key(names.default([]), {
		description:
			"text to learn from: files, folders, globs, or - for standard input; for images the folder or archive of the data set",
		expects: "a path or several",
		common: true,
	}),
	validation: key(names.default([]), {
		description: "text to validate on; without it a share of data.path is kept apart (data.split)",
		expects: "a path or several",
	}),
	split: key(z.number().positive().lt(1).default(0.1), {
		description: "share of the text kept for validation, taken from its end",
	}),
	limit: key(orNone(count(2)), {
		description: "use only so much of the training part, from its beginning; what is validated on stays the same",
		unit: "tokens",
	}),
	task: key(z.enum(["text", "tales", "copy", "selective-copy", "image"]).default("text"), {
		description: "what is learned: your text, the built-in tales, one of the memory tasks, or classes of images",
		common: true,
	}),
	noise: key(
		count(0)
			.max(1 << 20)
			.default(4096),
		{
			description: "noise tokens of the copy tasks, between what is to be remembered and the recall",
			unit: "tokens",
		},
	),
	tokenizer: key(z.enum(["char", "byte", "gpt2", "bpe"]).default("char"), {
		description: "characters, bytes, GPT-2's vocabulary, or byte pairs learned from the corpus",
		common: true,
	}),
	vocabulary: key(
		count(257)
			.max(1 << 20)
			.default(1024),
		{
			description: "size of the vocabulary that tokenizer bpe learns",
			unit: "tokens",
		},
	),
	length: key(count(1).max(1 << 24), {
		description: "sequence length N of a training example",
		unit: "tokens",
		derived: "256; noise + 32 for the copy tasks, 1024 for images",
		common: true,
	}),
});

const model = z.strictObject({
	kind: key(z.enum(["recurrent", "transformer", "mingru"]).default("recurrent"), {
		description: "architecture: the recurrent transformer, or its baselines: the plain one, or a minGRU",
		common: true,
	}),
	variant: key(z.enum(["forget", "accumulate"]).default("forget"), {
		description: "recurrence: forget for language, accumulate for long-range memory",
		common: true,
	}),
	width: key(
		count(1)
			.max(1 << 16)
			.default(128),
		{ description: "embedding width C", common: true },
	),
	heads: key(
		count(1)
			.max(1 << 12)
			.default(4),
		{ description: "attention heads H; divides the width", common: true },
	),
	layers: key(count(1).max(1024).default(1), { description: "layers L", common: true }),
	window: key(z.union([count(1).max(1 << 20), z.string().regex(/^[1-9]\d{0,6}\.\.[1-9]\d{0,6}$/)]).default(16), {
		description: "window w; a range is drawn from anew at each step, its mean used in evaluation",
		unit: "tokens",
		expects: "an integer >= 1 or a range such as 16..48",
		common: true,
	}),
	alpha: key(z.union([z.number().min(0).max(1), z.string().regex(/^learned(:(0(\.\d+)?|1(\.0+)?|\.\d+))?$/)]), {
		description: "share of the past that accumulate carries along, fixed or learned from a first value",
		expects: "a number in [0, 1], learned, or learned:0.5",
		derived: "learned:0.5 for accumulate, 0 for forget",
		common: true,
	}),
	positions: key(z.enum(["absolute", "window", "none"]).default("absolute"), {
		description: "learned positions: absolute (bounds the length), relative to the window, or none",
		common: true,
	}),
	expansion: key(positive.max(64).default(2), {
		description: "state columns of a minGRU, over the width",
	}),
	activation: key(z.enum(["gelu", "relu"]).default("gelu"), { description: "activation of the MLP", common: true }),
	bias: key(z.boolean().default(false), { description: "biases in linear layers and norms", common: true }),
	dropout: key(fraction.default(0), { description: "dropout probability", common: true }),
	tied: key(z.boolean().default(true), { description: "the output head shares the embedding's weights" }),
	form: key(z.enum(["fast", "naive"]).default("fast"), {
		description: "how the recurrence is computed; naive follows the equations and is for checking",
	}),
});

const curriculum = z.strictObject({
	start: key(orNone(count(1)), {
		description: "noise tokens to begin with; doubled up to data.noise as learning goes on",
		unit: "tokens",
		expects: "an integer >= 1, or none for full length from the start",
	}),
	threshold: key(positive.default(0.3), {
		description: "validation loss under which the noise is doubled",
		unit: "nats",
	}),
});

const budget = (unit: string, rest: Partial<KeyMeta> = {}) => ({
	description: `stop after so many ${unit}; the first budget that is spent ends the run`,
	unit,
	resumable: true,
	...rest,
});

const train = z.strictObject({
	batch: key(
		count(1)
			.max(1 << 20)
			.default(32),
		{ description: "sequences per batch B", common: true },
	),
	accumulate: key(
		count(1)
			.max(1 << 16)
			.default(1),
		{ description: "batches whose gradients make one step" },
	),
	slices: key(
		count(1)
			.max(1 << 16)
			.default(8),
		{
			description:
				"most parts a batch is cut into for the threads; fixes the order of sums, which the thread count does not",
		},
	),
	steps: key(
		count(1).nullable(),
		budget("steps", { derived: "1000, or none where another budget is set", common: true }),
	),
	tokens: key(orNone(positive), budget("tokens")),
	flops: key(orNone(positive), budget("FLOPs")),
	seconds: key(orNone(positive), budget("seconds", { common: true })),
	targetLoss: key(orNone(z.number()), {
		description: "stop once the validation loss is at or under this",
		unit: "nats",
		resumable: true,
		common: true,
	}),
	optimizer: key(z.enum(["adamw", "adam"]).default("adamw"), { description: "optimiser" }),
	learningRate: key(positive.default(1e-3), { description: "highest learning rate", common: true }),
	minLearningRate: key(z.number().min(0), {
		description: "lowest learning rate of the cosine, loss and recall schedules",
		derived: "a tenth of the learning rate; 0 for schedule recall",
	}),
	schedule: key(z.enum(["constant", "cosine", "loss", "recall"]).default("constant"), {
		description: "learning rate over the run; loss and recall follow the validation loss",
		common: true,
	}),
	scheduleTarget: key(orNone(z.number()), {
		description: "validation loss at which schedule loss reaches its lowest rate",
		unit: "nats",
	}),
	warmup: key(count(0).default(0), { description: "steps of linear warm-up", unit: "steps" }),
	weightDecay: key(z.number().min(0), {
		description: "decoupled weight decay of adamw, on tensors of two or more dimensions",
		derived: "0.1 for adamw, 0 for adam",
		common: true,
	}),
	betas: key(z.tuple([fraction, fraction]).default([0.9, 0.95]), {
		description: "decay rates of the two moments",
		expects: "two numbers in [0, 1) such as 0.9,0.95",
	}),
	epsilon: key(positive.default(1e-8), { description: "term that keeps the optimiser's division finite" }),
	clip: key(z.number().min(0).default(1), {
		description: "largest global norm of the gradient; 0 does not clip",
		common: true,
	}),
	ema: key(fraction.default(0), {
		description:
			"decay rate of an exponential moving average of the weights, such as 0.998; where it is kept it is what is " +
			"evaluated, sampled and saved as the model",
		common: true,
	}),
	evaluateEvery: key(count(1).default(100), {
		description: "steps between evaluations",
		unit: "steps",
		resumable: true,
		common: true,
	}),
	evaluateBatches: key(count(1).nullable(), {
		description: "batches per evaluation, or none for the whole validation split",
		derived: "none; 4 for the copy tasks",
		resumable: true,
	}),
	saveEvery: key(count(1), {
		description: "steps between checkpoints",
		unit: "steps",
		derived: "evaluate-every",
		resumable: true,
	}),
	keep: key(count(1).max(1000).default(2), {
		description: "newest checkpoints kept, beside the best one",
		resumable: true,
	}),
	recompute: key(z.union([z.enum(["auto", "off"]), count(1).max(1 << 24)]).default("auto"), {
		description:
			"windows whose activations are computed again in the backward pass instead of stored; auto when memory is short",
		unit: "windows",
		expects: "auto, off, or an integer >= 1",
	}),
	memory: key(positive.default(1500), {
		description: "memory for activations above which recompute auto turns on",
		unit: "MB",
	}),
	curriculum: curriculum.prefault({}),
});

/** The one description of a configuration: flags, files, messages and docs are derived from it. */
/** Of a GPU's products; docs/engine.md says what each means. */
export const precisions = ["auto", "fp32", "tf32", "bf16", "fp16"] as const;

export const configSchema = z.strictObject({
	preset: key(orNone(z.string()), {
		description: "named set of values to start from: quick, shakespeare, copy, selective-copy, image",
		resumable: true,
		common: true,
	}),
	seed: key(z.int().min(0).max(0xffffffff).default(1), { description: "of all random numbers", common: true }),
	threads: key(orNone(count(1).max(1024)), {
		description: "worker threads, or none for all cores",
		resumable: true,
		common: true,
	}),
	backend: key(z.enum(["auto", "cuda", "native", "wasm", "reference"]).default("auto"), {
		description: "engine backend; auto takes the fastest that works here",
		resumable: true,
		common: true,
	}),
	precision: key(z.enum(precisions).default("auto"), {
		description:
			"how a GPU reads operands of matrix products; sums and all else stay in fp32; fp16: tf32's digits at bf16's speed, " +
			"the loss scaled by a power of two that keeps gradients in its range; auto: fp16 there, with tf32 for steps that leave " +
			"its range, fp32 elsewhere",
		resumable: true,
	}),
	run: key(orNone(z.string().min(1)), {
		description: "folder of the run, or none for runs/NAME-1, runs/NAME-2, ...",
		resumable: true,
		common: true,
	}),
	resume: key(z.string().min(1).default("never"), {
		description: "go on from a checkpoint: never, auto (the newest of the run), or the folder of a run or checkpoint",
		resumable: true,
		common: true,
	}),
	json: key(z.boolean().default(false), {
		description: "end with one line of JSON on standard output; progress goes to standard error",
		resumable: true,
		common: true,
	}),
	data,
	model,
	train,
});

/** A complete configuration: every key has a value. */
export type Config = z.output<typeof configSchema>;

type Loose<T> = T extends readonly unknown[] ? T | T[number] : T extends object ? { [K in keyof T]?: Loose<T[K]> } : T;
/** Any part of a configuration, as code writes it. */
export type ConfigInput = Loose<Config>;

/** The window as numbers. Training draws from `from`..`to`, evaluation uses the mean. */
export function windowRange(window: Config["model"]["window"]): { from: number; to: number; mean: number } {
	const [from, to] = typeof window === "number" ? [window, window] : window.split("..").map(Number);
	return { from, to, mean: Math.round((from + to) / 2) };
}

/** Alpha as a first value and whether it is learned. */
export function alphaSetting(alpha: Config["model"]["alpha"]): { learned: boolean; value: number } {
	if (typeof alpha === "number") return { learned: false, value: alpha };
	return { learned: true, value: alpha === "learned" ? 0.5 : Number(alpha.slice("learned:".length)) };
}

/** Whether examples come from one of the generated memory tasks, with their own symbols instead of a tokenizer. */
export function isCopyTask(task: Config["data"]["task"]): boolean {
	return task === "copy" || task === "selective-copy";
}
