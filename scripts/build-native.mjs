/**
 * Builds dist/native/librivulet.so (.dylib on macOS) with the machine's C++ compiler, when a source changed since the last
 * time (or with --force). Without a compiler it says in one line what will be used instead, and succeeds.
 */
import { execFile, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import {
	commonFlags,
	fingerprint,
	hostSources,
	kernelSources,
	markBuilt,
	root,
	sourcePath,
	upToDate,
} from "./native-sources.mjs";

const run = promisify(execFile);
const force = process.argv.includes("--force");
const mac = process.platform === "darwin";
const folder = join(root, "dist", "native");
const output = join(folder, mac ? "librivulet.dylib" : "librivulet.so");

/** Instruction sets of this kind of processor: namespace, floats in a register, flags. */
const instructionSets = {
	x64: [
		{ name: "baseline", width: 4, flags: [] },
		{ name: "avx2", width: 8, flags: ["-mavx2", "-mfma"] },
		{ name: "avx512", width: 16, flags: ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"] },
	],
	arm64: [{ name: "neon", width: 4, flags: [] }],
}[process.arch];

await main();

async function main() {
	const compiler = instructionSets && process.platform !== "win32" ? findCompiler() : undefined;
	if (!compiler) {
		console.log(
			"rivulet: no C++ compiler for this machine (tried CXX, g++, clang++, c++); the wasm backend will be used",
		);
		return;
	}
	const flags = [...commonFlags, "-fPIC", "-pthread"];
	// GCC's own intrinsics trip this warning.
	if (!compiler.version.includes("clang")) flags.push("-Wno-uninitialized");
	const print = fingerprint(compiler.version, flags, instructionSets);
	if (!force && upToDate(output, print)) return;
	mkdirSync(folder, { recursive: true });
	const work = mkdtempSync(join(folder, "build-"));
	try {
		const objects = await compileAll(compiler.command, flags, work);
		const library = join(work, "library");
		await run(compiler.command, ["-shared", "-pthread", ...(mac ? [] : ["-Wl,-Bsymbolic"]), "-o", library, ...objects]);
		renameSync(library, output);
		markBuilt(output, print);
		console.log(`rivulet: built the native library with ${compiler.version}`);
	} catch (error) {
		console.error(`the C++ sources did not compile: ${error.stderr || error.message}`);
		process.exitCode = 1;
	} finally {
		rmSync(work, { recursive: true, force: true });
	}
}

/** The first compiler that answers. */
function findCompiler() {
	for (const command of [process.env.CXX, "g++", "clang++", "c++"]) {
		if (!command) continue;
		const { status, stdout } = spawnSync(command, ["--version"], { encoding: "utf8" });
		if (status === 0) return { command, version: stdout.split("\n")[0] };
	}
	return undefined;
}

/** Compile every object, as many at a time as there are cores; returns their paths. */
async function compileAll(command, flags, work) {
	const tasks = hostSources.map((name) => ({ name, object: join(work, `${name}.o`), flags }));
	for (const set of instructionSets) {
		const own = [...flags, ...set.flags, `-DRIVULET_ISA=${set.name}`, `-DRIVULET_WIDTH=${set.width}`];
		for (const name of kernelSources) tasks.push({ name, object: join(work, `${name}.${set.name}.o`), flags: own });
	}
	const queue = [...tasks];
	const worker = async () => {
		for (let task = queue.shift(); task; task = queue.shift()) {
			await run(command, [...task.flags, "-c", sourcePath(task.name), "-o", task.object]);
		}
	};
	await Promise.all(Array.from({ length: availableParallelism() }, worker));
	return tasks.map((task) => task.object);
}
