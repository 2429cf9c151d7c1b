/**
 * Builds dist/wasm/rivulet.wasm from native/ with the clang that npm installs: SIMD, shared memory that grows to 4 GiB, no C
 * library. Does nothing when nothing has changed.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
	commonFlags,
	fingerprint,
	headers,
	hostSources,
	kernelSources,
	markBuilt,
	root,
	sourcePath,
	sources,
	upToDate,
} from "./native-sources.mjs";

const flags = [
	...commonFlags.filter((flag) => flag !== "-fno-trapping-math"),
	"--target=wasm32-unknown-unknown",
	"-msimd128",
	// Without bulk memory: V8 checks its fill and copy instructions against a size that other threads' growth reaches late.
	"-mcpu=mvp",
	"-mnontrapping-fptoint",
	"-msign-ext",
	"-matomics",
	"-mmutable-globals",
	"-nostdlib",
	"-ffreestanding",
	"-nostdinc++",
	"-DRIVULET_WIDTH=4",
	"-DRIVULET_ISA=wasm",
];
const linkFlags = [
	"-nostdlib",
	"-Wl,--no-entry",
	"-Wl,--import-memory",
	"-Wl,--shared-memory",
	"-Xlinker",
	"--features=atomics,bulk-memory,mutable-globals,nontrapping-fptoint,sign-ext,simd128",
	"-Wl,--max-memory=4294967296",
	"-Wl,--export=__stack_pointer",
	"-Wl,--export=__heap_base",
	"-Wl,-z,stack-size=262144",
];

const output = join(root, "dist", "wasm", "rivulet.wasm");
const print = fingerprint(flags, linkFlags, readFileSync(new URL(import.meta.url), "utf8"));

async function build() {
	const { runClang } = await import("@yowasp/clang");
	const files = {};
	for (const name of [...sources, ...headers]) files[name] = readFileSync(sourcePath(name), "utf8");
	const objects = [];
	for (const name of [...hostSources, ...kernelSources]) {
		const object = name.replace(/\.cpp$/, ".o");
		const result = await runClang(["clang++", ...flags, "-c", name, "-o", object], files);
		files[object] = result[object];
		objects.push(object);
	}
	const linked = await runClang(
		["clang++", "--target=wasm32-unknown-unknown", ...linkFlags, ...objects, "-o", "rivulet.wasm"],
		files,
	);
	mkdirSync(join(root, "dist", "wasm"), { recursive: true });
	writeFileSync(`${output}.new`, linked["rivulet.wasm"]);
	renameSync(`${output}.new`, output);
	markBuilt(output, print);
}

if (!upToDate(output, print)) {
	const start = performance.now();
	try {
		await build();
		console.log(`rivulet: built the wasm module in ${((performance.now() - start) / 1000).toFixed(0)} s`);
	} catch (error) {
		console.error(`rivulet: the wasm module could not be built: ${error.message}`);
		process.exitCode = 1;
	}
}
