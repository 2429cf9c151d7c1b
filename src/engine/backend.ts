/** What a backend is: memory in spaces, and programs run in one call. It knows ops only by their names. */
import type { Space } from "./op.ts";
import type { Job, Program, ProgramHandle } from "./program.ts";

/** Names of the backends (docs/engine.md). */
export type BackendName = "cuda" | "native" | "wasm" | "reference";

/** How a GPU reads the operands of products: as they are, or rounded to tf32, bf16 or fp16; sums and everything else stay in fp32. */
export type Precision = "fp32" | "tf32" | "bf16" | "fp16";

/** Rows of one step of a recurrence that make matrix products efficient while its values still fit a core's cache. */
export const processorRowsPerStep = 128;

/** One runtime: one set of spaces, a pool of threads, loaded programs. Not shared between models. */
export interface Runtime {
	readonly backend: BackendName;
	/** What it runs on, in words: "native, AVX-512, 2 threads". */
	readonly description: string;
	readonly threads: number;
	/** Rows of one step of a recurrence that suit it: a batch is cut into micro-batches of about so many. */
	readonly rowsPerStep: number;
	/** Slices that a batch is cut into at most; 1 where cutting only costs. */
	readonly mostSlices: number;
	/** Bytes of its own memory that activations may take now; absent where they share the machine's. */
	readonly activationBytes?: number;
	/** All of its own memory, where it has one. */
	readonly memoryBytes?: number;
	/** The precision of jobs that ask to be `wide`, where there is one whose numbers reach further: for results that leave the range. */
	readonly wide?: Precision;
	/** Make `space` at least `words` long (contents kept, new words zero). */
	reserve(space: Space, words: number): void;
	/** Words [offset, offset + length) of a space, copied to or from the host. */
	write(space: Space, offset: number, words: Float32Array | Int32Array): void;
	read(space: Space, offset: number, words: Float32Array | Int32Array): void;
	load(program: Program): ProgramHandle;
	forget(handle: ProgramHandle): void;
	/** Run without blocking the event loop. One job at a time. */
	run(job: Job): Promise<void>;
	/**
	 * Put a job on its way while the one before it may still be running, where the runtime can: two at most. Jobs end in order; `outputs`
	 * are those of the job that ended last, to be read as soon as `ended` resolves. Nothing else may be read or written meanwhile but
	 * inputs and shared values of the next job.
	 */
	submit?(job: Job): Promise<{ readonly ended: Promise<void> }>;
	/** Run and block; for short jobs such as one decoded token. */
	runSync(job: Job): void;
	/** Measured peak of fused multiply-add in GFLOP/s; NaN where it makes no sense. */
	peak(seconds: number): Promise<number>;
	/** What `doctor` tells beside the product: rates of a large product of bf16 operands (GFLOP/s) and of a copy (GB/s). */
	rates?(seconds: number): Promise<{ readonly bf16: number; readonly copy: number }>;
	/** Bytes held. */
	memory(): number;
	close(): Promise<void>;
}

/** How a runtime is to be. */
export interface RuntimeOptions {
	/** Worker threads; default all cores (at most 8). */
	threads?: number;
	/** cuda only; default tf32. "auto": fp16, and tf32 for jobs that ask to be wide. */
	precision?: Precision | "auto";
	/** native only: force an instruction set, for tests ("baseline", "avx2", "avx512", "neon"). */
	isa?: string;
}

/** A kind of runtime. `unavailable` says in one line why it cannot work here, or undefined when it can. */
export interface Backend {
	readonly name: BackendName;
	unavailable(): Promise<string | undefined>;
	create(options: RuntimeOptions): Promise<Runtime>;
}
