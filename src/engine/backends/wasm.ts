/**
 * The wasm backend: the same C++ kernels as the native one, in linear memory shared by workers. Knows no Node and no browser: a
 * WasmHost loads the module and starts workers (wasm-node.ts).
 *
 * Worker 0 conducts jobs that must not block the event loop; workers 1.. are the other members of the team. A blocking job is
 * conducted by the calling thread instead.
 */
import { processorRowsPerStep, type Runtime } from "../backend.ts";
import type { Space } from "../op.ts";
import type { Job, Program, ProgramHandle } from "../program.ts";
import { encodeJob, encodeProgram, failure, spaceNumber } from "./encode.ts";

export interface WasmWorker {
	post(message: unknown): void;
	onMessage(handler: (message: { status: number }) => void): void;
	/** Does the worker keep the program alive? Only while a job is under way. */
	keepAlive(alive: boolean): void;
	terminate(): Promise<void>;
}

export interface WasmHost {
	readonly module: WebAssembly.Module;
	/** Start a worker that runs `wasmWorkerSource` with this data. */
	spawn(data: WorkerStart): WasmWorker;
}

/** What a worker needs to join. */
export interface WorkerStart {
	readonly module: WebAssembly.Module;
	readonly memory: WebAssembly.Memory;
	readonly runtime: number;
	/** Top of its stack. */
	readonly stack: number;
	/** Number in the team; 0 conducts. */
	readonly member: number;
}

/**
 * Source of a worker; `start` and `post` are given by the host. A member first says that it is there and then lives in rivulet_worker;
 * the conductor calls what it is told to.
 */
export const wasmWorkerSource = `
async function join({ module, memory, runtime, stack, member }, post, onMessage) {
	const imports = { env: { memory }, host: { seconds: () => performance.now() / 1000 } };
	const { exports } = await WebAssembly.instantiate(module, imports);
	exports.__stack_pointer.value = stack;
	if (member === 0) onMessage(({ call, values }) => post({ status: exports[call](...values) }));
	post({ status: 0 });
	if (member > 0) exports.rivulet_worker(runtime, member);
}`;

const stackBytes = 1 << 18;
/**
 * In pages of 64 KiB: 1 GiB from the start, which costs nothing until it is written to, and the 4 GiB that 32-bit addresses reach. Growth while
 * workers run is avoided (native/memory.cpp).
 */
const pages = { initial: 16384, maximum: 65536 };

type Exports = Record<string, (...values: number[]) => number>;

export class WasmRuntime implements Runtime {
	readonly backend = "wasm";
	readonly description: string;
	readonly threads: number;
	readonly rowsPerStep = processorRowsPerStep;
	readonly mostSlices = Number.POSITIVE_INFINITY;
	readonly #memory: WebAssembly.Memory;
	readonly #exports: Exports;
	readonly #runtime: number;
	readonly #workers: WasmWorker[];
	readonly #spaces = new Map<Space, { pointer: number; words: number }>();
	readonly #kernels = new Map<string, number>();
	#running = false;

	/** @throws where the module does not fit, or memory is short */
	static async create(host: WasmHost, threads: number): Promise<WasmRuntime> {
		const memory = new WebAssembly.Memory({ ...pages, shared: true });
		const imports = { env: { memory }, host: { seconds: () => performance.now() / 1000 } };
		const instance = await WebAssembly.instantiate(host.module, imports);
		const exports = instance.exports as unknown as Exports;
		const runtime = exports.rivulet_create(threads, 0);
		if (!runtime) throw new Error("[wasm] no memory for a runtime");
		const workers = Array.from({ length: threads }, (_, member) => {
			const stack = exports.rivulet_allocate(stackBytes) + stackBytes;
			return host.spawn({ module: host.module, memory, runtime, stack, member });
		});
		await Promise.all(workers.map((worker) => new Promise<void>((resolve) => worker.onMessage(() => resolve()))));
		for (const worker of workers) worker.keepAlive(false);
		return new WasmRuntime(threads, memory, exports, runtime, workers);
	}

	private constructor(
		threads: number,
		memory: WebAssembly.Memory,
		exports: Exports,
		runtime: number,
		workers: WasmWorker[],
	) {
		this.threads = threads;
		this.#memory = memory;
		this.#exports = exports;
		this.#runtime = runtime;
		this.#workers = workers;
		this.description = `wasm, SIMD, ${threads} ${threads === 1 ? "thread" : "threads"}`;
	}

