/**
 * Does the CUDA backend work on this machine? All of it in one run, every failure listed: `node bench/cuda-check.mjs [--tasks
 * shakespeare,copy,image,large,transformer] [--precisions bf16,fp16] [--steps 30] [--repeat 1] [--rows 25] [--skip ops,golden,models,time]`.
 * Needs dist/ (npm run build). Exits 1 when anything failed.
 *
 * 1. the device and its rates; 2. every op's conformance cases in fp32 against the reference; 3. the golden cases in fp32, tf32, bf16
 * and fp16; 4. gradients of models with long windows in half precision, and values beyond fp16's range; 5. training steps: time to the first, what planning, compiling and capturing took, nodes of the graph, median step, the
 * device's share of it, and the `rows` kernels and products that take most of that, each timed `repeat` times in a row.
 * RIVULET_CUDA_CHECK=1 waits after every command and names the one that fails.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { resetDevice } from "../dist/engine/backends/cuda/index.js";
import { ReferenceRuntime } from "../dist/engine/backends/reference.js";
import { backendSupport, createRuntime } from "../dist/engine/index.js";
import { ops } from "../dist/engine/ops/index.js";
import { checkGoldenCase, goldenCases } from "../dist/train/golden.js";
import { checkOp } from "./cuda-cases.mjs";
import { checkLongWindows, checkRange } from "./cuda-models.mjs";
import { modelOf, startLearner } from "./rivulet.mjs";
import { configurations } from "./train-cuda.mjs";

const { values } = parseArgs({
	options: {
		tasks: { type: "string", default: "shakespeare" },
		steps: { type: "string", default: "30" },
		skip: { type: "string", default: "" },
		precisions: { type: "string", default: "" },
		repeat: { type: "string", default: "1" },
		rows: { type: "string", default: "25" },
	},
});
const skipped = new Set(values.skip.split(","));
const failures = [];
const fail = (text) => {
	failures.push(text);
	console.log(`FAIL ${text}`);
};
const milliseconds = (since) => `${(performance.now() - since).toFixed(0)} ms`;

const reason = (await backendSupport()).get("cuda");
if (reason !== undefined) {
	console.log(`FAIL cuda cannot run here: ${reason}`);
	process.exit(1);
}
await section("device", device);
if (!skipped.has("ops")) await section("ops", checkOps);
if (!skipped.has("golden"))
	for (const precision of ["fp32", "tf32", "bf16", "fp16"])
		await section(`golden ${precision}`, () => golden(precision));
if (!skipped.has("models")) {
	await section("long windows", () => checkLongWindows(fail));
	await section("range", () => checkRange(fail));
}
if (!skipped.has("time")) {
	for (const name of values.tasks.split(",")) {
		for (const precision of new Set([configurations[name].precision, ...values.precisions.split(",")].filter(Boolean)))
			await section(`train ${name} ${precision}`, () => time(name, precision));
	}
}
console.log(failures.length === 0 ? "\nall passed" : `\n${failures.length} failures`);
process.exit(failures.length === 0 ? 0 : 1);

/** Run a part; an error in it is a failure, and the next part starts with a fresh context. */
async function section(name, work) {
	const started = performance.now();
	console.log(`\n== ${name}`);
	try {
		await work();
	} catch (error) {
		fail(`${name}: ${error.stack ?? error}`);
		await resetDevice();
	}
	console.log(`== ${name}: ${milliseconds(started)}`);
}

async function device() {
	const started = performance.now();
	const runtime = await createRuntime("cuda", { precision: "tf32" });
	console.log(`${runtime.description}, opened in ${milliseconds(started)}`);
	const { name, architecture, multiprocessors, sharedMemory, memoryBytes, driverVersion } = runtime.device;
	console.log(JSON.stringify({ name, architecture, multiprocessors, sharedMemory, memoryBytes, driverVersion }));
	const tf32 = await runtime.peak(0.3);
	const { bf16, copy } = await runtime.rates(0.3);
	console.log(
		`tf32 ${(tf32 / 1e3).toFixed(0)} TFLOP/s, bf16 ${(bf16 / 1e3).toFixed(0)} TFLOP/s, copy ${copy.toFixed(0)} GB/s`,
	);
	await runtime.close();
}

async function checkOps() {
	let runtime = await createRuntime("cuda", { precision: "fp32" });
	const exact = new ReferenceRuntime({ precision: "double" });
	const recover = async (error) => {
		if (!error.lost) return;
		await runtime.close().catch(() => {});
		await resetDevice();
		runtime = await createRuntime("cuda", { precision: "fp32" });
	};
	let cases = 0;
	for (const op of ops.filter(({ view }) => !view)) {
		const outcomes = await checkOp(op, { runtime: () => runtime, exact, recover, tolerance: 2e-5 });
		cases += outcomes.length;
		const bad = outcomes.filter(({ problem }) => problem !== null);
		console.log(
			`${bad.length === 0 ? "ok  " : "OFF "} ${op.name}: ${outcomes.length - bad.length} of ${outcomes.length}`,
		);
		for (const outcome of bad) fail(`${outcome.op}, ${outcome.case}, ${outcome.variant}: ${outcome.problem}`);
	}
	const { files, milliseconds: took } = runtime.compiled;
	console.log(`${cases} cases; ${files} files compiled in ${took.toFixed(0)} ms`);
	await runtime.close();
}

