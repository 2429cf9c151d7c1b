/** Some text of a model while it trains, for samples.txt. */
import type { PreparedText } from "../data/index.ts";
import { createRuntime } from "../engine/backends/index.ts";
import type { Learner } from "../train/learner.ts";
import type { Subject } from "../train/prepare.ts";
import { generate } from "./generate.ts";
import { Stream } from "./stream.ts";

const length = 240;

/** What a text begins with: the validation text's first character or token. */
function beginning({ tokenizer, validation }: PreparedText): string {
	const first = new Int32Array(1);
	validation.read(0, 1, first);
	return tokenizer.decode(first);
}

/** The weights are copied: training is not disturbed. Empty where the task is no text. */
export async function sampleText(learner: Learner, { text }: Subject): Promise<string> {
	if (!text) return "";
	const stream = new Stream(learner.model, await createRuntime(learner.session.runtime.backend, { threads: 1 }));
	try {
		for (const { name } of learner.model.parameters)
			stream.session.writeParameter(name, learner.session.readParameter(name));
		let sample = "";
		for (const piece of generate(stream, text.tokenizer, beginning(text), {
			tokens: Math.min(length, stream.limit - 1),
			seed: 1,
		}))
			sample += piece.text;
		return sample;
	} finally {
		await stream.close();
	}
}
