/**
 * The spaces as device memory. What the host writes for every step (inputs, shared values, the job's state) is kept in pinned memory
 * as well and sent when a job starts, on the job's own stream; everything else is copied at once.
 */
import type { Space } from "../../op.ts";
import type { Driver } from "./driver.ts";
import type { DeviceSpace } from "./lower-types.ts";

/** Spaces and the runtime's own memory beside them. `gradients` are rows of `slices`; constants belong to programs. */
export type Region = Exclude<DeviceSpace, "gradients" | "constants"> | "job";

/** Pinned host memory, and which words of it the device does not have yet. */
interface Mirror {
	readonly address: bigint;
	readonly words: Int32Array;
	dirtyFrom: number;
	dirtyTo: number;
}

interface Block {
	readonly address: bigint;
	readonly words: number;
}

const mirrored: readonly Region[] = ["inputs", "shared", "job"];

export class DeviceMemory {
	readonly #driver: Driver;
	readonly #stream: bigint;
	readonly #blocks = new Map<Region, Block>();
	readonly #mirrors = new Map<Region, Mirror>();
	/** Recorded after the last sending of mirrors: until then their words are still being read. */
	readonly #sent: bigint;
	/** Rises whenever an address changed: what was captured before is void. */
	generation = 0;

	constructor(driver: Driver, stream: bigint, newEvent: () => bigint) {
		this.#driver = driver;
		this.#stream = stream;
		this.#sent = newEvent();
	}

	/** At least `words` words, contents kept, new ones zero. */
	reserve(region: Region, words: number): void {
		const old = this.#blocks.get(region);
		if (old && old.words >= words) return;
		const driver = this.#driver;
		const size = Math.max(64, Math.ceil(words / 64) * 64);
		const address = driver.allocate(4 * size, region);
		const kept = old?.words ?? 0;
		if (old) driver.call("cuMemcpyDtoDAsync", region, address, old.address, 4 * kept, this.#stream);
		driver.call("cuMemsetD32Async", region, address + 4n * BigInt(kept), 0, size - kept, this.#stream);
		this.synchronize(region);
		if (old) driver.call("cuMemFree", region, old.address);
		this.#blocks.set(region, { address, words: size });
		this.generation++;
		if (mirrored.includes(region)) this.#mirror(region, size);
	}

	/** Words of a region; 0 where it was never reserved. */
	words(region: Region): number {
		return this.#blocks.get(region)?.words ?? 0;
	}

	/** Device address of words [offset, offset + words). */
	address(region: Region, offset: number, words: number): bigint {
		const block = this.#blocks.get(region);
		if (!block || offset < 0 || offset + words > block.words) {
			throw new Error(`[${region}] expected at most ${block?.words ?? 0} words, got ${offset + words}`);
		}
		return block.address + 4n * BigInt(offset);
	}

	write(region: Region, offset: number, words: Float32Array | Int32Array): void {
		const address = this.address(region, offset, words.length);
		if (words.length === 0) return;
		const mirror = this.#mirrors.get(region);
		if (!mirror) {
			this.#driver.call("cuMemcpyHtoDAsync", region, address, words, words.byteLength, this.#stream);
			this.synchronize(region);
			return;
		}
		this.#driver.call("cuEventSynchronize", region, this.#sent);
		mirror.words.set(new Int32Array(words.buffer, words.byteOffset, words.length), offset);
		mirror.dirtyFrom = Math.min(mirror.dirtyFrom, offset);
		mirror.dirtyTo = Math.max(mirror.dirtyTo, offset + words.length);
	}

	/** A number of a region with a mirror as the host wrote it last, whatever the device has. */
	written(region: Region, offset: number): number {
		const mirror = this.#mirrors.get(region);
		if (!mirror) throw new Error(`[${region}] expected a region with a mirror`);
		return new Float32Array(mirror.words.buffer, mirror.words.byteOffset)[offset];
	}

	read(region: Region, offset: number, words: Float32Array | Int32Array): void {
		const address = this.address(region, offset, words.length);
		if (words.length === 0) return;
		this.send();
		this.#driver.call("cuMemcpyDtoHAsync", region, words, address, words.byteLength, this.#stream);
		this.synchronize(region);
	}

	/** Put on the stream what the host wrote since the last time. */
	send(): void {
		let any = false;
		for (const [region, mirror] of this.#mirrors) {
			const { dirtyFrom, dirtyTo } = mirror;
			if (dirtyTo <= dirtyFrom) continue;
			const to = this.address(region, dirtyFrom, dirtyTo - dirtyFrom);
			const from = mirror.address + 4n * BigInt(dirtyFrom);
			this.#driver.call("cuMemcpyHtoDAsync", region, to, from, 4 * (dirtyTo - dirtyFrom), this.#stream);
			mirror.dirtyFrom = Number.POSITIVE_INFINITY;
			mirror.dirtyTo = 0;
			any = true;
		}
		if (any) this.#driver.call("cuEventRecord", "inputs", this.#sent, this.#stream);
	}

	/** Pinned memory that the device can write without a copy in between. */
	pinned(words: number, what: string): { address: bigint; words: Int32Array } {
		const address = this.#driver.make("cuMemHostAlloc", what, 4 * words, 0);
		return { address, words: new Int32Array(this.#driver.libraries.view(address, 4 * words)) };
	}

	/** Bytes on the device. */
	get bytes(): number {
		return [...this.#blocks.values()].reduce((sum, { words }) => sum + 4 * words, 0);
	}

	synchronize(what: string): void {
		this.#driver.call("cuStreamSynchronize", what, this.#stream);
	}

	/** Free everything; what a lost device answers does not matter. */
	close(): void {
		const free = this.#driver.function("cuMemFree");
		const freeHost = this.#driver.function("cuMemFreeHost");
		for (const { address } of this.#blocks.values()) free(address);
		for (const { address } of this.#mirrors.values()) freeHost(address);
		this.#driver.function("cuEventDestroy")(this.#sent);
		this.#blocks.clear();
		this.#mirrors.clear();
	}

	#mirror(region: Region, size: number): void {
		const old = this.#mirrors.get(region);
		const { address, words } = this.pinned(size, region);
		words.fill(0);
		if (old) {
			words.set(old.words);
			this.#driver.call("cuMemFreeHost", region, old.address);
		}
		const { dirtyFrom = Number.POSITIVE_INFINITY, dirtyTo = 0 } = old ?? {};
		this.#mirrors.set(region, { address, words, dirtyFrom, dirtyTo });
	}
}

/** The region and the first word in it of a space, for one run of a program. */
export interface Frame {
	/** Device address of the program's constants, and their number. */
	readonly constants: { readonly address: bigint; readonly words: number };
	/** Words added to the offsets of a space. */
	readonly bases: Partial<Record<Space, number>>;
	readonly firstSequence: number;
}
