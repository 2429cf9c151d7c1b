/** The CUDA driver API as far as it is used: prototypes, numbers of cuda.h, and results turned into errors. */
import { RivuletError } from "../../../base/errors.ts";
import type { Foreign, Libraries, Prototypes } from "./foreign.ts";

/** Handles (contexts, streams, events, graphs, modules, functions) are `void*`, device addresses `uint64_t`. */
export const driverPrototypes: Prototypes = {
	cuInit: "uint32_t",
	cuDriverGetVersion: "void*",
	cuDeviceGet: "void*, int",
	cuDeviceGetName: "void*, int, int",
	cuDeviceGetAttribute: "void*, int, int",
	cuDevicePrimaryCtxRetain: "void*, int",
	cuDevicePrimaryCtxRelease: "cuDevicePrimaryCtxRelease_v2(int)",
	cuDevicePrimaryCtxReset: "cuDevicePrimaryCtxReset_v2(int)",
	cuCtxSetCurrent: "void*",
	cuCtxSynchronize: "()",
	cuMemGetInfo: "cuMemGetInfo_v2(void*, void*)",
	cuMemAlloc: "cuMemAlloc_v2(void*, size_t)",
	cuMemFree: "cuMemFree_v2(uint64_t)",
	cuMemHostAlloc: "void*, size_t, uint32_t",
	cuMemFreeHost: "void*",
	cuMemcpyHtoDAsync: "cuMemcpyHtoDAsync_v2(uint64_t, void*, size_t, void*)",
	cuMemcpyDtoHAsync: "cuMemcpyDtoHAsync_v2(void*, uint64_t, size_t, void*)",
	cuMemcpyDtoDAsync: "cuMemcpyDtoDAsync_v2(uint64_t, uint64_t, size_t, void*)",
	cuMemsetD16Async: "uint64_t, uint16_t, size_t, void*",
	cuMemsetD32Async: "uint64_t, uint32_t, size_t, void*",
	cuMemsetD2D32Async: "uint64_t, size_t, uint32_t, size_t, size_t, void*",
	cuStreamCreate: "void*, uint32_t",
	cuStreamDestroy: "cuStreamDestroy_v2(void*)",
	cuStreamSynchronize: "void*",
	cuStreamBeginCapture: "cuStreamBeginCapture_v2(void*, int)",
	cuStreamEndCapture: "void*, void*",
	cuStreamGetCaptureInfo: "cuStreamGetCaptureInfo_v3(void*, void*, void*, void*, void*, void*, void*)",
	cuStreamUpdateCaptureDependencies: "cuStreamUpdateCaptureDependencies_v2(void*, void*, void*, size_t, uint32_t)",
	cuEventCreate: "void*, uint32_t",
	cuEventDestroy: "cuEventDestroy_v2(void*)",
	cuEventRecord: "void*, void*",
	cuEventRecordWithFlags: "void*, void*, uint32_t",
	cuEventQuery: "void*",
	cuEventSynchronize: "void*",
	cuEventElapsedTime: "void*, void*, void*",
	cuGraphInstantiate: "cuGraphInstantiateWithFlags(void*, void*, uint64_t)",
	cuGraphUpload: "void*, void*",
	cuGraphLaunch: "void*, void*",
	cuGraphGetNodes: "void*, void*, void*",
	cuGraphExecDestroy: "void*",
	cuGraphDestroy: "void*",
	cuModuleLoadData: "void*, void*",
	cuModuleUnload: "void*",
	cuModuleGetFunction: "void*, void*, const char*",
	cuFuncSetAttribute: "void*, int, int",
	cuLaunchKernelEx: "void*, void*, void*, void*",
	cuGetErrorName: "int, void*",
	cuGetErrorString: "int, void*",
};

/** Numbers of cuda.h. */
export const cuda = {
	success: 0,
	outOfMemory: 2,
	notReady: 600,
	attributeMultiprocessors: 16,
	attributeMajor: 75,
	attributeMinor: 76,
	attributeSharedMemoryOptIn: 97,
	functionMaxDynamicShared: 8,
	streamNonBlocking: 1,
	eventDefault: 0,
	eventDisableTiming: 2,
	eventRecordExternal: 1,
	captureThreadLocal: 1,
	setCaptureDependencies: 1,
	launchProgrammaticSerialization: 6,
} as const;

/** A failed call of the driver, NVRTC or cuBLASLt. `lost`: nothing more can be done in this context. */
export class CudaError extends RivuletError {
	readonly result: number;
	readonly lost: boolean;

	constructor(message: string, result: number) {
		// Faults of a kernel and of the device: the driver answers every later call with them.
		const lost = (result >= 700 && result < 800) || result === 214 || result === 220;
		const hint = lost
			? "Saved checkpoints are intact. RIVULET_CUDA_CHECK=1 runs one operation at a time and names the one that fails."
			: "Saved checkpoints are intact. --backend native runs on the processor.";
		super("cuda-failed", message, { hint });
		this.result = result;
		this.lost = lost;
	}
}

