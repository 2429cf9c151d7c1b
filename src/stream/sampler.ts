/** From logits to a token: temperature, top-k, top-p; a pure function of (seed, number of the draw). */

import { RivuletError } from "../base/errors.ts";
import { RandomSequence } from "../base/random.ts";

/** What is drawn from, and how boldly. */
export interface SamplerOptions {
	/** 0: always the most likely token. */
	readonly temperature: number;
	/** Only the k most likely tokens; 0: all. */
	readonly topK: number;
	/** Only the most likely tokens that together reach this probability; 1: all. */
	readonly topP: number;
	readonly seed: number;
}

/** What holds where an option is left out. */
export const defaultSampling: SamplerOptions = { temperature: 0.8, topK: 0, topP: 1, seed: 1 };

/** Keeps these draws apart from other uses of the seed. */
const stream = 0x73616d70;

/** Draws tokens, one after the other. @throws RivuletError "sampler-option" for options out of range */
export class Sampler {
	readonly #options: SamplerOptions;
	#draws = 0;

	constructor(options: Partial<SamplerOptions> = {}) {
		this.#options = { ...defaultSampling, ...options };
		const { temperature, topK, topP } = this.#options;
		const refuse = (name: string, expected: string, found: number) => {
			throw new RivuletError("sampler-option", `${name}: expected ${expected}, found ${found}`, { exitStatus: 2 });
		};
		if (!(temperature >= 0 && temperature < Number.POSITIVE_INFINITY))
			refuse("temperature", "a number >= 0", temperature);
		if (!(Number.isInteger(topK) && topK >= 0)) refuse("top-k", "an integer >= 0", topK);
		if (!(topP > 0 && topP <= 1)) refuse("top-p", "a number in (0, 1]", topP);
	}

	/** Draw a token. @param logits (V), left unchanged */
	sample(logits: Float32Array): number {
		const { temperature, topK, topP, seed } = this.#options;
		const draw = this.#draws++;
		if (temperature === 0) return largest(logits);
		const candidates = topK > 0 || topP < 1 ? mostLikely(logits, topK) : Array.from(logits.keys());
		const top = candidates.reduce((best, id) => Math.max(best, logits[id]), Number.NEGATIVE_INFINITY);
		let weights = candidates.map((id) => Math.exp((logits[id] - top) / temperature));
		if (topP < 1) weights = weights.slice(0, nucleus(weights, topP));
		const total = weights.reduce((sum, weight) => sum + weight, 0);
		let left = new RandomSequence(seed, stream, draw).uniform() * total;
		for (let i = 0; i < weights.length; i++) {
			left -= weights[i];
			if (left < 0) return candidates[i];
		}
		return candidates[weights.length - 1];
	}
}

function largest(logits: Float32Array): number {
	let best = 0;
	for (let id = 1; id < logits.length; id++) if (logits[id] > logits[best]) best = id;
	return best;
}

/** Ids by falling logit, the first k of them (all for 0). */
function mostLikely(logits: Float32Array, k: number): number[] {
	const ids = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a] || a - b);
	return k > 0 ? ids.slice(0, k) : ids;
}

/** How many of the falling weights reach the share `p` of their sum; at least one. */
function nucleus(weights: readonly number[], p: number): number {
	const wanted = p * weights.reduce((sum, weight) => sum + weight, 0);
	let sum = 0;
	for (let i = 0; i < weights.length; i++) {
		sum += weights[i];
		if (sum >= wanted) return i + 1;
	}
	return weights.length;
}
