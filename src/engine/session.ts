/** A runtime with a parameter layout: where each weight lies, programs compiled once per key, named access to memory. */
import type { Runtime } from "./backend.ts";
import type { Shape } from "./graph.ts";
import type { Layout } from "./plan.ts";
import type { Job, Program, ProgramHandle } from "./program.ts";

/** What the layout needs to know of a weight. */
export interface ParameterShape {
	readonly name: string;
	readonly shape: Shape;
	readonly decay: boolean;
}

/** Weights one after the other, those with weight decay first, each on a 64-byte boundary. Offsets in words. */
export class ParameterLayout {
	readonly offsets = new Map<string, number>();
	/** Words of all weights with decay: the first stretch of the space. */
	readonly decayWords: number;
	readonly words: number;

	constructor(parameters: readonly ParameterShape[]) {
		let at = 0;
		const place = (list: readonly ParameterShape[]) => {
			for (const { name, shape } of list) {
				this.offsets.set(name, at);
				at += (shape[0] * shape[1] + 15) & ~15;
			}
		};
		place(parameters.filter((parameter) => parameter.decay));
		this.decayWords = at;
		place(parameters.filter((parameter) => !parameter.decay));
		this.words = at;
	}
}

/** A runtime bound to a model's weights. Programs are built for its layout and kept until it is closed. */
export class Session {
	readonly runtime: Runtime;
	readonly parameters: ReadonlyMap<string, ParameterShape>;
	readonly layout: ParameterLayout;
	/** Weights were written since the last run: the runtime must not trust what it derived from them. */
	weightsChanged = true;
	readonly #programs = new Map<string, ProgramHandle>();
	readonly #shared = new Map<string, number>();
	#sharedWords = 0;

	constructor(runtime: Runtime, parameters: readonly ParameterShape[]) {
		this.runtime = runtime;
		this.parameters = new Map(parameters.map((parameter) => [parameter.name, parameter]));
		this.layout = new ParameterLayout(parameters);
		runtime.reserve("parameters", this.layout.words);
	}

	/** The program for `key`, built and loaded the first time. */
	program(key: string, build: (layout: Layout) => Program): ProgramHandle {
		const known = this.#programs.get(key);
		if (known) return known;
		const program = build(this.#planLayout());
		const handle = this.runtime.load(program);
		this.#programs.set(key, handle);
		return handle;
	}

	/** Row-major values of a weight. */
	writeParameter(name: string, values: Float32Array): void {
		const { offset, words } = this.#stretch(name);
		if (values.length !== words)
			throw new Error(`[parameters] ${name}: expected ${words} values, got ${values.length}`);
		this.runtime.write("parameters", offset, values);
		this.weightsChanged = true;
	}

	/** Row-major values of a weight. */
	readParameter(name: string): Float32Array {
		return this.#read("parameters", name, 0);
	}

	/** Gradient of a weight, summed over the first `slices` slices in order. */
	readGradient(name: string, slices: number): Float32Array {
		const total = this.#read("slices", name, 0);
		for (let slice = 1; slice < slices; slice++) {
			this.#read("slices", name, slice * this.layout.words).forEach((value, i) => {
				total[i] += value;
			});
		}
		return total;
	}

	/** Run a job; weights count as changed when the host wrote some or when the job updates them. */
	async run(job: Omit<Job, "weightsChanged">): Promise<void> {
		await this.runtime.run(this.#withWeights(job));
	}

	/** May a job be put on its way while the one before it is running? */
	get runsAhead(): boolean {
		return this.runtime.submit !== undefined;
	}

	/** Put a job on its way; where the runtime does one at a time, run it. */
	async submit(job: Omit<Job, "weightsChanged">): Promise<{ readonly ended: Promise<void> }> {
		if (this.runtime.submit) return await this.runtime.submit(this.#withWeights(job));
		await this.run(job);
		return { ended: Promise.resolve() };
	}

	/** One of the optimiser's tensors for a weight: which is which is the update program's affair. */
	readOptimizer(name: string, index: number): Float32Array {
		return this.#read("optimizer", name, index * this.layout.words);
	}

	/** Set one of the optimiser's tensors, as `readOptimizer` gave it. */
	writeOptimizer(name: string, index: number, values: Float32Array): void {
		this.runtime.write("optimizer", index * this.layout.words + this.#stretch(name).offset, values);
	}

	/** Set a shared input of the step, by the name the graphs give it. */
	writeShared(name: string, values: Float32Array): void {
		this.runtime.write("shared", this.#sharedOffset(name, values.length), values);
	}

	/** Run an update program that leaves the weights as they are, and block. */
	runSync(job: Omit<Job, "weightsChanged">): void {
		const { weightsChanged } = this;
		this.weightsChanged = false;
		this.runtime.runSync({ ...job, weightsChanged });
	}

	/** Close the runtime. */
	async close(): Promise<void> {
		await this.runtime.close();
	}

	#withWeights(job: Omit<Job, "weightsChanged">): Job {
		const { weightsChanged } = this;
		this.weightsChanged = job.updates.length > 0;
		return { ...job, weightsChanged };
	}

	#read(space: "parameters" | "slices" | "optimizer", name: string, base: number): Float32Array {
		const { offset, words } = this.#stretch(name);
		const values = new Float32Array(words);
		this.runtime.read(space, base + offset, values);
		return values;
	}

	#stretch(name: string): { offset: number; words: number } {
		const parameter = this.parameters.get(name);
		if (!parameter)
			throw new Error(`[parameters] expected one of ${[...this.parameters.keys()].join(", ")}, got ${name}`);
		return { offset: this.layout.offsets.get(name) as number, words: parameter.shape[0] * parameter.shape[1] };
	}

	#planLayout(): Layout {
		return {
			parameter: (name) => this.#stretch(name).offset,
			shared: (name, words) => this.#sharedOffset(name, words),
		};
	}

	#sharedOffset(name: string, words: number): number {
		const known = this.#shared.get(name);
		if (known !== undefined) return known;
		const offset = this.#sharedWords;
		this.#shared.set(name, offset);
		this.#sharedWords += (words + 15) & ~15;
		this.runtime.reserve("shared", this.#sharedWords);
		return offset;
	}
}
