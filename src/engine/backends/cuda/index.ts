/** The CUDA backend: the NVIDIA driver, NVRTC and cuBLASLt where a machine has them, and what is missing where not. */
import type { Backend, RuntimeOptions } from "../../backend.ts";
import { cublasLtPrototypes } from "./cublaslt.ts";
import { Driver, driverPrototypes, openDevice } from "./driver.ts";
import { type Libraries, openLibraries } from "./foreign.ts";
import { lower } from "./lower.ts";
import { nvrtcPrototypes } from "./nvrtc.ts";
import { CudaRuntime } from "./runtime.ts";

let opening: Promise<Libraries> | undefined;

function openOnce(): Promise<Libraries> {
	opening ??= openLibraries({ driver: driverPrototypes, nvrtc: nvrtcPrototypes, cublasLt: cublasLtPrototypes });
	return opening;
}

/** Looked at once: whether there is a device does not change while a process runs. */
let looking: Promise<string | undefined> | undefined;

async function look(): Promise<string | undefined> {
	try {
		// The context stays: making it takes longer than anything else at the start.
		openDevice(new Driver(await openOnce()));
		return undefined;
	} catch (error) {
		return (error as Error).message.split("\n")[0];
	}
}

export const cudaBackend: Backend = {
	name: "cuda",
	async unavailable() {
		looking ??= look();
		return await looking;
	},
	async create({ precision = "tf32" }: RuntimeOptions) {
		const modes = precision === "auto" ? ({ precision: "fp16", wide: "tf32" } as const) : { precision };
		const check = process.env.RIVULET_CUDA_CHECK === "1";
		return new CudaRuntime({ ...modes, libraries: await openOnce(), lower, check });
	},
};

/** Throw the context away, with everything in it, after a fault that it cannot recover from. Runtimes made before are void. */
export async function resetDevice(): Promise<void> {
	(await openOnce()).driver.cuDevicePrimaryCtxReset(0);
}
