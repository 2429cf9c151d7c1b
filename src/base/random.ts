/**
 * Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011). The value of a draw depends on its key and counter alone, never on what was drawn before.
 */

/** High word of the 64-bit product of two unsigned 32-bit integers. */
function multiplyHigh(a: number, b: number): number {
	const aLow = a & 0xffff;
	const aHigh = a >>> 16;
	const bLow = b & 0xffff;
	const bHigh = b >>> 16;
	const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
	const carry = (middle & 0xffff) + aLow * bHigh;
	// middle can exceed 32 bits' sign but not 2^53, so its high half is taken by division, not by shift.
	return (aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(carry / 65536)) >>> 0;
}

/**
 * One Philox4x32-10 block: four 32-bit words for key (k0, k1) and counter (c0, c1, c2, c3), written to out[0..3].
 * Arguments are taken modulo 2^32.
 */
export function philox(
	k0: number,
	k1: number,
	c0: number,
	c1: number,
	c2: number,
	c3: number,
	out: Uint32Array | Int32Array,
): void {
	let x0 = c0 >>> 0;
	let x1 = c1 >>> 0;
	let x2 = c2 >>> 0;
	let x3 = c3 >>> 0;
	let key0 = k0 >>> 0;
	let key1 = k1 >>> 0;
	for (let round = 0; round < 10; round++) {
		const high0 = multiplyHigh(0xd2511f53, x0);
		const low0 = Math.imul(0xd2511f53, x0) >>> 0;
		const high1 = multiplyHigh(0xcd9e8d57, x2);
		const low1 = Math.imul(0xcd9e8d57, x2) >>> 0;
		x0 = (high1 ^ x1 ^ key0) >>> 0;
		x1 = low1;
		x2 = (high0 ^ x3 ^ key1) >>> 0;
		x3 = low0;
		key0 = (key0 + 0x9e3779b9) >>> 0;
		key1 = (key1 + 0xbb67ae85) >>> 0;
	}
	out[0] = x0;
	out[1] = x1;
	out[2] = x2;
	out[3] = x3;
}

/**
 * A sequence of draws that is a pure function of (seed, stream, index): key = the 64-bit seed, counter = (block, index low,
 * index high, stream). `stream` keeps different uses of one seed apart; use a distinct constant for each use.
 */
export class RandomSequence {
	readonly #key0: number;
	readonly #key1: number;
	readonly #index: number;
	readonly #indexHigh: number;
	readonly #stream: number;
	readonly #words = new Uint32Array(4);
	#block: number;
	#used = 4;

	/**
	 * @param seed 0..2^53 as number, any 64 bits as bigint @param index 0..2^53, for example the training step
	 * @param block where to begin, in blocks of four words
	 */
	constructor(seed: number | bigint, stream: number, index: number, block = 0) {
		this.#block = block;
		const wide = BigInt.asUintN(64, BigInt(seed));
		this.#key0 = Number(wide & 0xffffffffn);
		this.#key1 = Number(wide >> 32n);
		this.#index = index % 2 ** 32;
		this.#indexHigh = Math.floor(index / 2 ** 32);
		this.#stream = stream;
	}

	/** The next unsigned 32-bit word. */
	word(): number {
		if (this.#used === 4) {
			philox(this.#key0, this.#key1, this.#block++, this.#index, this.#indexHigh, this.#stream, this.#words);
			this.#used = 0;
		}
		return this.#words[this.#used++];
	}

	/** Uniform in [0, 1), 53 bits: two words. */
	uniform(): number {
		const high = this.word() >>> 5;
		const low = this.word() >>> 6;
		return (high * 2 ** 26 + low) / 2 ** 53;
	}

	/** Uniform integer in 0..n-1, n up to 2^53 (bias below n / 2^53). */
	below(n: number): number {
		return Math.floor(this.uniform() * n);
	}
}
