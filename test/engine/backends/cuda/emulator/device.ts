/** A GPU of the imagination that runs the real kernels: their sources compiled with g++ against emulator.h, memory at real addresses. */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import koffi, { type LibraryHandle } from "koffi";
import type { Foreign } from "../../../../../src/engine/backends/cuda/foreign.ts";
import { kernelFolder } from "../../../../../src/engine/backends/cuda/kernels.ts";
import { lower } from "../../../../../src/engine/backends/cuda/lower.ts";
import { type CudaOptions, CudaRuntime } from "../../../../../src/engine/backends/cuda/runtime.ts";
import { FakeDevice, type FakeLayout } from "../fake.ts";

const header = fileURLToPath(new URL("emulator.h", import.meta.url));
/** Compiled kernels, kept from one run of the tests to the next. */
const folder = join(tmpdir(), "rivulet-emulated-kernels");

/** Libraries stay where they are: threads' stacks, and copies under way, outlive the device that a test forgets. */
const loaded = new Map<string, LibraryHandle>();

function loadForGood(path: string): LibraryHandle {
	const library = loaded.get(path) ?? koffi.load(path);
	loaded.set(path, library);
	return library;
}

/** Is there a compiler here? */
export const compilerHere = spawnSync("g++", ["--version"]).status === 0;

/** A runtime on such a device. */
export function emulatedRuntime(options: Partial<CudaOptions> = {}): CudaRuntime {
	return new CudaRuntime({
		libraries: new EmulatedDevice().libraries,
		lower,
		precision: "fp32",
		cache: join(folder, hash(readFileSync(header))),
		...options,
	});
}

export class EmulatedDevice extends FakeDevice {
	#product: Foreign | undefined;

	protected override block(bytes: number) {
		// Beyond the end of a block lies what must not matter.
		const address = koffi.alloc("uint64_t", Math.ceil(bytes / 8) + 32) as bigint;
		const aligned = (address + 255n) & ~255n;
		return { address: aligned, block: new Uint8Array(koffi.view(aligned, bytes)) };
	}

	protected override nvrtcFunctions(): Record<string, Foreign> {
		const put = (slot: unknown, value: bigint) => {
			(slot as BigUint64Array)[0] = value;
		};
		const path = (program: unknown) => this.object<{ path?: string }>(program).path ?? "";
		return {
			...super.nvrtcFunctions(),
			nvrtcCreateProgram: (slot, text, name) => put(slot, this.handle({ text, name })),
			nvrtcCompileProgram: (program, _count, options) => {
				const source = this.object<{ text: string; name: string; path: string }>(program);
				source.path = compile(source.text, source.name, options as string[]);
				return 0;
			},
			nvrtcGetCUBINSize: (program, slot) => put(slot, BigInt(path(program).length)),
			nvrtcGetCUBIN: (program, bytes) =>
				(bytes as Uint8Array).set(new TextEncoder().encode(path(program))) as undefined,
		};
	}

	protected override driverFunctions(): Record<string, Foreign> {
		return {
			...super.driverFunctions(),
			cuModuleLoadData: (slot, cubin) => {
				const path = new TextDecoder().decode(cubin as Uint8Array);
				(slot as BigUint64Array)[0] = this.handle(loadForGood(path));
			},
			cuModuleGetFunction: (slot, module, name) => {
				const run = this.object<LibraryHandle>(module).func(`void run_${name}(void*, void*)`);
				(slot as BigUint64Array)[0] = this.handle(run);
			},
		};
	}

	override launch(fn: unknown, parameters: DataView[], sizes: number[]): void {
		const values = parameters.map(({ buffer }) => new Uint8Array(buffer));
		const table = this.allocate(32 * values.length);
		const pointers = BigUint64Array.from(values, (bytes, i) => {
			const address = table + BigInt(24 * i);
			this.bytes(address, 24).set(bytes);
			return address;
		});
		this.object<Foreign>(fn)(Uint32Array.from(sizes), pointers);
		this.free(table);
	}

	protected override cublasLtFunctions(): Record<string, Foreign> {
		return { ...super.cublasLtFunctions(), cublasLtMatmul: (...values) => this.#multiply(values) };
	}

	/** Column-major as cuBLASLt has it, so row-major with the operands exchanged. */
	#multiply(values: unknown[]): void {
		const layouts = [values[4], values[6], values[9], values[11]].map((layout) => this.object<FakeLayout>(layout));
		const operation = this.object<FakeLayout>(values[1]).set;
		const [b, a, c, y] = layouts;
		const transposeB = Number(operation.get(3) ?? 0);
		const size = (layout: FakeLayout, i: number) => BigInt(layout.described[i]);
		const sizes = BigInt64Array.from([
			...[size(y, 2), size(y, 1), size(b, transposeB ? 1 : 2), BigInt(y.set.get(5) ?? 1)],
			...[BigInt(operation.get(4) ?? 0), BigInt(transposeB), BigInt(a.described[0])],
			...[a, b, c, y].flatMap((layout) => [size(layout, 3), BigInt(layout.set.get(6) ?? 0)]),
			BigInt(y.described[0]),
		]);
		const bias = operation.get(7) === 4 ? operation.get(8) : 0n;
		this.#product ??= loadForGood(compile("", "product.cu", [])).func(
			"void emulatedProduct(void*, void*, void*, void*, void*, void*)",
		) as Foreign;
		const beta = (values[7] as Float32Array)[0];
		this.#product(values[5], values[3], beta ? values[8] : 0n, bias, values[10], sizes);
	}
}

function hash(...parts: (string | Uint8Array)[]): string {
	const sum = createHash("sha256");
	for (const part of parts) sum.update(part);
	return sum.digest("hex").slice(0, 24);
}

/** Compile a kernel file unless that was done before. @returns path of the library */
function compile(text: string, name: string, options: string[]): string {
	const definitions = options.filter((option) => option.startsWith("-D"));
	const flags = [
		"-std=c++17",
		"-O1",
		"-fPIC",
		"-shared",
		"-ffp-contract=off",
		"-w",
		"-include",
		header,
		"-I",
		kernelFolder,
	];
	const headers = readdirSync(kernelFolder).filter((name) => name.endsWith(".cuh"));
	const included = headers.map((name) => readFileSync(join(kernelFolder, name)));
	const key = hash(JSON.stringify([text, definitions, flags]), ...included, readFileSync(header));
	const path = join(folder, `${name}-${key}.so`);
	if (existsSync(path)) return path;
	mkdirSync(folder, { recursive: true });
	const kernels = [...text.matchAll(/__global__ void (?:__launch_bounds__\([^)]*\) )?(\w+)\(/g)].map(
		(match) => match[1],
	);
	const entries = kernels.map(
		(kernel) =>
			`extern "C" void run_${kernel}(const unsigned* sizes, void** parameters) { emulator::run<${kernel}>(${kernel}, sizes, parameters); }\n`,
	);
	const source = join(folder, `${key}-${process.pid}.cpp`);
	writeFileSync(source, `${text}\n${entries.join("")}`);
	execFileSync("g++", [...flags, ...definitions, "-o", `${source}.so`, source]);
	renameSync(`${source}.so`, path);
	rmSync(source);
	return path;
}
