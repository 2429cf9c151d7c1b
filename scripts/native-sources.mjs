/** Which files of native/ are compiled how: once, or once per instruction set. Shared by the native and the wasm build. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));
const folder = join(root, "native");
/** Compiled once; every other .cpp file holds kernels and is compiled once per instruction set. */
const host = new Set(["runtime.cpp", "job.cpp", "weights.cpp", "program.cpp", "threads.cpp", "memory.cpp"]);

const names = readdirSync(folder).sort();
export const sources = names.filter((name) => name.endsWith(".cpp"));
export const headers = names.filter((name) => name.endsWith(".h"));
export const hostSources = sources.filter((name) => host.has(name));
export const kernelSources = sources.filter((name) => !host.has(name));

export function sourcePath(name) {
	return join(folder, name);
}

/** Flags of every compilation: fused multiply-add allowed, other liberties with floating point not. */
export const commonFlags = [
	"-std=c++17",
	"-O3",
	"-ffp-contract=fast",
	"-fno-math-errno",
	"-fno-trapping-math",
	"-fno-exceptions",
	"-fno-rtti",
	"-fno-threadsafe-statics",
	"-fvisibility=hidden",
	"-Wall",
	"-Wextra",
	"-Wno-psabi",
];

/** Hash of all sources, headers and whatever else decides the output (compiler, flags, build script). */
export function fingerprint(...others) {
	const hash = createHash("sha256");
	for (const name of [...sources, ...headers]) hash.update(name).update(readFileSync(sourcePath(name)));
	hash.update(JSON.stringify(others));
	return hash.digest("hex");
}

/** Is `output` there and built from what has this fingerprint? */
export function upToDate(output, print) {
	const mark = `${output}.hash`;
	return existsSync(output) && existsSync(mark) && readFileSync(mark, "utf8") === print;
}

export function markBuilt(output, print) {
	mkdirSync(dirname(output), { recursive: true });
	writeFileSync(`${output}.hash`, print);
}
