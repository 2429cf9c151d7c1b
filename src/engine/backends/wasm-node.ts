/** The wasm backend in Node: the module from dist/, workers from node:worker_threads. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { Backend, RuntimeOptions } from "../backend.ts";
import { type WasmHost, WasmRuntime, type WasmWorker, type WorkerStart, wasmWorkerSource } from "./wasm.ts";

/** Built by scripts/build-wasm.mjs; beside src/ when run from sources, in dist/ when built. */
const modulePath = ["../../../dist/wasm/rivulet.wasm", "../../wasm/rivulet.wasm"]
	.map((path) => fileURLToPath(new URL(path, import.meta.url)))
	.find((path) => existsSync(path));

const source = `${wasmWorkerSource}
const { parentPort, workerData } = require("node:worker_threads");
join(workerData, (message) => parentPort.postMessage(message), (handler) => parentPort.on("message", handler));`;

let compiling: Promise<WebAssembly.Module> | undefined;

function compileOnce(path: string): Promise<WebAssembly.Module> {
	compiling ??= compile(path);
	return compiling;
}

async function compile(path: string): Promise<WebAssembly.Module> {
	return await WebAssembly.compile(await readFile(path));
}

function spawn(data: WorkerStart): WasmWorker {
	const worker = new Worker(source, { eval: true, workerData: data });
	return {
		post: (message) => worker.postMessage(message),
		onMessage: (handler) => {
			worker.removeAllListeners("message");
			worker.on("message", handler);
		},
		keepAlive: (alive) => (alive ? worker.ref() : worker.unref()),
		terminate: async () => void (await worker.terminate()),
	};
}

export const wasm: Backend = {
	name: "wasm",
	async unavailable() {
		if (!modulePath) return "the wasm module is not built (npm run build)";
		try {
			await compileOnce(modulePath);
			return undefined;
		} catch (error) {
			return `the wasm module cannot be compiled: ${(error as Error).message}`;
		}
	},
	async create({ threads = Math.min(8, availableParallelism()) }: RuntimeOptions) {
		if (!modulePath) throw new Error("[wasm] the module is not built");
		const host: WasmHost = { module: await compileOnce(modulePath), spawn };
		return await WasmRuntime.create(host, threads);
	},
};
