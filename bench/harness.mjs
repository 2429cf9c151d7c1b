/** What every benchmark needs: the header, rivals that take turns, ratios with their spread, tables, and the last JSON line. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));
const peerScript = join(root, "bench", "peers", "peer.py");

/**
 * A rival: `step(n)` runs n training steps and gives the seconds of each.
 * @typedef {{ name: string, step(count: number): Promise<number[]>, close(): Promise<void> }} Arm
 */

/**
 * Where PyTorch is, and what it says of itself; undefined where it is absent.
 * @typedef {{ python: string, torch: string, blas: string, environment: NodeJS.ProcessEnv }} Torch
 */

/** @returns {Torch | undefined} */
export function findTorch() {
	const environment = peerEnvironment();
	for (const python of [process.env.PYTHON, "python3", "/usr/bin/python3"]) {
		if (!python) continue;
		try {
			const options = { env: environment, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] };
			const info = JSON.parse(execFileSync(python, [peerScript, "published", "info"], options));
			return { ...info, python, environment };
		} catch {
			// This Python is missing or has no PyTorch; try the next.
		}
	}
	return undefined;
}

/**
 * Debian's PyTorch takes whichever BLAS the loader finds. The OpenMP build of OpenBLAS shares PyTorch's threads, the other one's
 * compete with them, so the first is preferred where it is installed.
 */
function peerEnvironment() {
	const openmp = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu/openblas-openmp`;
	const paths = [existsSync(openmp) ? openmp : "", process.env.LD_LIBRARY_PATH ?? ""].filter((path) => path !== "");
	return { ...process.env, LD_LIBRARY_PATH: paths.join(":"), PYTHONDONTWRITEBYTECODE: "1" };
}

/**
 * Print machine, commit and versions; returns them for the JSON line.
 * @param {Torch | undefined | null} torch undefined: absent; null: this benchmark has no use for it
 */
export function header(torch) {
	const about = {
		machine: `${cpus()[0].model.trim()}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB`,
		commit: commit(),
		node: process.version,
		...(torch === null ? {} : { torch: torch ? `${torch.torch}, ${torch.blas}` : "absent" }),
		load: loadavg()[0].toFixed(2),
		date: new Date().toISOString(),
	};
	for (const [name, value] of Object.entries(about)) console.log(`${name.padEnd(8)} ${value}`);
	if (!torch)
		console.log("PyTorch is absent (python3-torch and libopenblas0-openmp on Debian): only our own figures follow");
	if (torch?.blas === "reference BLAS") {
		console.log(
			"PyTorch runs on the reference BLAS, thirty times slower than it should: apt install libopenblas0-openmp",
		);
	}
	if (loadavg()[0] > 0.5)
		console.log("This machine is busy with something else: the figures below are of little worth");
	console.log();
	return about;
}

function commit() {
	const git = (...args) =>
		execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
	try {
		return (
			git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain") === "" ? "" : " (with uncommitted changes)")
		);
	} catch {
		return "not in a git repository";
	}
}

/** A PyTorch peer that trains on demand, so that rivals can take turns. @param {Torch} torch @returns {Promise<Arm>} */
export async function startPeer(torch, name, peer) {
	const { model, config, threads, slices = 0, device = "cpu", precision = "fp32", compile = false } = peer;
	const args = [
		peerScript,
		model,
		"time",
		"--config",
		JSON.stringify(config),
		"--threads",
		threads,
		"--slices",
		slices,
		"--device",
		device,
		"--precision",
		precision,
		...(compile ? ["--compile"] : []),
	];
	const child = spawn(torch.python, args.map(String), { env: torch.environment, stdio: ["pipe", "pipe", "inherit"] });
	const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
	const answer = async () => {
		const { value, done } = await lines.next();
		if (done) throw new Error(`the peer ${name} ended before it answered`);
		return JSON.parse(value);
	};
	const { parameters, start } = await answer();
	return {
		name,
		parameters,
		start,
		async step(count) {
			child.stdin.write(`step ${count}\n`);
			return (await answer()).seconds;
		},
		async close() {
			child.stdin.end();
			if (child.exitCode === null) await new Promise((resolve) => child.once("exit", resolve));
		},
	};
}

/**
 * Tokens per second of generating the author's way, a window for each token. One sequence is little work for two threads, so the
 * better of one thread and `threads` counts.
 * @param {Torch} torch
 */
export function peerGeneration(torch, { model, config, threads, tokens }) {
	const rate = (count) => {
		const args = [
			peerScript,
			model,
			"generate",
			"--config",
			JSON.stringify(config),
			"--threads",
			count,
			"--tokens",
			tokens,
		];
		const env = { ...torch.environment, OPENBLAS_NUM_THREADS: String(count) };
		return JSON.parse(execFileSync(torch.python, args.map(String), { env, encoding: "utf8" })).tokensPerSecond;
	};
	return Math.max(...new Set([1, threads].map(rate)));
}

export function goldenFolder() {
	const shared = join(root, "..", "shared", "golden");
	return existsSync(shared) ? shared : join(root, "test", "fixtures", "golden");
}

/** Hold the peers and our backends to the golden cases before anything is timed; throws when one is off. */
export function checkCorrectness(torch, models, backends) {
	for (const model of torch ? models : []) {
		gate(`${model} (PyTorch)`, torch.python, [peerScript, model, "check", goldenFolder()], torch.environment);
	}
	const program = join(root, "dist", "cli", "golden.js");
	for (const backend of backends) {
		gate(backend, process.execPath, [program, goldenFolder(), "--backend", backend], process.env);
	}
	console.log();
}

function gate(name, command, args, env) {
	const { status, stdout, stderr } = spawnSync(command, args, { env, encoding: "utf8" });
	if (status !== 0) throw new Error(`${name} is off the golden cases, so nothing is timed:\n${stdout}${stderr}`);
	console.log(`golden cases: ${name} agrees`);
}

/**
 * Let the arms take turns: one warm-up step each, then `rounds` rounds of `steps` steps, A B A B.
 * @param {Arm[]} arms
 * @returns {Promise<Map<string, number[]>>} seconds per step of each arm, the median of each round
 */
export async function interleave(arms, { rounds, steps }) {
	const seconds = new Map(arms.map((arm) => [arm.name, []]));
	for (const arm of arms) await arm.step(1);
	for (let round = 0; round < rounds; round++) {
		for (const arm of arms) seconds.get(arm.name).push(median(await arm.step(steps)));
	}
	return seconds;
}

export function median(values) {
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;
	return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** How many times faster than the rival, round by round: { median, low, high }. */
export function speedup(rival, ours) {
	const ratios = rival.map((seconds, round) => seconds / ours[round]);
	return { median: median(ratios), low: Math.min(...ratios), high: Math.max(...ratios) };
}

export function showRatio({ median: middle, low, high }) {
	return `${middle.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}

/** Rows of cells in aligned columns, the first row being the headings. @param {(string | number)[][]} rows */
export function table(rows) {
	const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => String(row[column]).length)));
	for (const row of rows)
		console.log(
			row
				.map((cell, column) => String(cell).padEnd(widths[column]))
				.join("  ")
				.trimEnd(),
		);
	console.log();
}

/** The last line: everything again, for programs. */
export function lastLine(result) {
	console.log(JSON.stringify(result));
}
