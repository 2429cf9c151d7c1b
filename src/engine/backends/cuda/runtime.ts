/**
 * The engine on an NVIDIA GPU: programs lowered to launches and products, every job one CUDA graph, one stream in order. It knows no
 * kernel by name; lower.ts and half-precision.ts do.
 */
import type { Precision, Runtime } from "../../backend.ts";
import type { Space } from "../../op.ts";
import type { Job, MicroBatch, Program, ProgramHandle } from "../../program.ts";
import type { Branches } from "./branches.ts";
import { type CaptureReport, GraphCache } from "./capture.ts";
import { Products } from "./cublaslt.ts";
import { cuda, type Device, Driver, openDevice } from "./driver.ts";
import type { Libraries } from "./foreign.ts";
import { castLaunch, scaleOfLoss, unscaleLaunch } from "./half-precision.ts";
import { Kernels } from "./kernels.ts";
import { Launcher } from "./launcher.ts";
import type { Command, Launch, Lowered, Target } from "./lower-types.ts";
import { DeviceMemory, type Frame, type Region } from "./memory.ts";
import { moduleFolder } from "./module-cache.ts";
import { nvrtcVersion } from "./nvrtc.ts";
import { Choices } from "./tune.ts";

export interface CudaOptions {
	readonly libraries: Libraries;
	readonly lower: (program: Program, target: Target) => Lowered;
	readonly precision: Precision;
	/** What to go on with where values leave the range of `precision`. */
	readonly wider?: () => Promise<Runtime>;
	/** Run one command at a time, wait for each and name the one that fails. Slow. */
	readonly check?: boolean;
	/** Folder of compiled kernels, and of their sources; for tests. */
	readonly cache?: string;
	readonly sources?: string;
}

/** A loaded program. */
interface Loaded {
	readonly program: Program;
	readonly lowered: Lowered;
	readonly constants: Frame["constants"];
	/** Its kernels are compiled. */
	prepared: boolean;
}

/** Jobs that may be under way at once: the device goes from one to the next without waiting for the host. */
const mostJobs = 2;

/** What a job under way has of its own: its end, and where its outputs go on the host. Jobs take these in turn. */
interface Place {
	readonly done: bigint;
	outputs: { readonly address: bigint; readonly words: Int32Array } | undefined;
	/** Words of outputs that its last job left there. */
	fresh: number;
}

/** Outputs up to this many words are copied to the host behind every job. */
const mirroredOutputs = 1 << 18;

interface Issue {
	/** Must the weights be cast? */
	readonly cast: boolean;
	/** Are the gradients those of a scaled loss? */
	readonly unscale: boolean;
	readonly after?: (command?: Command) => void;
	readonly branches?: Branches;
	/** How often each command is put there. */
	readonly times?: number;
}

export class CudaRuntime implements Runtime {
	readonly backend = "cuda";
	readonly description: string;
	readonly threads = 1;
	readonly rowsPerStep = Number.POSITIVE_INFINITY;
	readonly mostSlices = 1;
	readonly device: Device;
	readonly precision: Precision;
	readonly wider?: () => Promise<Runtime>;
	readonly #driver: Driver;
	readonly #lower: CudaOptions["lower"];
	readonly #check: boolean;
	readonly #stream: bigint;
	readonly #memory: DeviceMemory;
	readonly #kernels: Kernels;
	readonly #products: Products;
	readonly #launcher: Launcher;
	readonly #graphs: GraphCache;
	readonly #programs = new Map<number, Loaded>();
	readonly #places: readonly Place[];
	#nextId = 0;
	/** Jobs under way, and how many there have been. */
	#running = 0;
	#jobs = 0;
	/** The place of the job that ended last, until something else is written to `outputs`. */
	#ended: Place | undefined;
	#closed = false;
	/** Are the weights in `half` those of `parameters`? */
	#halfFresh = false;

