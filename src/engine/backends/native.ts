/** The native backend: the C++ kernels as a shared library, called through koffi. */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import type { LibraryHandle } from "koffi";
import { type Backend, processorRowsPerStep, type Runtime, type RuntimeOptions } from "../backend.ts";
import type { Space } from "../op.ts";
import type { Job, Program, ProgramHandle } from "../program.ts";
import { encodeJob, encodeProgram, failure, spaceNumber } from "./encode.ts";

const extension = { darwin: "dylib", win32: "dll" }[process.platform as string] ?? "so";
/** Built by scripts/build-native.mjs; beside src/ when run from sources, in dist/ when built. */
export const libraryPath = [`../../../dist/native/librivulet.${extension}`, `../../native/librivulet.${extension}`]
	.map((path) => fileURLToPath(new URL(path, import.meta.url)))
	.find((path) => existsSync(path));

const isaNumbers: Readonly<Record<string, number>> = { best: 0, baseline: 1, avx2: 2, avx512: 3, neon: 4 };

type ForeignFunction = ReturnType<LibraryHandle["func"]>;

interface Library {
	/** Views foreign memory as an ArrayBuffer. */
	view(pointer: bigint, bytes: number): ArrayBuffer;
	create: ForeignFunction;
	destroy: ForeignFunction;
	space: ForeignFunction;
	program: ForeignFunction;
	forget: ForeignFunction;
	run: ForeignFunction;
	kernel: ForeignFunction;
	isa: ForeignFunction;
	peak: ForeignFunction;
	memory: ForeignFunction;
}

let loading: Promise<Library> | undefined;

function loadOnce(path: string): Promise<Library> {
	loading ??= load(path);
	return loading;
}

async function load(path: string): Promise<Library> {
	const { default: koffi } = await import("koffi");
	const library = koffi.load(path);
	return {
		view: (pointer, bytes) => koffi.view(pointer, bytes),
		create: library.func("void* rivulet_create(int threads, int isa)"),
		destroy: library.func("void rivulet_destroy(void* runtime)"),
		space: library.func("void* rivulet_space(void* runtime, int space, double words)"),
		program: library.func("int rivulet_program(void* runtime, const int32_t* words, int count)"),
		forget: library.func("void rivulet_forget(void* runtime, int program)"),
		run: library.func("int rivulet_run(void* runtime, const int32_t* job, int count)"),
		kernel: library.func("int rivulet_kernel(const char* name)"),
		isa: library.func("const char* rivulet_isa(void* runtime)"),
		peak: library.func("double rivulet_peak(void* runtime, int threads, double seconds)"),
		memory: library.func("double rivulet_memory(void* runtime)"),
	};
}

/** A koffi function called on another thread. */
function callAsync<T>(fn: ForeignFunction, ...values: unknown[]): Promise<T> {
	return new Promise((resolve, reject) => {
		fn.async(...values, (error: Error | null, result: T) => (error ? reject(error) : resolve(result)));
	});
}

class NativeRuntime implements Runtime {
	readonly backend = "native";
	readonly description: string;
	readonly threads: number;
	readonly rowsPerStep = processorRowsPerStep;
	readonly mostSlices = Number.POSITIVE_INFINITY;
	readonly #library: Library;
	#pointer: bigint;
	readonly #spaces = new Map<Space, ArrayBuffer>();
	/** Words of the job under way: the library reads them from another thread, so they must not be collected. */
	#job: Int32Array | undefined;

	constructor(library: Library, threads: number, isa: string) {
		const pointer = library.create(threads, isaNumbers[isa] ?? -1) as bigint | null;
		if (!pointer) throw new Error(`[native] instruction set ${isa} is not possible here`);
		this.#library = library;
		this.#pointer = pointer;
		this.threads = threads;
		this.description = `native, ${library.isa(pointer)}, ${threads} ${threads === 1 ? "thread" : "threads"}`;
	}

	reserve(space: Space, words: number): void {
		const known = this.#spaces.get(space);
		if (known && known.byteLength >= words * 4) return;
		const pointer = this.#library.space(this.#pointer, spaceNumber[space], words) as bigint | null;
		if (!pointer) throw new Error(`[native] no memory for ${words * 4} bytes of ${space}`);
		this.#spaces.set(space, words > 0 ? this.#library.view(pointer, words * 4) : new ArrayBuffer(0));
	}

	write(space: Space, offset: number, words: Float32Array | Int32Array): void {
		this.#stretch(space, offset, words).set(words);
	}

	read(space: Space, offset: number, words: Float32Array | Int32Array): void {
		words.set(this.#stretch(space, offset, words));
	}

	load(program: Program): ProgramHandle {
		const words = encodeProgram(program, (name) => this.#library.kernel(name));
		const id = this.#library.program(this.#pointer, words, words.length) as number;
		if (id < 0) throw failure("native program", id);
		return { id, program };
	}

	forget({ id }: ProgramHandle): void {
		this.#library.forget(this.#pointer, id);
	}

	async run(job: Job): Promise<void> {
		this.#refuseSecondJob();
		const words = encodeJob(job);
		this.#job = words;
		try {
			const status = await callAsync<number>(this.#library.run, this.#pointer, words, words.length);
			if (status !== 0) throw failure("native job", status);
		} finally {
			this.#job = undefined;
		}
	}

	runSync(job: Job): void {
		this.#refuseSecondJob();
		const words = encodeJob(job);
		const status = this.#library.run(this.#pointer, words, words.length) as number;
		if (status !== 0) throw failure("native job", status);
	}

	async peak(seconds: number): Promise<number> {
		return await callAsync<number>(this.#library.peak, this.#pointer, this.threads, seconds);
	}

	memory(): number {
		return this.#pointer ? (this.#library.memory(this.#pointer) as number) : 0;
	}

	async close(): Promise<void> {
		this.#refuseSecondJob();
		if (this.#pointer) this.#library.destroy(this.#pointer);
		this.#pointer = 0n;
		this.#spaces.clear();
	}

	#refuseSecondJob(): void {
		if (this.#job) throw new Error("[native] expected one job at a time");
	}

	#stretch(space: Space, offset: number, like: Float32Array | Int32Array): Float32Array | Int32Array {
		const buffer = this.#spaces.get(space);
		const bytes = buffer?.byteLength ?? 0;
		if (!buffer || offset < 0 || (offset + like.length) * 4 > bytes) {
			throw new Error(`[${space}] expected at most ${bytes / 4} words, got ${offset + like.length}`);
		}
		const View = like instanceof Int32Array ? Int32Array : Float32Array;
		return new View(buffer, offset * 4, like.length);
	}
}

export const native: Backend = {
	name: "native",
	async unavailable() {
		if (!libraryPath) return "the native library is not built (npm run build needs a C++ compiler)";
		try {
			await loadOnce(libraryPath);
			return undefined;
		} catch (error) {
			return `the native library cannot be loaded: ${(error as Error).message.split("\n")[0]}`;
		}
	},
	async create({ threads = Math.min(8, availableParallelism()), isa = "best" }: RuntimeOptions) {
		if (!libraryPath) throw new Error("[native] the library is not built");
		return new NativeRuntime(await loadOnce(libraryPath), threads, isa);
	},
};
