/**
 * An interpolated n-gram model (Witten and Bell 1991): the floor of a study of text. Each context's counts are mixed with the next
 * shorter context's, the more so the more different tokens followed it:
 *
 *     P(w | h) = (c(h w) + T(h) P(w | h')) / (c(h) + T(h)),   T(h): different tokens seen after h,   P(w | no context left) = 1 / V
 */
import type { TokenFile } from "../data/index.ts";

/** Contexts that are kept at most: beyond this, contexts that are new are not counted. */
const mostContexts = 8_000_000;
const chunk = 1 << 16;

/** Counts of all n-grams up to an order, as a trie: a node is a sequence of tokens, its children go on from it. */
export class NgramModel {
	readonly order: number;
	readonly #vocabulary: number;
	/** Child of (node, token), by node * V + token. Node 0 is the empty sequence. */
	readonly #children = new Map<number, number>();
	/** By node: how often its sequence was seen; how many tokens followed it; how many different ones. */
	readonly #seen: number[] = [0];
	readonly #followed: number[] = [0];
	readonly #kinds: number[] = [0];

	/** @param order n: a token is predicted from the n - 1 before it */
	constructor(order: number, vocabulary: number) {
		this.order = order;
		this.#vocabulary = vocabulary;
	}

	/** Count the n-grams of a sequence of tokens. */
	count(tokens: Int32Array): void {
		for (let start = 0; start < tokens.length; start++) {
			const end = Math.min(tokens.length, start + this.order);
			let node = 0;
			for (let i = start; i < end; i++) {
				const child = this.#childOrNew(node, tokens[i]);
				if (child === undefined) break;
				this.#followed[node]++;
				this.#seen[child]++;
				node = child;
			}
		}
	}

	/** P(token | the tokens before it), in (0, 1). @param context at most n - 1 of them count, the last ones */
	probability(context: Int32Array, token: number): number {
		let probability = 1 / this.#vocabulary;
		const longest = Math.min(this.order - 1, context.length);
		for (let length = 0; length <= longest; length++) {
			const node = this.#find(context.subarray(context.length - length));
			if (node === undefined || this.#followed[node] === 0) break;
			const child = this.#children.get(node * this.#vocabulary + token);
			const seen = child === undefined ? 0 : this.#seen[child];
			const kinds = this.#kinds[node];
			probability = (seen + kinds * probability) / (this.#followed[node] + kinds);
		}
		return probability;
	}

	#childOrNew(node: number, token: number): number | undefined {
		const key = node * this.#vocabulary + token;
		const known = this.#children.get(key);
		if (known !== undefined || this.#children.size >= mostContexts) return known;
		const child = this.#seen.length;
		this.#children.set(key, child);
		this.#kinds[node]++;
		this.#seen.push(0);
		this.#followed.push(0);
		this.#kinds.push(0);
		return child;
	}

	#find(sequence: Int32Array): number | undefined {
		let node: number | undefined = 0;
		for (let i = 0; i < sequence.length && node !== undefined; i++) {
			node = this.#children.get(node * this.#vocabulary + sequence[i]);
		}
		return node;
	}
}

/** A model of one text, measured on another: nats per token of the second, read as one stream. */
export async function ngramLoss(
	order: number,
	train: TokenFile,
	validation: TokenFile,
	most: { readonly train: number; readonly validation: number },
	signal?: AbortSignal,
): Promise<{ readonly loss: number; readonly tokens: number }> {
	const model = new NgramModel(order, train.vocabularySize);
	const counted = Math.min(train.length, most.train);
	for await (const { tokens } of stretches(train, counted, signal)) model.count(tokens);
	const measured = Math.min(validation.length, most.validation);
	let nats = 0;
	for await (const { tokens, fresh } of stretches(validation, measured, signal, order - 1)) {
		for (let i = tokens.length - fresh; i < tokens.length; i++) {
			nats -= Math.log(model.probability(tokens.subarray(Math.max(0, i - order + 1), i), tokens[i]));
		}
	}
	return { loss: nats / measured, tokens: counted };
}

/** The first `count` tokens of a file, piece by piece, each with the `overlap` tokens before it; others get a turn in between. */
async function* stretches(
	file: TokenFile,
	count: number,
	signal?: AbortSignal,
	overlap = 0,
): AsyncGenerator<{ readonly tokens: Int32Array; readonly fresh: number }> {
	const buffer = new Int32Array(chunk + overlap);
	for (let start = 0; start < count && !signal?.aborted; start += chunk) {
		const from = Math.max(0, start - overlap);
		const end = Math.min(count, start + chunk);
		file.read(from, end - from, buffer);
		yield { tokens: buffer.subarray(0, end - from), fresh: end - start };
		await new Promise((resolve) => setImmediate(resolve));
	}
}
