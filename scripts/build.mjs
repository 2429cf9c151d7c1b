/**
 * Builds dist/: TypeScript first, then the native library and the wasm module. Runs on `npm ci` and before the tests, so
 * it does nothing where nothing changed. A failing TypeScript build fails it; a machine without a C++ compiler does not.
 * `--force` builds everything again.
 */
import { spawnSync } from "node:child_process";
import {
	chmodSync,
	cpSync,
	existsSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	rmSync,
	statSync,
	writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const stamp = join(root, "dist", ".built.json");
const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
const settings = ["package.json", "tsconfig.json", "tsconfig.build.json"];

const force = process.argv.includes("--force");
buildTypeScript();
makeExecutable();
copyKernels();
buildOptional("native library", "scripts/build-native.mjs", "wasm or plain TypeScript will be used instead");
buildOptional("wasm module", "scripts/build-wasm.mjs", "there will be no wasm backend");

/** Compile src/ to dist/ when a source or a setting changed since the last successful compilation. */
function buildTypeScript() {
	const sources = inventory();
	const before = force ? {} : readStamp();
	if (JSON.stringify(sources) === JSON.stringify(before)) return;
	if (!existsSync(compiler)) {
		fail("TypeScript is not installed: run npm ci with development dependencies (without --omit=dev)");
	}
	rmSync(stamp, { force: true });
	if (force) rmSync(join(root, "dist", ".tsbuildinfo"), { force: true });
	removeOutputsOf(Object.keys(before).filter((path) => path.startsWith("src/") && !(path in sources)));
	const { status } = spawnSync(process.execPath, [compiler, "-p", join(root, "tsconfig.build.json")], {
		stdio: "inherit",
	});
	if (status !== 0) fail("TypeScript did not compile, see above");
	mkdirSync(join(root, "dist"), { recursive: true });
	writeFileSync(stamp, JSON.stringify(sources));
}

/** `npx rivulet` in the repository runs the file itself; who installs the package gets that from npm. */
function makeExecutable() {
	const { bin } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
	for (const path of Object.values(bin)) chmodSync(join(root, path), 0o755);
}

/** The CUDA sources lie beside the compiled module that hands them to the device's compiler. */
function copyKernels() {
	const folder = join("engine", "backends", "cuda", "kernels");
	rmSync(join(root, "dist", folder), { recursive: true, force: true });
	cpSync(join(root, "src", folder), join(root, "dist", folder), { recursive: true });
}

/** Run a build script whose failure leaves a working installation; it says itself whether there is anything to do. */
function buildOptional(what, script, otherwise) {
	if (!existsSync(join(root, script))) return;
	const { status, stderr } = spawnSync(process.execPath, [join(root, script), ...(force ? ["--force"] : [])], {
		cwd: root,
		stdio: ["ignore", "inherit", "pipe"],
		encoding: "utf8",
	});
	if (status === 0) return;
	const reason = stderr.trim().split("\n")[0];
	console.log(`rivulet: no ${what} on this machine, ${otherwise}${reason ? ` (${reason})` : ""}`);
}

/** Size and modification time of everything the compilation reads. */
function inventory() {
	const files = readdirSync(join(root, "src"), { recursive: true, withFileTypes: true })
		.filter((entry) => entry.isFile())
		.map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)).replaceAll("\\", "/"))
		.sort();
	const described = [...settings, ...files].map((path) => {
		const { size, mtimeMs } = statSync(join(root, path));
		return [path, `${size} ${mtimeMs}`];
	});
	return Object.fromEntries(described);
}

function readStamp() {
	try {
		return JSON.parse(readFileSync(stamp, "utf8"));
	} catch {
		return {};
	}
}

/** src/a/b.ts is compiled to dist/a/b.js. */
function compiledFile(source) {
	return join(root, source.replace(/^src\//, "dist/").replace(/\.ts$/, ".js"));
}

/** Sources that are gone must not be importable any more. */
function removeOutputsOf(sources) {
	for (const source of sources) {
		const output = compiledFile(source).replace(/\.js$/, "");
		for (const ending of [".js", ".js.map", ".d.ts"]) rmSync(output + ending, { force: true });
	}
}

function fail(message) {
	console.error(`rivulet: ${message}`);
	process.exit(1);
}