/** Calls into the driver with one context made current; not shared between threads. */
export class Driver {
	readonly libraries: Libraries;
	readonly #slot: BigUint64Array;
	readonly #second: BigUint64Array;
	readonly #number: Int32Array;

	constructor(libraries: Libraries) {
		this.libraries = libraries;
		const { buffer } = libraries.allocate(64);
		this.#slot = new BigUint64Array(buffer, 0, 1);
		this.#second = new BigUint64Array(buffer, 8, 1);
		this.#number = new Int32Array(buffer, 16, 1);
	}

	/** Call `name`; a result other than success is an error that says `what` was being done. */
	call(name: string, what: string, ...values: unknown[]): void {
		const result = this.function(name)(...values) as number;
		if (result !== cuda.success) throw this.error(name, result, what);
	}

	/** A call whose first parameter is where it puts a handle or address. */
	make(name: string, what: string, ...values: unknown[]): bigint {
		this.#slot[0] = 0n;
		this.call(name, what, this.#slot, ...values);
		return this.#slot[0];
	}

	/** A call whose first parameter is where it puts an int. */
	number(name: string, what: string, ...values: unknown[]): number {
		this.#number[0] = 0;
		this.call(name, what, this.#number, ...values);
		return this.#number[0];
	}

	function(name: string): Foreign {
		const fn = this.libraries.driver[name];
		if (!fn) throw new Error(`[cuda] expected a driver function, got ${name}`);
		return fn;
	}

	/** Free and total bytes of the device. */
	memory(): { free: number; total: number } {
		this.call("cuMemGetInfo", "memory", this.#slot, this.#second);
		return { free: Number(this.#slot[0]), total: Number(this.#second[0]) };
	}

	error(name: string, result: number, what: string): CudaError {
		const say = (fn: string): string => {
			const slot = new BigUint64Array(1);
			return this.function(fn)(result, slot) === 0 ? this.libraries.text(slot[0]) : "unknown";
		};
		return new CudaError(
			`[cuda] ${what}: ${name} answered ${say("cuGetErrorName")} (${result}), ${say("cuGetErrorString")}`,
			result,
		);
	}

	/** Device memory, not cleared. @throws RivuletError "cuda-memory", which says how much was needed and there */
	allocate(bytes: number, what: string): bigint {
		this.#slot[0] = 0n;
		const result = this.function("cuMemAlloc")(this.#slot, bytes) as number;
		if (result === cuda.outOfMemory) throw this.#exhausted(bytes, what);
		if (result !== cuda.success) throw this.error("cuMemAlloc", result, `${bytes} bytes for ${what}`);
		return this.#slot[0];
	}

	#exhausted(bytes: number, what: string): RivuletError {
		const { free, total } = this.memory();
		const mega = (count: number) => `${Math.ceil(count / 1e6)} MB`;
		return new RivuletError(
			"cuda-memory",
			`expected ${mega(bytes)} of memory on the GPU for ${what}, found ${mega(free)} of ${mega(total)} free`,
			{
				hint: "A smaller --train.batch, or --train.recompute with a small number, needs less. Saved checkpoints are intact.",
			},
		);
	}
}

/** The device as the backend sees it. */
export interface Device {
	readonly name: string;
	/** "sm_90" */
	readonly architecture: string;
	readonly multiprocessors: number;
	/** Most dynamic shared memory of a block, bytes. */
	readonly sharedMemory: number;
	readonly memoryBytes: number;
	/** 13000 for 13.0 */
	readonly driverVersion: number;
	/** May a launch, in a graph too, be on the device before those it follows have ended? */
	readonly launchesEarly: boolean;
	readonly context: bigint;
}

/** Take the first device and make its primary context current. */
export function openDevice(driver: Driver): Device {
	driver.call("cuInit", "start", 0);
	const device = driver.number("cuDeviceGet", "first device", 0);
	const attribute = (which: number) => driver.number("cuDeviceGetAttribute", "device", which, device);
	const name = new Uint8Array(256);
	driver.call("cuDeviceGetName", "device", name, name.length, device);
	const context = driver.make("cuDevicePrimaryCtxRetain", "context", device);
	driver.call("cuCtxSetCurrent", "context", context);
	const major = attribute(cuda.attributeMajor);
	const minor = attribute(cuda.attributeMinor);
	const driverVersion = driver.number("cuDriverGetVersion", "driver");
	return {
		name: new TextDecoder().decode(name.subarray(0, name.indexOf(0))),
		architecture: `sm_${major}${minor}${major >= 9 ? "a" : ""}`,
		multiprocessors: attribute(cuda.attributeMultiprocessors),
		sharedMemory: attribute(cuda.attributeSharedMemoryOptIn),
		memoryBytes: driver.memory().total,
		driverVersion,
		launchesEarly: major >= 9 && driverVersion >= 12030,
		context,
	};
}