	reserve(space: Space, words: number): void {
		const known = this.#spaces.get(space);
		if (known && known.words >= words) return;
		const pointer = this.#exports.rivulet_space(this.#runtime, spaceNumber[space], words) >>> 0;
		if (!pointer) throw new Error(`[wasm] no memory for ${words * 4} bytes of ${space}: WebAssembly has 4 GiB in all`);
		this.#spaces.set(space, { pointer, words });
	}

	write(space: Space, offset: number, words: Float32Array | Int32Array): void {
		this.#stretch(space, offset, words).set(words);
	}

	read(space: Space, offset: number, words: Float32Array | Int32Array): void {
		words.set(this.#stretch(space, offset, words));
	}

	load(program: Program): ProgramHandle {
		const words = encodeProgram(program, (name) => this.#kernel(name));
		const id = this.#withWords(words, (pointer) => this.#exports.rivulet_program(this.#runtime, pointer, words.length));
		if (id < 0) throw failure("wasm program", id);
		return { id, program };
	}

	forget({ id }: ProgramHandle): void {
		this.#exports.rivulet_forget(this.#runtime, id);
	}

	async run(job: Job): Promise<void> {
		const words = encodeJob(job);
		const pointer = this.#place(words);
		try {
			const status = await this.#conduct("rivulet_run", [this.#runtime, pointer, words.length]);
			if (status !== 0) throw failure("wasm job", status);
		} finally {
			this.#exports.rivulet_release(pointer, words.byteLength);
		}
	}

	runSync(job: Job): void {
		if (this.#running) throw new Error("[wasm] expected one job at a time");
		const words = encodeJob(job);
		const status = this.#withWords(words, (pointer) => this.#exports.rivulet_run(this.#runtime, pointer, words.length));
		if (status !== 0) throw failure("wasm job", status);
	}

	async peak(seconds: number): Promise<number> {
		return await this.#conduct("rivulet_peak", [this.#runtime, this.threads, seconds]);
	}

	memory(): number {
		return this.#exports.rivulet_memory(this.#runtime);
	}

	async close(): Promise<void> {
		this.#exports.rivulet_destroy(this.#runtime);
		await Promise.all(this.#workers.map((worker) => worker.terminate()));
	}

	/** Have the conductor call an export. */
	async #conduct(call: string, values: number[]): Promise<number> {
		if (this.#running) throw new Error("[wasm] expected one job at a time");
		this.#running = true;
		const [conductor] = this.#workers;
		conductor.keepAlive(true);
		try {
			return await new Promise<number>((resolve) => {
				conductor.onMessage(({ status }) => resolve(status));
				conductor.post({ call, values });
			});
		} finally {
			conductor.keepAlive(false);
			this.#running = false;
		}
	}

	#kernel(name: string): number {
		const known = this.#kernels.get(name);
		if (known !== undefined) return known;
		const text = new Int32Array(Math.ceil((name.length + 1) / 4));
		const bytes = new Uint8Array(text.buffer);
		for (let i = 0; i < name.length; i++) bytes[i] = name.charCodeAt(i);
		const index = this.#withWords(text, (pointer) => this.#exports.rivulet_kernel(pointer));
		this.#kernels.set(name, index);
		return index;
	}

	#place(words: Int32Array): number {
		const pointer = this.#exports.rivulet_allocate(words.byteLength) >>> 0;
		if (!pointer) throw new Error(`[wasm] no memory for ${words.byteLength} bytes`);
		new Int32Array(this.#memory.buffer, pointer, words.length).set(words);
		return pointer;
	}

	#withWords(words: Int32Array, use: (pointer: number) => number): number {
		const pointer = this.#place(words);
		try {
			return use(pointer);
		} finally {
			this.#exports.rivulet_release(pointer, words.byteLength);
		}
	}

	#stretch(space: Space, offset: number, like: Float32Array | Int32Array): Float32Array | Int32Array {
		const { pointer, words } = this.#spaces.get(space) ?? { pointer: 0, words: 0 };
		if (offset < 0 || offset + like.length > words) {
			throw new Error(`[${space}] expected at most ${words} words, got ${offset + like.length}`);
		}
		const View = like instanceof Int32Array ? Int32Array : Float32Array;
		// Memory may have grown since: a view of it is made anew each time.
		return new View(this.#memory.buffer, pointer + offset * 4, like.length);
	}
}
