/**
 * Jobs as CUDA graphs: what a job of one structure puts on the stream is captured the second time it comes and replayed from then
 * on. The first time runs straight: libraries set themselves up then, and a job that never comes again is not worth a graph.
 */
import { Branches } from "./branches.ts";
import { cuda, type Driver } from "./driver.ts";

/** A captured job. */
interface Captured {
	readonly executable: bigint;
	readonly nodes: number;
}

/** What the last capture came to. */
export interface CaptureReport {
	readonly nodes: number;
	/** Milliseconds to put the commands on the stream, and to make a graph of them that can be launched. */
	readonly captureMilliseconds: number;
	readonly instantiateMilliseconds: number;
}

/** What `issue` puts on the stream, as a graph. */
export function capture(driver: Driver, stream: bigint, issue: () => void): bigint {
	driver.call("cuStreamBeginCapture", "capture", stream, cuda.captureThreadLocal);
	const graph = new BigUint64Array(1);
	try {
		issue();
	} catch (error) {
		// The stream is to be used again.
		driver.function("cuStreamEndCapture")(stream, graph);
		if (graph[0] !== 0n) driver.function("cuGraphDestroy")(graph[0]);
		throw error;
	}
	driver.call("cuStreamEndCapture", "capture", stream, graph);
	return graph[0];
}

/** Graphs kept at most; the oldest goes first. */
const most = 64;

export class GraphCache {
	readonly #driver: Driver;
	readonly #stream: bigint;
	/** null: came once. */
	readonly #graphs = new Map<string, Captured | null>();
	#generation = -1;
	lastCapture: CaptureReport | undefined;

	constructor(driver: Driver, stream: bigint) {
		this.#driver = driver;
		this.#stream = stream;
	}

	/**
	 * Put a job on the stream. @param key its structure @param generation of the addresses it uses
	 * @param issue puts its commands there one by one, those of a capture in branches
	 */
	run(key: string, generation: number, issue: (branches?: Branches) => void): void {
		if (generation !== this.#generation) this.clear();
		this.#generation = generation;
		const known = this.#graphs.get(key);
		this.#graphs.delete(key);
		if (known === undefined) {
			this.#graphs.set(key, null);
			this.#dropOldest();
			issue();
			return;
		}
		const captured = known ?? this.#capture(issue);
		this.#graphs.set(key, captured);
		this.#driver.call("cuGraphLaunch", `graph of ${captured.nodes} nodes`, captured.executable, this.#stream);
	}

	clear(): void {
		for (const captured of this.#graphs.values()) this.#destroy(captured);
		this.#graphs.clear();
	}

	#capture(issue: (branches?: Branches) => void): Captured {
		const driver = this.#driver;
		const started = performance.now();
		const graph = capture(driver, this.#stream, () => {
			issue(process.env.RIVULET_CUDA_BRANCHES === "0" ? undefined : new Branches(driver, this.#stream));
		});
		const between = performance.now();
		const executable = driver.make("cuGraphInstantiate", "graph", graph, 0);
		const count = new BigUint64Array(1);
		driver.call("cuGraphGetNodes", "graph", graph, null, count);
		driver.call("cuGraphDestroy", "graph", graph);
		driver.call("cuGraphUpload", "graph", executable, this.#stream);
		this.lastCapture = {
			nodes: Number(count[0]),
			captureMilliseconds: between - started,
			instantiateMilliseconds: performance.now() - between,
		};
		return { executable, nodes: Number(count[0]) };
	}

	#dropOldest(): void {
		if (this.#graphs.size <= most) return;
		const [key, captured] = this.#graphs.entries().next().value as [string, Captured | null];
		this.#destroy(captured);
		this.#graphs.delete(key);
	}

	#destroy(captured: Captured | null): void {
		if (captured) this.#driver.function("cuGraphExecDestroy")(captured.executable);
	}
}
