/** The kernels of kernels/*.cu as functions of the device, compiled when first needed and then kept, in the process and on disk. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { cuda, type Driver } from "./driver.ts";
import type { Launch } from "./lower-types.ts";
import { type Compiler, moduleKey, readModule, writeModule } from "./module-cache.ts";
import { compile, compileLater, type Source } from "./nvrtc.ts";

/** Beside this file, in src/ as in dist/. */
export const kernelFolder = fileURLToPath(new URL("kernels/", import.meta.url));

/** What a launch needs of its file. */
type Wanted = Pick<Launch, "file" | "defines" | "label">;

export class Kernels {
	readonly #driver: Driver;
	readonly #compiler: Compiler;
	readonly #cache: string;
	readonly #folder: string;
	readonly #defines: Readonly<Record<string, number>>;
	readonly #modules = new Map<string, bigint>();
	readonly #functions = new Map<string, bigint>();
	readonly #dynamicShared = new Map<bigint, number>();
	readonly #texts = new Map<string, string>();
	/** How many files were compiled here, and in how many milliseconds. */
	readonly compiled = { files: 0, milliseconds: 0 };

	/** @param cache folder of compiled modules @param folder of the sources @param defines constants that every file is compiled with */
	constructor(
		driver: Driver,
		compiler: Compiler,
		cache: string,
		folder = kernelFolder,
		defines: Readonly<Record<string, number>> = {},
	) {
		this.#driver = driver;
		this.#compiler = compiler;
		this.#cache = cache;
		this.#folder = folder;
		this.#defines = defines;
	}

	/** Compile what these launches need and is not there yet, all files at once, off this thread. */
	async prepare(launches: Iterable<Wanted>): Promise<void> {
		const missing = new Map<string, Wanted>();
		for (const launch of launches) {
			const name = moduleName(launch);
			if (!this.#modules.has(name)) missing.set(name, launch);
		}
		if (missing.size === 0) return;
		const started = performance.now();
		await Promise.all(
			[...missing.values()].map(async (launch) => {
				const source = this.#source(launch);
				const key = moduleKey(source, this.#compiler);
				if (readModule(this.#cache, key)) return;
				const cubin = await compileLater(this.#driver.libraries, source, this.#compiler.architecture);
				this.#load(launch, cubin);
				writeModule(this.#cache, key, cubin);
				this.compiled.files++;
			}),
		);
		this.compiled.milliseconds += performance.now() - started;
	}

	/** The function to launch, ready for the shared memory it asks for. */
	function(launch: Wanted & Pick<Launch, "kernel" | "shared">): bigint {
		const name = `${moduleName(launch)} ${launch.kernel}`;
		let found = this.#functions.get(name);
		if (found === undefined) {
			const what = `${launch.kernel} of ${launch.file}.cu (${launch.label})`;
			found = this.#driver.make("cuModuleGetFunction", what, this.#module(launch), launch.kernel);
			this.#functions.set(name, found);
		}
		if (launch.shared > 48 << 10 && (this.#dynamicShared.get(found) ?? 0) < launch.shared) {
			const what = `${launch.shared} bytes of shared memory for ${launch.kernel} (${launch.label})`;
			this.#driver.call("cuFuncSetAttribute", what, found, cuda.functionMaxDynamicShared, launch.shared);
			this.#dynamicShared.set(found, launch.shared);
		}
		return found;
	}

	close(): void {
		for (const module of this.#modules.values()) this.#driver.function("cuModuleUnload")(module);
		this.#modules.clear();
		this.#functions.clear();
	}

	#module(launch: Wanted): bigint {
		const known = this.#modules.get(moduleName(launch));
		if (known !== undefined) return known;
		const source = this.#source(launch);
		const key = moduleKey(source, this.#compiler);
		const cached = readModule(this.#cache, key);
		if (cached) return this.#load(launch, cached);
		const started = performance.now();
		const cubin = compile(this.#driver.libraries, source, this.#compiler.architecture);
		writeModule(this.#cache, key, cubin);
		this.compiled.files++;
		this.compiled.milliseconds += performance.now() - started;
		return this.#load(launch, cubin);
	}

	#load(launch: Wanted, cubin: Uint8Array): bigint {
		const module = this.#driver.make("cuModuleLoadData", `${launch.file}.cu`, cubin);
		this.#modules.set(moduleName(launch), module);
		return module;
	}

	#source({ file, defines = {} }: Wanted): Source {
		const text = this.#text(`${file}.cu`);
		return { name: `${file}.cu`, text, headers: this.#headers(text), defines: { ...this.#defines, ...defines } };
	}

	/** What a text includes, and what that includes. */
	#headers(text: string): Record<string, string> {
		const names = [...text.matchAll(/^#include "(.+)"$/gm)].map(([, name]) => name);
		const found = names.map((name) => ({ ...this.#headers(this.#text(name)), [name]: this.#text(name) }));
		return Object.assign({}, ...found);
	}

	#text(name: string): string {
		const known = this.#texts.get(name) ?? readFileSync(this.#folder + name, "utf8");
		this.#texts.set(name, known);
		return known;
	}
}

function moduleName({ file, defines = {} }: Wanted): string {
	return JSON.stringify([file, Object.entries(defines).sort()]);
}
