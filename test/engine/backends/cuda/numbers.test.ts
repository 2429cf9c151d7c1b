/** Numbers and exported names of the driver API against cuda.h, where a CUDA toolkit is installed. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { cuda, driverPrototypes } from "../../../../src/engine/backends/cuda/driver.ts";

const path = join(process.env.CUDA_HOME ?? "/usr/local/cuda", "include", "cuda.h");
const names: Record<keyof typeof cuda, string> = {
	success: "CUDA_SUCCESS",
	outOfMemory: "CUDA_ERROR_OUT_OF_MEMORY",
	notReady: "CUDA_ERROR_NOT_READY",
	attributeMultiprocessors: "CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT",
	attributeMajor: "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR",
	attributeMinor: "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR",
	attributeSharedMemoryOptIn: "CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN",
	functionMaxDynamicShared: "CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES",
	streamNonBlocking: "CU_STREAM_NON_BLOCKING",
	eventDefault: "CU_EVENT_DEFAULT",
	eventDisableTiming: "CU_EVENT_DISABLE_TIMING",
	eventRecordExternal: "CU_EVENT_RECORD_EXTERNAL",
	captureThreadLocal: "CU_STREAM_CAPTURE_MODE_THREAD_LOCAL",
	setCaptureDependencies: "CU_STREAM_SET_CAPTURE_DEPENDENCIES",
	launchProgrammaticSerialization: "CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION",
};

test.skipIf(!existsSync(path))(`cuda.h${existsSync(path) ? "" : " (skipped: no CUDA toolkit here)"}`, () => {
	const header = readFileSync(path, "utf8");
	for (const [key, name] of Object.entries(names)) {
		const value = new RegExp(`\\b${name}\\s*=\\s*(\\w+)`).exec(header)?.[1];
		expect(Number(value), name).toBe(cuda[key as keyof typeof cuda]);
	}
	for (const [name, text] of Object.entries(driverPrototypes)) {
		const parameters = text.replace(/^\w*\(|\)$/g, "");
		// The header keeps the prototypes of older versions under __CUDA_API_VERSION_INTERNAL; the first is the current one.
		const exported = name === "cuGraphInstantiate" ? name : /^(\w+)\(/.exec(text)?.[1];
		const declared = new RegExp(`CUresult CUDAAPI ${name}\\(([^)]*)\\)`).exec(header)?.[1] ?? "missing";
		const expected = declared === "void" ? 0 : declared.split(",").length;
		expect(parameters === "" ? 0 : parameters.split(",").length, `${name}(${declared})`).toBe(expected);
		if (exported && exported !== name) expect(header, name).toContain(exported.replace(name, ""));
	}
});
