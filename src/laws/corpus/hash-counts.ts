/** How often each 64-bit hash has come: open addressing in one typed array, without objects. */

/** 32-bit words of a slot: hash a, hash b, count, and how many other things followed it. */
const stride = 4;
const fullShare = 0.75;

export class HashCounts {
	#slots: Int32Array;
	#mask: number;
	#size = 0;

	/** @param slots to begin with, a power of two. */
	constructor(slots = 1024) {
		this.#slots = new Int32Array(slots * stride);
		this.#mask = slots - 1;
	}

	/** Distinct hashes. */
	get size(): number {
		return this.#size;
	}

	/** Bytes it takes. */
	get bytes(): number {
		return this.#slots.byteLength;
	}

	/** Whether it would double its size for so many more hashes. */
	wouldGrow(more: number): boolean {
		return this.#size + more > fullShare * (this.#mask + 1);
	}

	/** Count one more; true if it is the first. */
	add(a: number, b: number): boolean {
		const at = this.find(a, b);
		if (this.#slots[at + 2]++ !== 0) return false;
		this.#slots[at] = a;
		this.#slots[at + 1] = b;
		this.#size++;
		if (this.wouldGrow(0)) this.#grow();
		return true;
	}

	/** Note one more thing that follows a hash that has been counted. */
	addFollower(a: number, b: number): void {
		this.#slots[this.find(a, b) + 3]++;
	}

	/** Where a hash is, or would go: a handle for `count` and `followers`, good until the next `add`. */
	find(a: number, b: number): number {
		const slots = this.#slots;
		for (let slot = a & this.#mask; ; slot = (slot + 1) & this.#mask) {
			const at = slot * stride;
			if (slots[at + 2] === 0 || (slots[at] === a && slots[at + 1] === b)) return at;
		}
	}

	/** 0 where the hash has not come. */
	count(handle: number): number {
		return this.#slots[handle + 2] >>> 0;
	}

	followers(handle: number): number {
		return this.#slots[handle + 3] >>> 0;
	}

	forEach(visit: (a: number, b: number, count: number) => void): void {
		const slots = this.#slots;
		for (let at = 0; at < slots.length; at += stride) {
			if (slots[at + 2] !== 0) visit(slots[at], slots[at + 1], slots[at + 2] >>> 0);
		}
	}

	#grow(): void {
		const old = this.#slots;
		this.#mask = 2 * this.#mask + 1;
		this.#slots = new Int32Array(2 * old.length);
		for (let at = 0; at < old.length; at += stride) {
			if (old[at + 2] !== 0) this.#slots.set(old.subarray(at, at + stride), this.find(old[at], old[at + 1]));
		}
	}
}
