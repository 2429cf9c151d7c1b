/** Shared libraries and host memory through koffi: what the CUDA backend needs of the machine, and what its tests put in its place. */
import { existsSync, readdirSync, realpathSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";

/** A C function; pointers and handles are bigint, 32-bit numbers number. */
export type Foreign = (...values: unknown[]) => unknown;
export type FunctionTable = Readonly<Record<string, Foreign>>;

/** Memory that C may keep an address of, seen from both sides. */
export interface HostMemory {
	readonly address: bigint;
	readonly buffer: ArrayBuffer;
}

/** Everything that is not TypeScript. */
export interface Libraries {
	readonly driver: FunctionTable;
	readonly nvrtc: FunctionTable;
	readonly cublasLt: FunctionTable;
	/** Memory that lives as long as the process; for small blocks of arguments. */
	allocate(bytes: number): HostMemory;
	/** Foreign memory as an ArrayBuffer. */
	view(address: bigint, bytes: number): ArrayBuffer;
	/** The text at a `const char*`. */
	text(address: bigint): string;
	/** Call on another thread. */
	later(fn: Foreign, ...values: unknown[]): Promise<unknown>;
}

/** Which library could not be opened, in one line. */
export class MissingLibrary extends Error {}

interface Prototype {
	readonly symbol?: string;
	readonly result?: string;
	readonly parameters: readonly string[];
}

/** name: C parameters, comma-separated; "symbol(parameters)" where the exported name differs. */
export type Prototypes = Readonly<Record<string, string>>;

/** Open all three libraries. @throws MissingLibrary naming the first that is not there */
export async function openLibraries(
	prototypes: Record<"driver" | "nvrtc" | "cublasLt", Prototypes>,
): Promise<Libraries> {
	const { default: koffi } = await import("koffi");
	const open = (names: readonly string[], missing: string, list: Prototypes): FunctionTable => {
		const library = firstThatOpens(names, missing, (path) => koffi.load(path));
		const table: Record<string, Foreign> = {};
		for (const [name, text] of Object.entries(list)) {
			const { symbol = name, result = "int", parameters } = parse(text);
			table[name] = library.func(symbol, result, [...parameters]) as unknown as Foreign;
		}
		return table;
	};
	return {
		driver: open(driverNames, "no NVIDIA driver found", prototypes.driver),
		nvrtc: open(versions("nvrtc"), `no NVRTC, CUDA's runtime compiler, found (${bringsCuda})`, prototypes.nvrtc),
		cublasLt: open(versions("cublasLt"), `no cuBLASLt found (${bringsCuda})`, prototypes.cublasLt),
		allocate(bytes) {
			const address = koffi.alloc("uint64_t", Math.ceil(bytes / 8)) as bigint;
			return { address, buffer: koffi.view(address, bytes) };
		},
		view: (address, bytes) => koffi.view(address, bytes),
		text: (address) => (address ? (koffi.decode(address, "char", -1) as unknown as string) : ""),
		later: (fn, ...values) =>
			new Promise((resolve, reject) => {
				const foreign = fn as unknown as { async: Foreign };
				foreign.async(...values, (error: Error | null, result: unknown) => (error ? reject(error) : resolve(result)));
			}),
	};
}

/** Parameters alone, or with the exported name and the result: "size_t ()", "cuMemAlloc_v2(void*, size_t)". */
function parse(text: string): Prototype {
	const match = /^(?:(?<result>[\w ]+\*?) )?(?<symbol>\w+)?\((?<list>.*)\)$/.exec(text);
	const list = match?.groups?.list ?? text;
	const parameters = list.split(",").map((type) => type.trim());
	return {
		parameters: parameters.filter((type) => type !== ""),
		...(match?.groups?.symbol ? { symbol: match.groups.symbol } : {}),
		...(match?.groups?.result ? { result: match.groups.result } : {}),
	};
}

const bringsCuda = "the CUDA toolkit has it, PyTorch too; RIVULET_CUDA names another folder";

const driverNames = process.platform === "win32" ? ["nvcuda.dll"] : ["libcuda.so.1", "libcuda.so"];

/** Newest first; a library serves drivers of its own major version and later ones. */
function versions(name: string): string[] {
	if (process.platform === "win32") {
		return name === "nvrtc" ? ["nvrtc64_130_0.dll", "nvrtc64_120_0.dll"] : [`${name}64_13.dll`, `${name}64_12.dll`];
	}
	return [`lib${name}.so.13`, `lib${name}.so.12`, `lib${name}.so`];
}

function firstThatOpens<T>(names: readonly string[], missing: string, open: (path: string) => T): T {
	const reasons: string[] = [];
	for (const folder of ["", ...folders()]) {
		for (const name of names) {
			const path = folder ? join(folder, name) : name;
			if (folder && !existsSync(path)) continue;
			try {
				// NVRTC opens its other half by name only, which finds it where it is loaded already.
				for (const half of list(folder)) if (/^libnvrtc-builtins\.so\.\d+/.test(half)) open(join(folder, half));
				return open(path);
			} catch (error) {
				if (folder) reasons.push(`${path}: ${(error as Error).message.split("\n")[0]}`);
			}
		}
	}
	throw new MissingLibrary(`${missing}: ${reasons[0] ?? names[0]}`);
}

/**
 * Where CUDA's libraries lie beside the system's own places: $RIVULET_CUDA (a folder), the toolkit's folders, and the packages of
 * the Python that is on the path, since that is how PyTorch brings them.
 */
function folders(): string[] {
	const { RIVULET_CUDA, CUDA_HOME, CUDA_PATH } = process.env;
	const toolkits = [CUDA_HOME, CUDA_PATH, "/usr/local/cuda"].filter((folder) => folder !== undefined);
	const found = RIVULET_CUDA ? [RIVULET_CUDA] : [];
	for (const toolkit of toolkits) found.push(join(toolkit, "lib64"), join(toolkit, "bin"));
	for (const root of pythonRoots()) {
		for (const python of list(join(root, "lib")).filter((name) => name.startsWith("python3"))) {
			const nvidia = join(root, "lib", python, "site-packages", "nvidia");
			for (const part of list(nvidia)) found.push(join(nvidia, part, "lib"));
		}
	}
	return found;
}

function pythonRoots(): string[] {
	const roots = new Set<string>();
	if (process.env.VIRTUAL_ENV) roots.add(process.env.VIRTUAL_ENV);
	for (const folder of (process.env.PATH ?? "").split(delimiter)) {
		const python = join(folder, "python3");
		if (!folder || !existsSync(python)) continue;
		roots.add(dirname(folder));
		roots.add(dirname(dirname(realpathSync(python))));
	}
	return [...roots];
}

function list(folder: string): string[] {
	try {
		return readdirSync(folder);
	} catch {
		return [];
	}
}
