/** What a trained model does, shown: text it wrote, symbols it recalled, images it named. */
import { cifarClasses } from "../data/index.ts";
import { createRuntime } from "../engine/backends/index.ts";
import { createModel } from "../models/index.ts";
import type { Block, Section } from "../report/index.ts";
import type { EvaluationBatch } from "../train/evaluate.ts";
import { Learner } from "../train/learner.ts";
import { learnerOptions, modelConfig, openSubject, type Subject } from "../train/prepare.ts";
import { RunFolder } from "../train/run.ts";
import { loadWeights } from "../train/weights.ts";

export const sampleTitle = "A sample";
export const examplesTitle = "Examples of the validation split";

const shown = 12;

/** A section of examples of the run's best weights. */
export async function exampleSection(path: string): Promise<Section[]> {
	const run = RunFolder.open(path);
	const subject = await openSubject(run.config);
	if (subject.text) {
		const sample = run
			.readSamples()
			.split(/^=== step \d+ ===$/m)
			.at(-1)
			?.trim();
		if (!sample) return [];
		return [
			{
				title: sampleTitle,
				blocks: [{ kind: "code", text: sample, caption: "What the model wrote at its last evaluation." }],
			},
		];
	}
	const { data, train } = run.config;
	const [batch] = subject.evaluationBatches(Math.min(shown, train.batch), 1, data.noise).batches;
	const guesses = await predict(run, subject, batch);
	const block = subject.outputs.kind === "class" ? images(batch, guesses) : recalls(batch, guesses);
	return [{ title: examplesTitle, blocks: [block] }];
}

/** The likeliest class at every output. */
async function predict(run: RunFolder, subject: Subject, batch: EvaluationBatch): Promise<Int32Array> {
	const { config } = run;
	const model = createModel(modelConfig(config, subject));
	const { tensors } = await run.loadCheckpoint(run.best() === undefined ? "last" : "best", { optimizer: false });
	const runtime = await createRuntime("auto", { threads: 1 });
	const learner = new Learner(model, runtime, learnerOptions(config));
	try {
		loadWeights(learner.session, model, tensors, run.path);
		const length = batch.ids.length / batch.sequences;
		const { logits } = await learner.evaluate({ ...batch, length }, { logits: true });
		const columns = logits.length / batch.targets.length;
		return Int32Array.from(batch.targets, (_, row) => largest(logits.subarray(row * columns, (row + 1) * columns)));
	} finally {
		await learner.session.close();
	}
}

function largest(values: Float32Array): number {
	let best = 0;
	for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
	return best;
}

/** Symbols asked for, and given back. */
function recalls({ targets, sequences }: EvaluationBatch, guesses: Int32Array): Block {
	const count = targets.length / sequences;
	const letters = (symbols: Int32Array) => [...symbols].map((symbol) => symbol.toString(16)).join(" ");
	const lines = Array.from({ length: sequences }, (_, b) => {
		const [asked, given] = [targets, guesses].map((symbols) => symbols.subarray(b * count, (b + 1) * count));
		const right = asked.reduce((sum, symbol, i) => sum + (symbol === given[i] ? 1 : 0), 0);
		return `asked ${letters(asked)}\ngiven ${letters(given)}   ${right} of ${count}`;
	});
	return { kind: "code", text: lines.join("\n\n"), caption: "Symbols in hexadecimal." };
}

/** Pixels are the tokens: 1024 of CIFAR-10, 784 of MNIST, whose classes are their own names. */
function images({ ids, targets, sequences }: EvaluationBatch, guesses: Int32Array): Block {
	const pixels = ids.length / sequences;
	const side = Math.round(Math.sqrt(pixels));
	const name = (label: number) => (pixels === 1024 ? cifarClasses[label] : String(label));
	return {
		kind: "chart",
		chart: {
			kind: "images",
			title: "Images and what they were taken for",
			width: side,
			height: side,
			items: Array.from({ length: sequences }, (_, b) => ({
				pixels: Uint8Array.from(ids.subarray(b * pixels, (b + 1) * pixels)),
				label: guesses[b] === targets[b] ? name(guesses[b]) : `${name(guesses[b])} (${name(targets[b])})`,
				good: guesses[b] === targets[b],
			})),
		},
		caption: "The model's answer; in brackets what is right, where that is something else.",
	};
}
