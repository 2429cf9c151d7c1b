/**
 * What a training step on a GPU cannot take less than, from the commands it is lowered to; no GPU needed:
 * `npm run bench -- floors [--tasks shakespeare,..] [--bandwidth 3.3] [--tf32 200] [--bf16 400] [--launch 2.5]
 * [--precision fp16]` (TB/s, TFLOP/s, us; `bf16` is fp16's rate as well; `precision` instead of the configurations' own).
 */
import { parseArgs } from "node:util";
import { lower } from "../dist/engine/backends/cuda/lower.js";
import * as harness from "./harness.mjs";
import { modelOf, startLearner } from "./rivulet.mjs";
import { configurations } from "./train-cuda.mjs";

/** A runtime that computes nothing and remembers the last job; every weight and result is zero. */
class Recorder {
	backend = "cuda";
	description = "recorder";
	threads = 1;
	rowsPerStep = Number.POSITIVE_INFINITY;
	mostSlices = 1;
	activationBytes = 60e9;
	job = undefined;

	reserve() {}
	write() {}
	read() {}
	forget() {}
	memory() {
		return 0;
	}
	load(program) {
		return { id: 0, program };
	}
	async run(job) {
		this.job = job;
	}
	async close() {}
}

/** @param {string[]} args */
export async function main(args) {
	const option = { type: "string" };
	const options = { tasks: option, bandwidth: option, tf32: option, bf16: option, launch: option, precision: option };
	const { tasks = Object.keys(configurations).join(","), ...given } = parseArgs({ args, options }).values;
	const rate = (name, usual) => Number(given[name] ?? usual);
	const half = 1e12 * rate("bf16", 400);
	const speeds = {
		bytes: 1e12 * rate("bandwidth", 3.3),
		products: { tf32: 1e12 * rate("tf32", 200), bf16: half, fp16: half },
		launch: 1e-6 * rate("launch", 2.5),
	};
	const head = [
		"configuration",
		"GFLOP",
		"ms",
		"GB",
		"ms",
		"commands",
		"longest chain",
		"ms",
		"sum of the commands, ms",
	];
	const rows = [head];
	for (const name of tasks.split(",")) {
		const configuration = configurations[name];
		const { precision = configuration.precision } = given;
		rows.push([name, ...rowOf(await stepOf({ ...configuration, precision }), speeds)]);
	}
	harness.table(rows);
}

/** The commands of one training step, with the precision of its products. */
async function stepOf({ task, precision, layers = 1 }) {
	const runtime = new Recorder();
	const model = modelOf(task, task.window === 0 ? { kind: "transformer", layers } : {});
	await (await startLearner("", runtime, task, model)).step(1);
	const { microBatches, updates } = runtime.job;
	const target = { precision, multiprocessors: 132, sharedMemory: 227 << 10 };
	const programs = [...microBatches, ...updates].map(({ program }) => program.program);
	return { precision, programs: programs.map((program) => ({ program, ...lower(program, target) })) };
}

function rowOf({ precision, programs }, { bytes, products, launch }) {
	const rate = products[precision];
	const total = { flops: 0, bytes: 0, commands: 0, chain: 0, seconds: 0 };
	for (const { program, commands, dependencies } of programs) {
		const [attention, kernels] = attentionOf(program, commands);
		for (const command of commands) {
			const flops = kernels.has(command) ? attention / kernels.size : productFlops(command);
			const words = bytesOf(command);
			total.flops += flops;
			total.bytes += words;
			total.commands++;
			total.seconds += Math.max(flops / rate, words / bytes, launch);
		}
		total.chain += dependencies ? longestChain(dependencies) : commands.length;
	}
	const ms = (seconds) => (1000 * seconds).toFixed(2);
	return [
		...[(total.flops / 1e9).toFixed(0), ms(total.flops / rate)],
		...[(total.bytes / 1e9).toFixed(2), ms(total.bytes / bytes)],
		...[total.commands, total.chain, ms(total.chain * launch), ms(total.seconds)],
	];
}

/** Operations of all attention of a program, and the launches that do it. */
function attentionOf({ instructions }, commands) {
	const shapes = (list) => list.map((each) => each && [each.rows, each.cols]);
	const flops = instructions
		.filter(({ op }) => op.name.startsWith("attention"))
		.reduce(
			(sum, { op, inputs, outputs, attributes }) => sum + op.flops(shapes(inputs), shapes(outputs), attributes),
			0,
		);
	return [flops, new Set(commands.filter(({ kind, file }) => kind === "kernel" && file.startsWith("attention")))];
}

/** Of cuBLASLt, or of a kernel whose first arguments are a and b; of anything else none. */
function productFlops({ kind, a, y, transposeA, batch, file, args }) {
	if (kind === "product") return 2 * batch * y.rows * y.cols * (transposeA ? a.rows : a.cols);
	if (file !== "product_half") return 0;
	const [rows, b] = [args[0].operand.rows, args[1].operand];
	return 2 * rows * b.rows * b.cols;
}

/** Every operand once; of tables only the rows that are looked up. */
function bytesOf(command) {
	const { kind, batch = 1 } = command;
	if (kind === "zero") return sizeOf(command.operand);
	if (kind === "product")
		return [command.a, command.b, command.c, command.y].reduce((sum, x) => sum + batch * sizeOf(x), 0);
	const { args, kernel } = command;
	const sizes = args.map(({ operand }) => sizeOf(operand));
	const table = /gather|scatter/i.test(kernel) ? Math.max(...sizes) : 0;
	// A copy in halves followed by a 1 is all there is of a result.
	const alone = (each, i) => (each.operand?.dtype === "half" && args[i + 1]?.value === 1 ? 2 * sizes[i] : 0);
	return sizes.reduce((sum, size) => sum + size, 0) - table - args.reduce((sum, each, i) => sum + alone(each, i), 0);
}

function sizeOf(operand) {
	return operand ? operand.rows * operand.cols * (operand.dtype === "half" ? 2 : 4) : 0;
}

/** Commands on the longest way through dependencies. */
function longestChain(dependencies) {
	const length = [];
	for (const needed of dependencies) length.push(1 + needed.reduce((most, each) => Math.max(most, length[each]), 0));
	return length.reduce((most, each) => Math.max(most, each), 0);
}
