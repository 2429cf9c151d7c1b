/** A binary heap: the first of its items by a given order, in logarithmic time. */

export class Heap<T> {
	readonly #items: T[] = [];
	readonly #before: (a: T, b: T) => boolean;

	/** @param before whether a comes out before b. */
	constructor(before: (a: T, b: T) => boolean) {
		this.#before = before;
	}

	get size(): number {
		return this.#items.length;
	}

	push(item: T): void {
		const items = this.#items;
		let i = items.length;
		items.push(item);
		while (i > 0) {
			const parent = (i - 1) >> 1;
			if (!this.#before(item, items[parent])) break;
			items[i] = items[parent];
			i = parent;
		}
		items[i] = item;
	}

	/** Takes the first item out; undefined when there is none. */
	pop(): T | undefined {
		const items = this.#items;
		const first = items[0];
		const last = items.pop();
		if (items.length === 0 || last === undefined) return first;
		let i = 0;
		for (;;) {
			let child = 2 * i + 1;
			if (child >= items.length) break;
			if (child + 1 < items.length && this.#before(items[child + 1], items[child])) child++;
			if (!this.#before(items[child], last)) break;
			items[i] = items[child];
			i = child;
		}
		items[i] = last;
		return first;
	}
}
