/**
 * A capture in branches: one stream whose next command follows the nodes it depends on and no others, so that the graph may run what is
 * independent side by side.
 */
import { cuda, type Driver } from "./driver.ts";

/** Nodes of the graph being captured. */
type Nodes = readonly bigint[];

export class Branches {
	readonly #driver: Driver;
	readonly #stream: bigint;
	readonly #status = new Int32Array(1);
	readonly #id = new BigUint64Array(1);
	readonly #graph = new BigUint64Array(1);
	readonly #nodes = new BigUint64Array(1);
	readonly #count = new BigUint64Array(1);

	constructor(driver: Driver, stream: bigint) {
		this.#driver = driver;
		this.#stream = stream;
	}

	/**
	 * Capture commands 0, 1, .. of a program.
	 * @param dependencies those that each must wait for
	 * @param put puts one on the stream, told what it waits for
	 */
	capture(
		dependencies: readonly (readonly number[])[],
		put: (command: number, needed: readonly number[]) => void,
	): void {
		const start = this.#tail();
		const tails: Nodes[] = [];
		const followed = new Uint8Array(dependencies.length);
		dependencies.forEach((needed, i) => {
			const next = i > 0 && needed.length === 1 && needed[0] === i - 1;
			if (!next) this.#follow(needed.length === 0 ? start : needed.flatMap((each) => tails[each]));
			for (const each of needed) followed[each] = 1;
			put(i, needed);
			tails.push(this.#tail());
		});
		const ends = tails.filter((_, i) => followed[i] === 0);
		if (ends.length > 0) this.#follow(ends.flat());
	}

	/** What the next command would follow. */
	#tail(): Nodes {
		const given = [this.#status, this.#id, this.#graph, this.#nodes, null, this.#count];
		this.#driver.call("cuStreamGetCaptureInfo", "capture", this.#stream, ...given);
		const count = Number(this.#count[0]);
		if (count === 0) return [];
		return [...new BigUint64Array(this.#driver.libraries.view(this.#nodes[0], 8 * count), 0, count)];
	}

	#follow(nodes: Nodes): void {
		const unique = BigUint64Array.from(new Set(nodes));
		const given = [unique, null, unique.length, cuda.setCaptureDependencies];
		this.#driver.call("cuStreamUpdateCaptureDependencies", "capture", this.#stream, ...given);
	}
}
