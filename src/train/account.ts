/** What a run costs beside the steps, tokens and exact FLOPs that its budgets limit. */
import type { Runtime } from "../engine/backend.ts";
import type { ModelConfig } from "../models/index.ts";
import { paperFlops } from "./inspect.ts";

export interface Costs {
	/** FLOPs of all training sequences as the paper's note counts them: orders of the forward pass, at each step's own N and w. */
	readonly paperFlops: number;
	/** From start to end, all sessions together: training, evaluation, checkpoints, samples. */
	readonly wallSeconds: number;
	/** Most memory the runtime held: weights, moments, gradients, activations, programs. */
	readonly runtimeBytes: number;
	/** Most resident memory of the process so far; where it trained other models before, theirs too. */
	readonly processBytes: number;
}

/** Keeps a run's costs, on from what a checkpoint says. */
export class Account {
	readonly #model: ModelConfig;
	readonly #runtime: Pick<Runtime, "memory">;
	readonly #started = performance.now();
	readonly #before: Costs;
	#paperFlops: number;

	constructor(
		model: ModelConfig,
		runtime: Pick<Runtime, "memory">,
		before: Costs = { paperFlops: 0, wallSeconds: 0, runtimeBytes: 0, processBytes: 0 },
	) {
		this.#model = model;
		this.#runtime = runtime;
		this.#before = before;
		this.#paperFlops = before.paperFlops;
	}

	/** Count a step of `sequences` sequences of N tokens, with windows of w. */
	addStep(sequences: number, N: number, w: number): void {
		this.#paperFlops += sequences * paperFlops(this.#model, N, w);
	}

	/** Up to now. The runtime never gives memory back, so what it holds is the most it held. */
	get costs(): Costs {
		const { wallSeconds, runtimeBytes, processBytes } = this.#before;
		return {
			paperFlops: this.#paperFlops,
			wallSeconds: wallSeconds + (performance.now() - this.#started) / 1000,
			runtimeBytes: Math.max(runtimeBytes, this.#runtime.memory()),
			processBytes: Math.max(processBytes, process.resourceUsage().maxRSS * 1024),
		};
	}
}
