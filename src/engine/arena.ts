/** Lifetimes to offsets: which stretch of the arena each storage has while it lives. */
import type { Tensor } from "./graph.ts";

/** One stretch of the arena. Lives from the first to the last node that touches it. */
export interface Storage {
	readonly words: number;
	/** The value it holds, when it holds just one that may hand it on; see plan.ts. */
	owner: Tensor | null;
	first: number;
	last: number;
	offset: number;
}

export class ArenaPlanner {
	readonly #storages: Storage[] = [];

	/** A new storage of `words` words, rounded up to 64 bytes. */
	storage(words: number, owner: Tensor): Storage {
		const storage: Storage = {
			words: Math.ceil(words / 16) * 16,
			owner,
			first: Number.POSITIVE_INFINITY,
			last: -1,
			offset: 0,
		};
		this.#storages.push(storage);
		return storage;
	}

	/** Node `index` reads or writes the storage. */
	touch(storage: Storage, index: number): void {
		storage.first = Math.min(storage.first, index);
		storage.last = Math.max(storage.last, index);
	}

	/** Give each storage its offset, reusing memory of dead ones (best fit); returns the size of the arena in words. */
	assign(): number {
		const used = this.#storages.filter((storage) => storage.last >= 0);
		const births = used.slice().sort((a, b) => a.first - b.first || b.words - a.words);
		const deaths = used.slice().sort((a, b) => a.last - b.last);
		const free = new FreeList();
		let dead = 0;
		for (const storage of births) {
			for (; dead < deaths.length && deaths[dead].last < storage.first; dead++) {
				free.release(deaths[dead].offset, deaths[dead].words);
			}
			storage.offset = free.take(storage.words);
		}
		return free.size;
	}
}

/** Free stretches of a growing arena, sorted by offset, neighbours merged. */
class FreeList {
	size = 0;
	readonly #holes: { offset: number; words: number }[] = [];

	take(words: number): number {
		let best = -1;
		for (let i = 0; i < this.#holes.length; i++) {
			const hole = this.#holes[i];
			if (hole.words >= words && (best < 0 || hole.words < this.#holes[best].words)) best = i;
		}
		if (best >= 0) {
			const hole = this.#holes[best];
			const offset = hole.offset;
			hole.offset += words;
			hole.words -= words;
			if (hole.words === 0) this.#holes.splice(best, 1);
			return offset;
		}
		// Nothing fits: grow the arena, starting in the hole at its end if there is one.
		const last = this.#holes[this.#holes.length - 1];
		const atEnd = last !== undefined && last.offset + last.words === this.size;
		const offset = atEnd ? last.offset : this.size;
		if (atEnd) this.#holes.pop();
		this.size = offset + words;
		return offset;
	}

	release(offset: number, words: number): void {
		let at = 0;
		let high = this.#holes.length;
		while (at < high) {
			const middle = (at + high) >> 1;
			if (this.#holes[middle].offset < offset) at = middle + 1;
			else high = middle;
		}
		this.#holes.splice(at, 0, { offset, words });
		this.#mergeWithNext(at);
		if (at > 0) this.#mergeWithNext(at - 1);
	}

	#mergeWithNext(i: number): void {
		const hole = this.#holes[i];
		const next = this.#holes[i + 1];
		if (next && hole.offset + hole.words === next.offset) {
			hole.words += next.words;
			this.#holes.splice(i + 1, 1);
		}
	}
}
