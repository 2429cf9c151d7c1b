/**
 * The engine on an NVIDIA GPU: programs lowered to launches and products, every job one CUDA graph, one stream in order. It knows no
 * kernel by name; lower.ts and half-precision.ts do.
 */
import type { Precision, Runtime } from "../../backend.ts";
import type { Space } from "../../op.ts";
import type { Job, MicroBatch, Program, ProgramHandle } from "../../program.ts";
import type { Branches } from "./branches.ts";
import { type CaptureReport, GraphCache } from "./capture.ts";
import { cuda, type Device, Driver, openDevice } from "./driver.ts";
import type { Libraries } from "./foreign.ts";
import { castLaunch, scaleOfLoss, unscaleLaunch } from "./half-precision.ts";
import type { Command } from "./lower-types.ts";
import { DeviceMemory, type Frame, type Region } from "./memory.ts";
import { type Form, type Ground, Mode } from "./mode.ts";
import { moduleFolder } from "./module-cache.ts";

export interface CudaOptions {
	readonly libraries: Libraries;
	readonly lower: Ground["lower"];
	readonly precision: Precision;
	/** Of jobs that ask to be wide; default the same. */
	readonly wide?: Precision;
	/** Run one command at a time, wait for each and name the one that fails. Slow. */
	readonly check?: boolean;
	/** Folder of compiled kernels, and of their sources; for tests. */
	readonly cache?: string;
	readonly sources?: string;
}

/** A loaded program. */
interface Loaded {
	readonly program: Program;
	readonly constants: Frame["constants"];
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
	readonly mode: Mode;
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
	readonly wide?: Precision;
	readonly #driver: Driver;
	readonly #check: boolean;
	readonly #stream: bigint;
	readonly #memory: DeviceMemory;
	readonly #ground: Ground;
	readonly #mode: Mode;
	/** Of wide jobs, once there was one. */
	#wideMode: Mode | undefined;
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
		const { libraries, lower, precision, wide, check = false, cache = moduleFolder(), sources } = options;
		this.#driver = new Driver(libraries);
		this.#check = check;
		this.precision = precision;
		this.device = openDevice(this.#driver);
		if (wide) this.wide = wide;
		this.description = `cuda, ${this.device.name}, ${precision}${wide ? " (auto)" : ""}${check ? ", checked" : ""}`;
		const newEvent = () => this.#driver.make("cuEventCreate", "event", cuda.eventDisableTiming);
		this.#stream = this.#driver.make("cuStreamCreate", "stream", cuda.streamNonBlocking);
		this.#places = Array.from({ length: mostJobs }, () => ({ done: newEvent(), outputs: undefined, fresh: 0 }));
		this.#memory = new DeviceMemory(this.#driver, this.#stream, newEvent);
		const own = { driver: this.#driver, device: this.device, memory: this.#memory, stream: this.#stream };
		this.#ground = { ...own, lower, cache, sources, check };
		this.#mode = new Mode(precision, this.#ground);
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
		const { files, milliseconds } = this.#mode.kernels.compiled;
		const more = this.#wideMode?.kernels.compiled ?? { files: 0, milliseconds: 0 };
		return { files: files + more.files, milliseconds: milliseconds + more.milliseconds };
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
		const handle = { id: this.#nextId++, program };
		this.#mode.form(handle);
		this.#programs.set(handle.id, { program, constants: this.#constants(program.constants) });
		return handle;
	}

	forget({ id }: ProgramHandle): void {
		const loaded = this.#programs.get(id);
		if (!loaded) return;
		this.#memory.synchronize("constants");
		if (loaded.constants.address) this.#driver.call("cuMemFree", "constants", loaded.constants.address);
		this.#programs.delete(id);
		for (const mode of this.#modes) mode.forget(id);
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
			const forms = this.#formsOf(job);
			if (forms.some(({ prepared }) => !prepared)) await this.#modeOf(job).prepare(forms);
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
		for (const mode of this.#modes) mode.close(free);
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
		const mode = this.#modeOf(job);
		const forms = this.#formsOf(job);
		if (job.microBatches.length > 0) this.#memory.reserve("slices", job.slices * job.gradientWords);
		for (const { program } of programsOf(job)) this.#memory.reserve("arena", this.#loaded(program).program.arenaWords);
		for (const { lowered } of forms) this.#memory.reserve("scratch", lowered.scratchWords);
		const place = this.#places[this.#jobs++ % mostJobs];
		if (this.#ended === place) this.#ended = undefined;
		place.fresh = this.#mirrorOutputs(job, place);
		const lossScale = mode.precision === "fp16" ? this.#lossScale(job) : null;
		const cast = this.#mustCast(job, forms);
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
			this.#issue(job, { mode, cast, unscale: lossScale !== null, after, branches, times });
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
	#issue(job: Job, { mode, cast, unscale, after, branches, times = 1 }: Issue): void {
		const issue = (command: Command, frame: Frame, early = false) => {
			for (let i = 0; i < times; i++) mode.launcher.issue(command, frame, early);
			after?.(command);
		};
		const issueProgram = (handle: ProgramHandle, bases: Frame["bases"], firstSequence: number) => {
			const { constants } = this.#loaded(handle);
			const { lowered } = mode.form(handle);
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

	get #modes(): Mode[] {
		return this.#wideMode ? [this.#mode, this.#wideMode] : [this.#mode];
	}

	#modeOf({ wide }: Job): Mode {
		if (!wide || !this.wide) return this.#mode;
		this.#wideMode ??= new Mode(this.wide, this.#ground);
		return this.#wideMode;
	}

	#formsOf(job: Job): Form[] {
		for (const { program } of programsOf(job)) this.#loaded(program);
		return programsOf(job).map(({ program }) => this.#modeOf(job).form(program));
	}

	/** Must the weights be cast before this job? */
	#mustCast(job: Job, forms: readonly Form[]): boolean {
		if (job.weightsChanged) this.#halfFresh = false;
		if (!forms.some(({ lowered }) => lowered.half)) return false;
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
		if (gradientWords === 0) return null;
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
		return measureRates(this.#driver, this.#mode.products, this.#stream, { seconds, half });
	}
}

function programsOf({ microBatches, updates }: Job): { readonly program: ProgramHandle }[] {
	return [...microBatches, ...updates];
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
function keyOf({ microBatches, updates, slices, gradientWords, wide = false }: Job, cast: boolean): string {
	const parts: unknown[] = [wide, cast, slices, gradientWords];
	for (const { program, slice, inputsOffset, outputsOffset, firstSequence } of microBatches) {
		parts.push([program.id, slice, inputsOffset, outputsOffset, firstSequence]);
	}
	for (const { program, stateOffset } of updates) parts.push([program.id, stateOffset]);
	return JSON.stringify(parts);
}
