import { ReferenceRuntime } from "../../src/engine/backends/reference.ts";
import type { Space } from "../../src/engine/op.ts";
import type { Job } from "../../src/engine/program.ts";

/** Jobs are done when they are put on their way, but end later, two at most at a time; outputs are those of the last that ended. */
export class RuntimeAhead extends ReferenceRuntime {
	mostUnderWay = 0;
	#underWay = 0;
	#last: Promise<void> = Promise.resolve();
	#outputs: Float32Array | undefined;
	/** Jobs until one that fails. */
	failAfter = Number.POSITIVE_INFINITY;

	async submit(job: Job): Promise<{ ended: Promise<void> }> {
		if (this.#underWay === 2) throw new Error("three jobs at a time");
		this.#underWay++;
		this.mostUnderWay = Math.max(this.mostUnderWay, this.#underWay);
		this.runSync(job);
		const words = [...job.microBatches, ...job.updates].reduce(
			(sum, { program }) => sum + program.program.outputWords,
			0,
		);
		const outputs = new Float32Array(words);
		super.read("outputs", 0, outputs);
		this.computed(job, outputs);
		const fails = this.failAfter-- <= 0;
		this.#last = this.#last.then(async () => {
			await new Promise((resolve) => setTimeout(resolve, 1));
			this.#outputs = outputs;
			this.#underWay--;
			if (fails) throw new Error("the device is lost");
		});
		return { ended: this.#last };
	}

	/** For tests that change what came out. */
	protected computed(_job: Job, _outputs: Float32Array): void {}

	override read(space: Space, offset: number, words: Float32Array | Int32Array): void {
		if (space === "outputs" && this.#outputs) words.set(this.#outputs.subarray(offset, offset + words.length));
		else if (this.#underWay > 0) throw new Error(`read ${space} while a job is under way`);
		else super.read(space, offset, words);
	}
}
