/** CUDA C to machine code of one device, by NVRTC. */
import { CudaError } from "./driver.ts";
import type { Foreign, Libraries, Prototypes } from "./foreign.ts";

export const nvrtcPrototypes: Prototypes = {
	nvrtcVersion: "void*, void*",
	nvrtcCreateProgram: "void*, const char*, const char*, int, const char**, const char**",
	nvrtcCompileProgram: "void*, int, const char**",
	nvrtcGetCUBINSize: "void*, void*",
	nvrtcGetCUBIN: "void*, void*",
	nvrtcGetProgramLogSize: "void*, void*",
	nvrtcGetProgramLog: "void*, void*",
	nvrtcDestroyProgram: "void*",
};

/** What is compiled; equal sources give equal code. */
export interface Source {
	/** For messages: "attention.cu". */
	readonly name: string;
	readonly text: string;
	/** Texts that it may include, by the name it includes them by. */
	readonly headers: Readonly<Record<string, string>>;
	readonly defines: Readonly<Record<string, number>>;
}

export function nvrtcVersion({ nvrtc }: Libraries): string {
	const [major, minor] = [new Int32Array(1), new Int32Array(1)];
	nvrtc.nvrtcVersion(major, minor);
	return `${major[0]}.${minor[0]}`;
}

export function compileOptions(architecture: string, defines: Readonly<Record<string, number>>): string[] {
	const definitions = Object.entries(defines).map(([name, value]) => `-D${name}=${value}`);
	return [`--gpu-architecture=${architecture}`, "--std=c++17", "--device-int128", ...definitions.sort()];
}

/** Compile here, blocking. @returns a cubin */
export function compile(libraries: Libraries, source: Source, architecture: string): Uint8Array {
	const { program, options } = begin(libraries, source, architecture);
	const result = libraries.nvrtc.nvrtcCompileProgram(program, options.length, options) as number;
	return finish(libraries, source, program, result);
}

/** Compile on another thread; several at once may. */
export async function compileLater(libraries: Libraries, source: Source, architecture: string): Promise<Uint8Array> {
	const { program, options } = begin(libraries, source, architecture);
	const fn: Foreign = libraries.nvrtc.nvrtcCompileProgram;
	const result = (await libraries.later(fn, program, options.length, options)) as number;
	return finish(libraries, source, program, result);
}

function begin({ nvrtc }: Libraries, source: Source, architecture: string): { program: bigint; options: string[] } {
	const slot = new BigUint64Array(1);
	const names = Object.keys(source.headers);
	const texts = Object.values(source.headers);
	const result = nvrtc.nvrtcCreateProgram(slot, source.text, source.name, names.length, texts, names) as number;
	if (result !== 0) throw new CudaError(`[cuda] ${source.name}: nvrtcCreateProgram answered ${result}`, result);
	return { program: slot[0], options: compileOptions(architecture, source.defines) };
}

function finish({ nvrtc }: Libraries, { name }: Source, program: bigint, result: number): Uint8Array {
	const size = new BigUint64Array(1);
	try {
		if (result !== 0) {
			nvrtc.nvrtcGetProgramLogSize(program, size);
			const log = new Uint8Array(Number(size[0]));
			nvrtc.nvrtcGetProgramLog(program, log);
			const text = new TextDecoder().decode(log.subarray(0, Math.max(0, log.length - 1))).trim();
			throw new CudaError(`[cuda] ${name} does not compile (NVRTC error ${result}):\n${text}`, result);
		}
		nvrtc.nvrtcGetCUBINSize(program, size);
		const cubin = new Uint8Array(Number(size[0]));
		nvrtc.nvrtcGetCUBIN(program, cubin);
		return cubin;
	} finally {
		size[0] = program;
		nvrtc.nvrtcDestroyProgram(size);
	}
}
