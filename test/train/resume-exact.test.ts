/** Killed again and again, a run ends with the same weights, to the bit, as one that nobody disturbed. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RandomSequence } from "../../src/base/random.ts";

const program = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const steps = 240;
const kills = 20;

let folder = "";
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "rivulet-resume-"));
	const lines = Array.from(
		{ length: 400 },
		(_, i) => `${i}: the fox and ${i % 7} hens met ${i % 5} owls by the well.\n`,
	);
	writeFileSync(join(folder, "text.txt"), lines.join(""));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Process {
	/** Null where it was killed. */
	readonly status: number | null;
	readonly out: string;
	readonly err: string;
}

/** `rivulet train`; with `life`, it is sent the signal at its end. */
function train(
	flags: readonly string[],
	life?: () => Promise<void>,
	signal: "SIGKILL" | "SIGINT" = "SIGKILL",
): Promise<Process> {
	return new Promise((resolve, reject) => {
		const child = spawn(process.execPath, [program, "train", ...flags], {
			cwd: folder,
			env: { ...process.env, RIVULET_CACHE: join(folder, "cache") },
		});
		const text = { out: "", err: "" };
		child.stdout.on("data", (chunk) => (text.out += chunk));
		child.stderr.on("data", (chunk) => (text.err += chunk));
		child.on("error", reject);
		child.on("close", (status) => resolve({ status, ...text }));
		life?.().then(() => child.kill(signal));
	});
}

/** Step of the newest checkpoint. */
function progress(run: string): number {
	const checkpoints = join(run, "checkpoints");
	const names = existsSync(checkpoints) ? readdirSync(checkpoints) : [];
	return Math.max(0, ...names.map((name) => Number(/^step-(\d+)$/.exec(name)?.[1] ?? 0)));
}

const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

const common = [
	...["--model.width", "16", "--model.heads", "2", "--model.dropout", "0.1", "--train.batch", "8", "--threads", "2"],
	...["--train.steps", String(steps), "--train.save-every", "5", "--train.evaluate-every", "20"],
	...["--train.evaluate-batches", "4", "--train.slices", "4"],
];

const subjects = {
	"text, random windows, cosine, averaged": [
		...["--data.path", "text.txt", "--data.length", "64", "--model.window", "4..8"],
		...["--train.schedule", "cosine", "--train.warmup", "10", "--train.ema", "0.9"],
	],
	"copy, curriculum, recall schedule": [
		...["--data.task", "copy", "--data.noise", "64", "--model.variant", "accumulate", "--model.window", "8"],
		...["--train.schedule", "recall", "--train.curriculum.start", "8", "--train.curriculum.threshold", "2.7"],
		...["--train.learning-rate", "3e-3", "--train.recompute", "2"],
	],
};

/** Weights and moments of the run's last checkpoint, as the files have them. */
function bytesOf(run: string): Buffer[] {
	const checkpoint = join(folder, run, "checkpoints", `step-${steps}`);
	return ["model.safetensors", "optimizer.safetensors"].map((name) => readFileSync(join(checkpoint, name)));
}

/** The lines of metrics.jsonl without what the clock says. */
function metricsOf(run: string): Record<string, unknown>[] {
	const lines = readFileSync(join(folder, run, "metrics.jsonl"), "utf8")
		.trimEnd()
		.split("\n");
	return lines.map((line) => {
		const { seconds, wallSeconds, tokensPerSecond, gigaflopsPerSecond, ...rest } = JSON.parse(line);
		expect([seconds, wallSeconds, tokensPerSecond, gigaflopsPerSecond].every((value) => value >= 0)).toBe(true);
		return rest;
	});
}

/** The state beside the last checkpoint without what the clock and the process's memory say. */
function stateOf(run: string): Record<string, unknown> {
	const { seconds, costs, ...state } = JSON.parse(
		readFileSync(join(folder, run, "checkpoints", `step-${steps}`, "state.json"), "utf8"),
	);
	const { wallSeconds, runtimeBytes, processBytes, ...counted } = costs;
	expect([seconds, wallSeconds, runtimeBytes, processBytes].every((value) => value > 0)).toBe(true);
	return { ...state, counted };
}

describe.each(Object.entries(subjects))("%s", (name, flags) => {
	const run = (which: string) => `${name.split(",")[0]}-${which}`;

	test("the program is built", () => {
		expect(existsSync(program), "npm run build makes dist/cli/main.js").toBe(true);
	});

	test("an undisturbed run", async () => {
		const done = await train([...flags, ...common, "--run", join(folder, run("whole"))]);
		expect([done.status, done.err]).toEqual([0, ""]);
		expect(bytesOf(run("whole"))[0].length).toBeGreaterThan(10_000);
	});

	test(`killed ${kills} times, the same weights, moments, state and metrics`, { timeout: 120_000 }, async () => {
		const random = new RandomSequence(Date.now(), 1, 1);
		const path = join(folder, run("killed"));
		const resume = [...flags, ...common, "--resume", "auto", "--run", path];
		let cut = 0;
		for (let kill = 0; kill < kills; kill++) {
			// Now and then while the run is being opened; otherwise at work, in a step, an evaluation or a checkpoint.
			const early = kill % 5 === 0;
			const delay = random.uniform() * (early ? 400 : 20);
			const from = progress(path);
			let over = false;
			const life = async () => {
				while (!early && !over && progress(path) <= from) await pause(2);
				await pause(delay);
			};
			const { status, err } = await train(resume, life);
			over = true;
			expect(err).toBe("");
			if (status === null && progress(path) < steps) cut++;
		}
		const last = await train(resume);
		expect([last.status, last.err]).toEqual([0, ""]);
		expect(cut, "times that it was killed before its end").toBeGreaterThan(kills / 2);
		const [whole, killed] = [run("whole"), run("killed")];
		expect(bytesOf(killed).map((bytes, i) => bytes.equals(bytesOf(whole)[i]))).toEqual([true, true]);
		expect(stateOf(killed)).toEqual(stateOf(whole));
		expect(metricsOf(killed)).toEqual(metricsOf(whole));
		const recorded = metricsOf(killed).map(({ step }) => step as number);
		expect(recorded.every((step, i) => i === 0 || step > recorded[i - 1])).toBe(true);
		expect(recorded.at(-1)).toBe(steps);
	});
});

test("Ctrl-C saves and ends with 130; going on gives the weights of an undisturbed run", async () => {
	const path = join(folder, "stopped");
	const flags = [...subjects["text, random windows, cosine, averaged"], ...common, "--resume", "auto", "--run", path];
	const life = async () => {
		while (progress(path) === 0) await pause(2);
	};
	const stopped = await train(flags, life, "SIGINT");
	expect([stopped.status, stopped.err]).toEqual([130, ""]);
	expect(stopped.out).toContain("interrupted and saved");
	expect(progress(path)).toBeLessThan(steps);
	const finished = await train([...flags, "--json"]);
	expect([finished.status, finished.err]).toEqual([0, ""]);
	expect(JSON.parse(finished.out)).toMatchObject({ ended: "steps", steps });
	expect(bytesOf("stopped").map((bytes, i) => bytes.equals(bytesOf("text-whole")[i]))).toEqual([true, true]);
});
