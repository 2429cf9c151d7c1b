/**
 * The fastest of several ways to do the same, timed on the device once and remembered in the user's cache folder: a later run, or the
 * same run resumed, takes the same way and so gets the same bits.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../../base/files.ts";
import { cuda, type Driver } from "./driver.ts";

/** Timed runs of each candidate, after one that warms up. */
const repeats = 4;

/** @param work puts a candidate on the stream; false where it cannot run @returns index of the fastest */
export function fastest(
	driver: Driver,
	stream: bigint,
	candidates: number,
	work: (candidate: number) => boolean,
): number {
	const what = "timing products";
	const start = driver.make("cuEventCreate", what, cuda.eventDefault);
	const end = driver.make("cuEventCreate", what, cuda.eventDefault);
	const time = new Float32Array(1);
	let best = 0;
	let least = Number.POSITIVE_INFINITY;
	try {
		for (let candidate = 0; candidate < candidates; candidate++) {
			if (!work(candidate)) continue;
			driver.call("cuEventRecord", what, start, stream);
			for (let i = 0; i < repeats; i++) work(candidate);
			driver.call("cuEventRecord", what, end, stream);
			driver.call("cuEventSynchronize", what, end);
			driver.call("cuEventElapsedTime", what, time, start, end);
			// A later candidate has to be clearly better: the library's own order is not a bad one.
			if (time[0] < 0.97 * least) {
				best = candidate;
				least = time[0];
			}
		}
	} finally {
		driver.function("cuEventDestroy")(start);
		driver.function("cuEventDestroy")(end);
	}
	return best;
}

/** Choices kept as small files named by a hash of what they depend on. A file that cannot be read or trusted is as good as none. */
export class Choices {
	readonly #folder: string;
	readonly #machine: unknown;

	/** @param machine whatever decides a choice beside the question itself: device, versions */
	constructor(folder: string, machine: unknown) {
		this.#folder = folder;
		this.#machine = machine;
	}

	/** The choice made before among as many candidates, or undefined. */
	read(question: string, candidates: number): number | undefined {
		try {
			const [choice, among] = readFileSync(this.#file(question), "utf8").split(" of ").map(Number);
			const valid = among === candidates && Number.isInteger(choice) && choice >= 0 && choice < candidates;
			return valid ? choice : undefined;
		} catch {
			return undefined;
		}
	}

	/** Keep a choice; a folder that may not be written only costs the next start. */
	write(question: string, candidates: number, choice: number): void {
		try {
			mkdirSync(this.#folder, { recursive: true });
			writeFileAtomic(this.#file(question), `${choice} of ${candidates}`);
		} catch {}
	}

	#file(question: string): string {
		const hash = createHash("sha256")
			.update(JSON.stringify([this.#machine, question]))
			.digest("hex");
		return join(this.#folder, `${hash.slice(0, 40)}.choice`);
	}
}
