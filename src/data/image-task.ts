/** Images as sequences of pixels: tokens 0 to 255, row by row; the class is read at the last one. */
import { RandomSequence } from "../base/random.ts";
import type { ImageData, ImageSet } from "./images/image-set.ts";
import { type Batch, type EvaluationBatch, randomStreams, sequenceIndex, type Task } from "./task.ts";

/** Classification of gray images; validation is the data set's test split. */
export class ImageTask implements Task {
	readonly vocabularySize = 256;
	readonly length: number;
	readonly outputs = "class";
	readonly outputLength = 1;
	readonly classes: number;
	readonly data: ImageData;

	constructor(data: ImageData) {
		this.data = data;
		this.length = data.train.width * data.train.height;
		this.classes = data.train.classes;
	}

	/** Images drawn uniformly, with replacement. */
	trainBatch(seed: number | bigint, step: number, batch: number): Batch {
		const { train } = this.data;
		const ids = new Int32Array(batch * this.length);
		const targets = new Int32Array(batch);
		for (let b = 0; b < batch; b++) {
			const random = new RandomSequence(seed, randomStreams.images, sequenceIndex(step, b));
			this.#fill(train, random.below(train.count), ids, targets, b);
		}
		return { ids, targets };
	}

	*evaluationBatches(batch: number): Generator<EvaluationBatch> {
		const { validation } = this.data;
		for (let first = 0; first < validation.count; first += batch) {
			const sequences = Math.min(batch, validation.count - first);
			const ids = new Int32Array(batch * this.length);
			const targets = new Int32Array(batch).fill(-1);
			for (let b = 0; b < sequences; b++) this.#fill(validation, first + b, ids, targets, b);
			yield { ids, targets, sequences };
		}
	}

	describe(): string {
		const { name, train, validation } = this.data;
		const count = (set: ImageSet) => set.count.toLocaleString("en");
		return `${name}: ${count(train)} training and ${count(validation)} validation images of ${train.width} x ${train.height} pixels, ${this.classes} classes`;
	}

	#fill(set: ImageSet, image: number, ids: Int32Array, targets: Int32Array, b: number): void {
		ids.set(set.pixels.subarray(image * this.length, (image + 1) * this.length), b * this.length);
		targets[b] = set.labels[image];
	}
}