/** Worst relative error of a case's quantities; fp32 as on the other backends, the rest by the digits that products keep. */
async function golden(precision) {
	// The gradient of alpha is one sum of terms that cancel: fewer of its digits are left.
	const tenBits = [2e-2, 2e-2];
	const tolerances = { fp32: [1e-4, 1e-4], tf32: tenBits, fp16: tenBits, bf16: [1e-1, 5e-1] }[precision];
	const toleranceOf = (quantity) => tolerances[quantity.endsWith("alpha") ? 1 : 0];
	const folder = fileURLToPath(new URL("../test/fixtures/golden", import.meta.url));
	for (const name of goldenCases(folder)) {
		try {
			const results = await checkGoldenCase(folder, name, await createRuntime("cuda", { precision }));
			const worst = results.reduce((a, b) => (b.error > a.error ? b : a));
			console.log(`${name}: worst ${worst.error.toExponential(1)}, ${worst.quantity}`);
			const off = results.filter(({ quantity, error }) => !(error <= toleranceOf(quantity)));
			for (const { quantity, error } of off)
				fail(`golden ${precision} ${name}: ${quantity} off by ${error.toExponential(1)}`);
		} catch (error) {
			fail(`golden ${precision} ${name}: ${error.message}`);
			if (error.lost) await resetDevice();
		}
	}
}

async function time(name, precision) {
	const begun = performance.now();
	const runtime = await createRuntime("cuda", { precision });
	const created = performance.now() - begun;
	let loading = 0;
	const load = runtime.load.bind(runtime);
	runtime.load = (program) => {
		const started = performance.now();
		const handle = load(program);
		loading += performance.now() - started;
		const { instructions, arenaWords } = program;
		console.log(`program of ${instructions.length} instructions, arena ${((4 * arenaWords) / 1e6).toFixed(0)} MB`);
		return handle;
	};
	const { task, layers } = configurations[name];
	const model = modelOf(task, task.window === 0 ? { kind: "transformer", layers } : {});
	const arm = await startLearner(name, runtime, task, model);
	const started = performance.now();
	const [first] = await arm.step(1);
	const whole = performance.now() - begun;
	const built = performance.now() - started;
	const { files, milliseconds: compiling } = runtime.compiled;
	console.log(
		`runtime ${created.toFixed(0)} ms; first step ${(1000 * first).toFixed(0)} ms (with plan ${built.toFixed(0)} ms, lowering ` +
			`${loading.toFixed(0)} ms, ${files} files compiled in ${compiling.toFixed(0)} ms); start to first step ${whole.toFixed(0)} ms`,
	);
	const [second] = await arm.step(1);
	const { nodes, captureMilliseconds, instantiateMilliseconds } = runtime.lastCapture ?? {};
	console.log(
		`second step ${(1000 * second).toFixed(0)} ms: graph of ${nodes} nodes, capture ${captureMilliseconds?.toFixed(0)} ms, ` +
			`instantiate ${instantiateMilliseconds?.toFixed(0)} ms`,
	);
	const seconds = [];
	for (let round = 0; round < 5; round++) seconds.push((await arm.step(Math.ceil(Number(values.steps) / 5)))[0]);
	seconds.sort((a, b) => a - b);
	const median = seconds[Math.floor(seconds.length / 2)];
	console.log(
		`${name} ${precision}: median ${(1000 * median).toFixed(2)} ms a step, least ${(1000 * seconds[0]).toFixed(2)}, ` +
			`${(arm.flops() / median / 1e12).toFixed(1)} TFLOP/s, ${(runtime.memory() / 1e6).toFixed(0)} MB`,
	);
	await onDevice(arm, runtime);
	await profile(arm, runtime);
	await arm.close();
}

/** What of a step is the device's. */
async function onDevice(arm, runtime) {
	let milliseconds = 0;
	await insteadOfStep(arm, runtime, (job) => {
		milliseconds = runtime.deviceTime(job, 20);
	});
	console.log(`on the device ${milliseconds.toFixed(2)} ms a step`);
}

/** Where the device's time goes: the kernels and products of one step, most expensive first. */
async function profile(arm, runtime) {
	const sums = new Map();
	await insteadOfStep(arm, runtime, (job) => {
		for (const { command, milliseconds: took } of runtime.profile(job, Number(values.repeat))) {
			const { kind, a, b, batch, transposeA, transposeB } = command;
			const sizes = () =>
				`${[a, b].map(({ rows, cols }) => `${rows}x${cols}`).join(" ")} ${transposeA ? "T" : "N"}${transposeB ? "T" : "N"} ${batch}`;
			const name = kind === "product" ? `product ${sizes()}` : (command.kernel ?? kind);
			const known = sums.get(name) ?? { count: 0, took: 0 };
			sums.set(name, { count: known.count + 1, took: known.took + took });
		}
	});
	const rows = [...sums].sort(([, a], [, b]) => b.took - a.took);
	const total = rows.reduce((sum, [, { took }]) => sum + took, 0);
	console.log(`profiled ${total.toFixed(2)} ms on the device:`);
	for (const [name, { count, took }] of rows.slice(0, Number(values.rows))) {
		console.log(
			`  ${took.toFixed(3)} ms  ${String(count).padStart(5)} x ${((1000 * took) / count).toFixed(1)} us  ${name}`,
		);
	}
}

/** Do something else with the job of the next step than run it. */
async function insteadOfStep(arm, runtime, work) {
	const submit = runtime.submit;
	runtime.submit = async (job) => {
		work(job);
		return { ended: Promise.resolve() };
	};
	await arm.step(1);
	runtime.submit = submit;
}
