/** 64-bit hashes of all n-grams of a stream of tokens, order by order, as two 32-bit words each. */

/** Tokens hashed at a time. */
const blockLength = 32768;

/** Of one order over one block: element i + 1 is of the n-gram that ends at the block's token i, element 0 of the one before. */
export interface HashBlock {
	readonly a: Int32Array;
	readonly b: Int32Array;
}

/**
 * Called for each order 1..orders of each block. Tokens first..length-1 of the block end an n-gram of this order; the n-gram's
 * context, of order - 1 tokens, is at `context[i]`.
 */
export type HashVisitor = (order: number, grams: HashBlock, context: HashBlock, first: number, length: number) => void;

/**
 * The hash of n tokens is made from that of their first n - 1 by two rounds of a Feistel network keyed by the last token, so two
 * n-grams are confused with a chance of about 2^-64.
 */
export class NgramHashes {
	readonly #orders: number;
	readonly #blocks: HashBlock[];
	#seen = 0;

	constructor(orders: number) {
		this.#orders = orders;
		const words = () => new Int32Array(blockLength + 1);
		this.#blocks = Array.from({ length: orders + 1 }, () => ({ a: words(), b: words() }));
		this.#blocks[0].a.fill(0x243f6a88);
		this.#blocks[0].b.fill(0x13198a2e);
	}

	/** The next tokens of the stream. */
	push(tokens: Int32Array, visit: HashVisitor): void {
		for (let at = 0; at < tokens.length; at += blockLength) this.#push(tokens.subarray(at, at + blockLength), visit);
	}

	#push(tokens: Int32Array, visit: HashVisitor): void {
		const { length } = tokens;
		for (let order = 1; order <= this.#orders; order++) {
			const [context, grams] = [this.#blocks[order - 1], this.#blocks[order]];
			extend(context, tokens, grams);
			visit(order, grams, context, Math.min(length, Math.max(0, order - 1 - this.#seen)), length);
		}
		for (const { a, b } of this.#blocks) {
			a[0] = a[length];
			b[0] = b[length];
		}
		this.#seen += length;
	}
}

function extend(context: HashBlock, tokens: Int32Array, into: HashBlock): void {
	const { a, b } = context;
	for (let i = 0; i < tokens.length; i++) {
		const right = b[i] ^ scramble(a[i] + Math.imul(tokens[i] + 1, 0x9e3779b1));
		into.a[i + 1] = a[i] ^ scramble(right + 0x3c6ef372);
		into.b[i + 1] = right;
	}
}

/** Murmur3's finalizer: every bit of the result depends on every bit of the word. */
export function scramble(word: number): number {
	let x = word ^ (word >>> 16);
	x = Math.imul(x, 0x85ebca6b);
	x ^= x >>> 13;
	x = Math.imul(x, 0xc2b2ae35);
	return x ^ (x >>> 16);
}
