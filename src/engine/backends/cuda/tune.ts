/**
 * The fastest of several ways to do the same, timed on the device once and remembered in the user's cache folder: a later run, or the
 * same run resumed, takes the same way and so gets the same bits.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../../base/files.ts";
import { capture } from "./capture.ts";
import { cuda, type Driver } from "./driver.ts";

/** Runs of a candidate timed as they are put on the stream, after one that warms up; milliseconds below which that tells how fast this thread is. */
const repeats = 4;
const short = 0.05;

/** Runs in a graph that short ones are timed by, and how often that is launched: the least time counts. */
const repeatsInGraph = 20;
const launches = 3;

/** @param work puts a candidate on the stream; false where it cannot run @returns index of the fastest */
export function fastest(
	driver: Driver,
	stream: bigint,
	candidates: number,
	work: (candidate: number) => boolean,
): number {
	const clock = new Clock(driver, stream);
	let best = 0;
	let least = Number.POSITIVE_INFINITY;
	try {
		for (let candidate = 0; candidate < candidates; candidate++) {
			if (!work(candidate)) continue;
			const run = (times: number) => {
				for (let i = 0; i < times; i++) work(candidate);
			};
			let time = clock.time(() => run(repeats)) / repeats;
			if (time < short) time = clock.timeInGraph(() => run(repeatsInGraph)) / repeatsInGraph;
			// A later candidate has to be clearly better: the library's own order is not a bad one.
			if (time < 0.97 * least) {
				best = candidate;
				least = time;
			}
		}
	} finally {
		clock.close();
	}
	return best;
}

/** Milliseconds on the device. */
class Clock {
	readonly #driver: Driver;
	readonly #stream: bigint;
	readonly #start: bigint;
	readonly #end: bigint;

	constructor(driver: Driver, stream: bigint) {
		this.#driver = driver;
		this.#stream = stream;
		[this.#start, this.#end] = [0, 1].map(() => driver.make("cuEventCreate", what, cuda.eventDefault));
	}

	/** From the beginning of what is put on the stream to its end. */
	time(put: () => void): number {
		const driver = this.#driver;
		driver.call("cuEventRecord", what, this.#start, this.#stream);
		put();
		driver.call("cuEventRecord", what, this.#end, this.#stream);
		driver.call("cuEventSynchronize", what, this.#end);
		const time = new Float32Array(1);
		driver.call("cuEventElapsedTime", what, time, this.#start, this.#end);
		return time[0];
	}

	/** The least of a few launches of it as a graph: the device waits for nobody between its parts. */
	timeInGraph(put: () => void): number {
		const driver = this.#driver;
		const graph = capture(driver, this.#stream, put);
		const executable = driver.make("cuGraphInstantiate", what, graph, 0);
		driver.call("cuGraphDestroy", what, graph);
		try {
			const launch = () => driver.call("cuGraphLaunch", what, executable, this.#stream);
			launch();
			return Math.min(...Array.from({ length: launches }, () => this.time(launch)));
		} finally {
			driver.function("cuGraphExecDestroy")(executable);
		}
	}

	close(): void {
		for (const event of [this.#start, this.#end]) this.#driver.function("cuEventDestroy")(event);
	}
}

/** Of calls to the driver, for messages. */
const what = "timing products";

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