	constructor(options: CudaOptions) {
		const { libraries, lower, precision, wider, check = false, cache = moduleFolder(), sources } = options;
		this.#driver = new Driver(libraries);
		this.#lower = lower;
		this.#check = check;
		this.precision = precision;
		this.device = openDevice(this.#driver);
		if (wider) this.wider = wider;
		this.description = `cuda, ${this.device.name}, ${precision}${wider ? " (auto)" : ""}${check ? ", checked" : ""}`;
		const newEvent = () => this.#driver.make("cuEventCreate", "event", cuda.eventDisableTiming);
		this.#stream = this.#driver.make("cuStreamCreate", "stream", cuda.streamNonBlocking);
		this.#places = Array.from({ length: mostJobs }, () => ({ done: newEvent(), outputs: undefined, fresh: 0 }));
		this.#memory = new DeviceMemory(this.#driver, this.#stream, newEvent);
		const compiler = { ...this.device, version: nvrtcVersion(libraries) };
		// common.cuh has the halves of either format; without this they are bf16.
		const defines: Record<string, number> = precision === "fp16" ? { FP16: 1 } : {};
		this.#kernels = new Kernels(this.#driver, compiler, cache, sources, defines);
		const { name, driverVersion } = this.device;
		const version = Number(libraries.cublasLt.cublasLtGetVersion());
		const choices = new Choices(cache, { name, driverVersion, version, precision });
		this.#products = new Products(this.#driver, precision, choices);
		const parts = { memory: this.#memory, kernels: this.#kernels, products: this.#products };
		this.#launcher = new Launcher(this.#driver, parts, this.#stream, check);
		this.#graphs = new GraphCache(this.#driver, this.#stream);
		this.#memory.reserve("job", 4);
	}

	/** Bytes that activations may take: what is free now, less a reserve for everything else. */
	get activationBytes(): number {
		return Math.max(0, 0.9 * this.#driver.memory().free - (1 << 30)) + 4 * this.#memory.words("arena");
	}

	get memoryBytes(): number {
		return this.device.memoryBytes;
	}

	/** What capturing the last new job took. */
	get lastCapture(): CaptureReport | undefined {
		return this.#graphs.lastCapture;
	}

	/** Files of kernels that had to be compiled, and how long that took. */
	get compiled(): { readonly files: number; readonly milliseconds: number } {
		return this.#kernels.compiled;
	}

	reserve(space: Space, words: number): void {
		this.#memory.reserve(regionOf(space), words);
	}

	write(space: Space, offset: number, words: Float32Array | Int32Array): void {
		this.#memory.write(regionOf(space), offset, words);
		if (space === "parameters") this.#halfFresh = false;
		if (space === "outputs") this.#ended = undefined;
	}

	read(space: Space, offset: number, words: Float32Array | Int32Array): void {
		const { outputs, fresh = 0 } = this.#ended ?? {};
		if (space === "outputs" && outputs && offset + words.length <= fresh) {
			const { buffer, byteOffset } = outputs.words;
			const View = words instanceof Int32Array ? Int32Array : Float32Array;
			words.set(new View(buffer as ArrayBuffer, byteOffset + 4 * offset, words.length));
			return;
		}
		if (space === "outputs" && this.#running > 0) throw tooMany();
		this.#memory.read(regionOf(space), offset, words);
	}

	load(program: Program): ProgramHandle {
		const { multiprocessors, sharedMemory } = this.device;
		const lowered = this.#lower(program, { precision: this.precision, multiprocessors, sharedMemory });
		const id = this.#nextId++;
		this.#programs.set(id, { program, lowered, constants: this.#constants(program.constants), prepared: false });
		return { id, program };
	}

	forget({ id }: ProgramHandle): void {
		const loaded = this.#programs.get(id);
		if (!loaded) return;
		this.#memory.synchronize("constants");
		if (loaded.constants.address) this.#driver.call("cuMemFree", "constants", loaded.constants.address);
		this.#programs.delete(id);
	}

	async run(job: Job): Promise<void> {
		if (this.#running > 0) throw tooMany();
		const { ended } = await this.submit(job);
		await ended;
	}

	/** At once where its kernels are compiled. */
	async submit(job: Job): Promise<{ readonly ended: Promise<void> }> {
		this.#begin(mostJobs);
		try {
			const programs = [...job.microBatches, ...job.updates].map(({ program }) => this.#loaded(program));
			if (programs.some(({ prepared }) => !prepared)) {
				await this.#kernels.prepare(this.#launches(programs));
				for (const program of programs) program.prepared = true;
			}
			const place = this.#start(job);
			return { ended: this.#finished(place).finally(() => this.#running--) };
		} catch (error) {
			this.#running--;
			throw error;
		}
	}

	runSync(job: Job): void {
		this.#begin(1);
		try {
			const place = this.#start(job);
			this.#driver.call("cuEventSynchronize", "job", place.done);
			this.#ended = place;
		} finally {
			this.#running--;
		}
	}

	/**
	 * Run a job that has run before as one graph with a time taken after every command, which is put there `times` times in a row so that
	 * the taking of time (about 5 us) does not count; what it computes is then of no use. @returns each command in order, with its
	 * milliseconds on the device
	 */
	profile(job: Job, times = 1): { readonly command: Command; readonly milliseconds: number }[] {
		this.#begin(1);
		const driver = this.#driver;
		const events: bigint[] = [];
		const commands: Command[] = [];
		const mark = () => {
			const event = driver.make("cuEventCreate", "event", cuda.eventDefault);
			events.push(event);
			driver.call("cuEventRecordWithFlags", "profile", event, this.#stream, cuda.eventRecordExternal);
		};
		try {
			const graphs = new GraphCache(driver, this.#stream);
			this.#start(job, graphs);
			const after = (command?: Command) => {
				if (command) commands.push(command);
				mark();
			};
			const { done } = this.#start(job, graphs, after, times);
			driver.call("cuEventSynchronize", "profile", done);
			graphs.clear();
			const time = new Float32Array(1);
			return commands.map((command, i) => {
				driver.call("cuEventElapsedTime", "profile", time, events[i], events[i + 1]);
				return { command, milliseconds: time[0] / times };
			});
		} finally {
			for (const event of events) driver.function("cuEventDestroy")(event);
			this.#running--;
		}
	}

	/** Milliseconds that a job which has run before takes on the device, `times` of them put there without waiting; what they compute is real. */
	deviceTime(job: Job, times: number): number {
		this.#begin(1);
		const driver = this.#driver;
		const [start, end] = [0, 1].map(() => driver.make("cuEventCreate", "timing", cuda.eventDefault));
		try {
			// The first two may run straight and be captured.
			for (let i = 0; i < times + 2; i++) {
				if (i === 2) driver.call("cuEventRecord", "timing", start, this.#stream);
				this.#start(job);
			}
			driver.call("cuEventRecord", "timing", end, this.#stream);
			driver.call("cuEventSynchronize", "timing", end);
			const time = new Float32Array(1);
			driver.call("cuEventElapsedTime", "timing", time, start, end);
			return time[0] / times;
		} finally {
			for (const event of [start, end]) driver.function("cuEventDestroy")(event);
			this.#running--;
		}
	}

	/** Rate of a large product in this runtime's precision. */
	async peak(seconds: number): Promise<number> {
		return (await this.#measure(seconds)).gflops;
	}

	/** Rate of a large product of halves (bf16 but in fp16) in GFLOP/s, and of a copy in GB/s read and written. */
	async rates(seconds: number): Promise<{ bf16: number; copy: number }> {
		const { gflops: bf16, copy } = await this.#measure(seconds, true);
		return { bf16, copy };
	}

	memory(): number {
		const constants = [...this.#programs.values()].reduce((sum, loaded) => sum + 4 * loaded.constants.words, 0);
		return this.#closed ? 0 : this.#memory.bytes + constants;
	}

	async close(): Promise<void> {
		if (this.#running > 0) throw tooMany();
		if (this.#closed) return;
		this.#closed = true;
		const driver = this.#driver;
		driver.function("cuStreamSynchronize")(this.#stream);
		this.#graphs.clear();
		const free = (address: bigint) => driver.function("cuMemFree")(address);
		for (const { constants } of this.#programs.values()) if (constants.address) free(constants.address);
		this.#programs.clear();
		for (const { outputs, done } of this.#places) {
			if (outputs) driver.function("cuMemFreeHost")(outputs.address);
			driver.function("cuEventDestroy")(done);
		}
		this.#products.close(free);
		this.#kernels.close();
		this.#memory.close();
		driver.function("cuStreamDestroy")(this.#stream);
		// The device number; there is only the first.
		driver.function("cuDevicePrimaryCtxRelease")(0);
	}

	/** One more job under way, `most` at once. */
	#begin(most: number): void {
		if (this.#running >= most) throw tooMany(most);
		if (this.#closed) throw new Error("[cuda] expected an open runtime, got a closed one");
		this.#running++;
	}

	/** Put a job on the stream, what the host wrote before it, and after it the copy of its outputs and the event of its end. */
	#start(job: Job, graphs = this.#graphs, after?: (command?: Command) => void, times = 1): Place {
		const programs = [...job.microBatches, ...job.updates].map(({ program }) => this.#loaded(program));
		if (job.microBatches.length > 0) this.#memory.reserve("slices", job.slices * job.gradientWords);
		for (const { program, lowered } of programs) {
			this.#memory.reserve("arena", program.arenaWords);
			this.#memory.reserve("scratch", lowered.scratchWords);
		}
		const place = this.#places[this.#jobs++ % mostJobs];
		if (this.#ended === place) this.#ended = undefined;
		place.fresh = this.#mirrorOutputs(job, place);
		const lossScale = this.#lossScale(job);
		const cast = this.#mustCast(job, programs);
		const factor = lossScale === null ? 1 : scaleOfLoss(this.#memory.written("shared", lossScale));
		const state = Int32Array.of(
			Number(BigInt.asIntN(32, job.seed)),
			Number(BigInt.asIntN(32, job.seed >> 32n)),
			job.step,
			bitsOf(1 / factor),
		);
		this.#memory.write("job", 0, state);
		this.#memory.send();
		if (lossScale !== null) this.#scaleLoss(lossScale, factor);
		const issue = (branches?: Branches) =>
			this.#issue(job, { cast, unscale: lossScale !== null, after, branches, times });
		if (this.#check) issue();
		else graphs.run(keyOf(job, cast), this.#memory.generation, issue);
		if (place.fresh > 0 && place.outputs) {
			const from = this.#memory.address("outputs", 0, place.fresh);
			this.#driver.call("cuMemcpyDtoHAsync", "outputs", place.outputs.address, from, 4 * place.fresh, this.#stream);
		}
		this.#driver.call("cuEventRecord", "job", place.done, this.#stream);
		return place;
	}

	/** The commands of a job, one by one; `after` is told of each, and once before the first. Captured, they are in `branches`. */
	#issue(job: Job, { cast, unscale, after, branches, times = 1 }: Issue): void {
		const issue = (command: Command, frame: Frame, early = false) => {
			for (let i = 0; i < times; i++) this.#launcher.issue(command, frame, early);
			after?.(command);
		};
		const issueProgram = (handle: ProgramHandle, bases: Frame["bases"], firstSequence: number) => {
			const { lowered, constants } = this.#loaded(handle);
			const frame = { constants, bases, firstSequence };
			const put = (i: number, after: readonly number[] = []) =>
				issue(lowered.commands[i], frame, this.#mayBeEarly(after.map((each) => lowered.commands[each])));
			if (branches && lowered.dependencies && !after) branches.capture(lowered.dependencies, put);
			else lowered.commands.forEach((_, i) => put(i));
		};
		const zero = job.microBatches.length > 0 ? job.slices * job.gradientWords : 0;
		if (zero > 0) {
			const address = this.#memory.address("slices", 0, zero);
			this.#driver.call("cuMemsetD32Async", "gradients", address, 0, zero, this.#stream);
		}
		after?.();
		const { multiprocessors } = this.device;
		const own: Frame = { constants: { address: 0n, words: 0 }, bases: {}, firstSequence: 0 };
		if (cast) issue(castLaunch(this.#memory.words("parameters"), multiprocessors), own);
		for (const batch of job.microBatches) issueProgram(batch.program, basesOf(batch, job), batch.firstSequence);
		if (unscale) issue(unscaleLaunch(zero, multiprocessors), own);
		for (const { program, stateOffset } of job.updates) issueProgram(program, { state: stateOffset }, 0);
	}

	/** May a kernel be on the device before these have ended? A kernel can wait for kernels only. */
	#mayBeEarly(after: readonly Command[]): boolean {
		return this.device.launchesEarly && after.length > 0 && after.every(({ kind }) => kind !== "zero");
	}

	/** Poll: the wait of a step is short, and the event loop stays free. */
	async #finished(place: Place): Promise<void> {
		const query = this.#driver.function("cuEventQuery");
		const patience = performance.now() + 100;
		for (;;) {
			const result = query(place.done) as number;
			if (result === cuda.success) {
				this.#ended = place;
				return;
			}
			if (result !== cuda.notReady) throw this.#driver.error("cuEventQuery", result, "a job ended badly");
			if (performance.now() < patience) await new Promise((resolve) => setImmediate(resolve));
			else await new Promise((resolve) => setTimeout(resolve, 1));
		}
	}

	#loaded({ id }: ProgramHandle): Loaded {
		const loaded = this.#programs.get(id);
		if (!loaded) throw new Error(`[cuda] expected a loaded program, got ${id}`);
		return loaded;
	}

	*#launches(loaded: readonly Loaded[]): Generator<Pick<Launch, "file" | "defines" | "label">> {
		if (loaded.some(({ lowered }) => lowered.half) || this.precision === "fp16") yield castLaunch(0, 1);
		for (const { lowered } of new Set(loaded)) {
			for (const command of lowered.commands) if (command.kind === "kernel") yield command;
		}
	}

	/** Must the weights be cast before this job? */
	#mustCast(job: Job, programs: readonly Loaded[]): boolean {
		if (job.weightsChanged) this.#halfFresh = false;
		if (!programs.some(({ lowered }) => lowered.half)) return false;
		const words = this.#memory.words("parameters");
		if (this.#memory.words("half") < words / 2) this.#halfFresh = false;
		this.#memory.reserve("half", Math.ceil(words / 2));
		const must = !this.#halfFresh;
		this.#halfFresh = true;
		return must;
	}

	/**
	 * Where in `shared` the micro-batches of a job in fp16 find the scale of their loss; null where they have none, or
	 * leave no gradients. It is used for nothing but gradients, so multiplying it multiplies them. A job's gradients begin
	 * at zero, all its micro-batches add to them with the same factor, and they are divided by it behind the last of
	 * those: nobody else ever sees them scaled.
	 */
	#lossScale({ microBatches, gradientWords }: Job): number | null {
		if (this.precision !== "fp16" || gradientWords === 0) return null;
		const offsetOf = (handle: ProgramHandle) => this.#loaded(handle).program.shared.get("lossScale")?.offset ?? null;
		const [offset = null, ...others] = new Set(microBatches.map(({ program }) => offsetOf(program)));
		if (others.length > 0) throw new Error("[cuda] expected micro-batches with the same scale of the loss");
		return offset;
	}

	/** Put the scale of the loss times `factor` on the device; what the host wrote stays in its mirror. */
	#scaleLoss(offset: number, factor: number): void {
		const bits = bitsOf(factor * this.#memory.written("shared", offset)) >>> 0;
		const address = this.#memory.address("shared", offset, 1);
		this.#driver.call("cuMemsetD32Async", "scale of the loss", address, bits, 1, this.#stream);
	}

	/** Words of outputs that a job leaves and that are few enough to be copied along with it; makes room for them. */
	#mirrorOutputs({ microBatches, updates }: Job, place: Place): number {
		let words = 0;
		for (const { program, outputsOffset } of microBatches) {
			words = Math.max(words, outputsOffset + program.program.outputWords);
		}
		for (const { program } of updates) words = Math.max(words, program.program.outputWords);
		if (words > mirroredOutputs || words > this.#memory.words("outputs")) return 0;
		if (words > (place.outputs?.words.length ?? 0)) {
			this.#memory.synchronize("outputs");
			for (const each of this.#places) {
				if (each.outputs) this.#driver.call("cuMemFreeHost", "outputs", each.outputs.address);
				each.outputs = this.#memory.pinned(Math.ceil(words / 1024) * 1024, "outputs");
			}
		}
		return words;
	}

	#constants(words: Int32Array): Frame["constants"] {
		if (words.length === 0) return { address: 0n, words: 0 };
		const address = this.#driver.allocate(words.byteLength, "constants");
		this.#driver.call("cuMemcpyHtoDAsync", "constants", address, words, words.byteLength, this.#stream);
		this.#memory.synchronize("constants");
		return { address, words: words.length };
	}

	/** Time products of 4096 x 4096 and copies of 256 MiB by events, the best of several; on memory of its own. */
	async #measure(seconds: number, half = false): Promise<{ gflops: number; copy: number }> {
		const { measureRates } = await import("./measure.ts");
		return measureRates(this.#driver, this.#products, this.#stream, { seconds, half });
	}
}

/** The bits of a number in fp32. */
function bitsOf(value: number): number {
	return new Int32Array(Float32Array.of(value).buffer)[0];
}

function tooMany(most = 1): Error {
	return new Error(`[cuda] expected ${most === 1 ? "one job" : `${most} jobs`} at a time`);
}

function regionOf(space: Space): Region {
	if (space === "gradients") return "slices";
	if (space === "constants") throw new Error("[constants] expected a space of the host's, got a program's own");
	return space;
}

function basesOf({ slice, inputsOffset, outputsOffset }: MicroBatch, { gradientWords }: Job): Frame["bases"] {
	return { gradients: slice * gradientWords, inputs: inputsOffset, outputs: outputsOffset };
}

/** Everything that is baked into the commands of a job. */
function keyOf({ microBatches, updates, slices, gradientWords }: Job, cast: boolean): string {
	const parts: unknown[] = [cast, slices, gradientWords];
	for (const { program, slice, inputsOffset, outputsOffset, firstSequence } of microBatches) {
		parts.push([program.id, slice, inputsOffset, outputsOffset, firstSequence]);
	}
	for (const { program, stateOffset } of updates) parts.push([program.id, stateOffset]);
	return JSON.stringify(parts);
}
