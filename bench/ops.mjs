/**
 * Every op of the table on every backend, at the sizes of a training step of the Shakespeare layer: time, GFLOP/s, GB/s.
 * `npm run bench -- ops [--backends native,wasm] [--seconds 0.2] [--only matmul,attention]`. One thread: an op runs on one.
 */
import { parseArgs } from "node:util";
import { createRuntime, ops } from "../dist/engine/index.js";
import { plainProduct } from "../dist/engine/ops/matmul.js";
import * as harness from "./harness.mjs";

const [rows, width] = [128, 384];
const x = [rows, width];
const one = [1, 1];
const row = [1, width];
const flat = [1, 500_000];
const spread = { rowsPerSequence: 16, sequences: 8 };
const windows = { windows: 8, heads: 6, p: 0, dropoutId: 0, sequences: 8 };

/** Inputs (null: absent) and attributes of each op; `ids`: inputs that hold row numbers below the given bound. */
const sizes = {
	matmul: { inputs: [x, [1536, width], null, null, null], attributes: { ...plainProduct, transposeB: 1 } },
	attention: { inputs: [x, [rows, 2 * width], [rows, 2 * width]], attributes: windows },
	attentionGrad: { inputs: [x, [rows, 2 * width], [rows, 2 * width], x], attributes: windows },
	decodeAttention: {
		inputs: [
			[8, width],
			[8 * 32, 2 * width],
			[8, 1],
		],
		attributes: { heads: 6 },
		ids: { 2: 32 },
	},
	minGru: { inputs: [x, x, null], attributes: { sequences: 8 } },
	minGruGrad: { inputs: [x, x, x, x, null], attributes: { sequences: 8 } },
	layerNorm: { inputs: [x, row, null], attributes: { eps: 1e-5 } },
	layerNormGrad: { inputs: [x, x, row, [rows, 2], x] },
	layerNormWeightGrad: { inputs: [x, x, [rows, 2]], attributes: { accumulate: 0 } },
	gelu: { inputs: [x] },
	geluGrad: { inputs: [x, x] },
	relu: { inputs: [x] },
	reluGrad: { inputs: [x, x] },
	add: { inputs: [x, x] },
	sub: { inputs: [x, x] },
	mul: { inputs: [x, x] },
	addRow: { inputs: [x, row] },
	scale: { inputs: [x], attributes: { c: 0.5 } },
	scaleBy: { inputs: [one, x] },
	addScaled: { inputs: [one, x, x] },
	lerp: { inputs: [x, x, one] },
	clamp: { inputs: [x], attributes: { lo: -1, hi: 1 } },
	clampGrad: { inputs: [x, x], attributes: { lo: -1, hi: 1 } },
	dropout: { inputs: [x], attributes: { p: 0.2, dropoutId: 1, ...spread } },
	gather: {
		inputs: [
			[65, width],
			[rows, 1],
		],
		ids: { 1: 65 },
	},
	scatterAdd: { inputs: [x, [rows, 1]], attributes: { accumulate: 0, rows: 65 }, ids: { 1: 65 } },
	writeRows: {
		inputs: [
			[8, width],
			[8 * 32, width],
			[8, 1],
		],
		ids: { 2: 32 },
	},
	columnSum: { inputs: [x], attributes: { accumulate: 0 } },
	sum: { inputs: [x], attributes: { accumulate: 0 } },
	dot: { inputs: [x, x], attributes: { accumulate: 0 } },
	broadcast: { inputs: [one], attributes: { rows, cols: width } },
	copy: { inputs: [x], attributes: { accumulate: 0 } },
	softmax: { inputs: [x] },
	crossEntropy: {
		inputs: [
			[2048, 65],
			[2048, 1],
		],
		ids: { 1: 65 },
	},
	crossEntropyGrad: {
		inputs: [
			[2048, 65],
			[2048, 1],
			[2048, 1],
			[2048, 1],
		],
		ids: { 1: 65 },
	},
	correct: {
		inputs: [
			[2048, 65],
			[2048, 1],
		],
		ids: { 1: 65 },
	},
	squareSum: { inputs: [flat], attributes: { parts: 1 } },
	clipFactor: {
		inputs: [
			[1, 64],
			[1, 1],
		],
		attributes: { max: 1 },
	},
	adam: { inputs: [flat, flat, flat, flat, [1, 8], [1, 2]], attributes: { decay: 1 } },
};

/** Calls in one job, so that the job's own cost does not count. */
const repeats = 20;

export async function main(args) {
	const { values } = parseArgs({
		args,
		options: {
			backends: { type: "string", default: "native,wasm" },
			seconds: { type: "string", default: "0.2" },
			only: { type: "string" },
		},
	});
	const about = harness.header(null);
	const table = ops.ops.filter(({ view }) => !view);
	const missing = table.filter(({ name }) => !Object.hasOwn(sizes, name));
	if (missing.length > 0)
		throw new Error(`no sizes in bench/ops.mjs for ${missing.map(({ name }) => name).join(", ")}`);
	const results = {};
	for (const backend of values.backends.split(",")) {
		const runtime = await createRuntime(backend, { threads: 1 });
		const peak = await runtime.peak(0.5);
		const lines = [["op", "microseconds", "GFLOP/s", "of peak", "GB/s"]];
		results[backend] = { peak };
		for (const op of table) {
			if (values.only && !values.only.split(",").includes(op.name)) continue;
			const { seconds, flops, bytes } = await time(runtime, op, Number(values.seconds));
			const [gflops, gbytes] = [flops / seconds / 1e9, bytes / seconds / 1e9];
			lines.push([
				op.name,
				(1e6 * seconds).toFixed(1),
				gflops.toFixed(1),
				`${((100 * gflops) / peak).toFixed(0)} %`,
				gbytes.toFixed(1),
			]);
			results[backend][op.name] = { microseconds: 1e6 * seconds, gflops, gbytes };
		}
		console.log(`\n${runtime.description}; measured multiply-add peak ${peak.toFixed(0)} GFLOP/s`);
		harness.table(lines);
		await runtime.close();
	}
	harness.lastLine({ benchmark: "ops", ...about, results });
}

/** Best time of a call; flops as the op counts them, bytes of all operands once. */
async function time(runtime, op, budget) {
	const { program, words, bytes, flops } = oneCall(op);
	runtime.reserve("outputs", words.length);
	runtime.write("outputs", 0, words);
	const handle = runtime.load(program);
	const micro = { program: handle, slice: 0, inputsOffset: 0, outputsOffset: 0, firstSequence: 0 };
	const job = {
		weightsChanged: false,
		seed: 1n,
		step: 1,
		slices: 1,
		gradientWords: 0,
		microBatches: new Array(repeats).fill(micro),
		updates: [],
	};
	let best = Number.POSITIVE_INFINITY;
	for (const end = performance.now() + 1000 * budget; performance.now() < end; ) {
		const start = performance.now();
		runtime.runSync(job);
		best = Math.min(best, (performance.now() - start) / 1000 / repeats);
	}
	runtime.forget(handle);
	return { seconds: best, flops, bytes };
}

/** A program of one instruction, its operands one after the other in the outputs space, filled with numbers of size one. */
function oneCall(op) {
	const { inputs, attributes = {}, ids = {} } = sizes[op.name];
	let words = 0;
	const place = ([r, c], dtype) => {
		const operand = { space: "outputs", offset: words, rows: r, cols: c, ld: c, dtype };
		words += Math.ceil((r * c) / 16) * 16;
		return operand;
	};
	const tensors = inputs.map(
		(shape, i) =>
			shape && { id: i, shape, dtype: Object.hasOwn(ids, i) ? "i32" : "f32", source: { kind: "input", name: "" } },
	);
	const operands = tensors.map((tensor) => tensor && place(tensor.shape, tensor.dtype));
	const updates = new Map((op.updates ?? []).map(([i, o]) => [o, operands[i]]));
	const outputs = op.shape(tensors, attributes).map(({ shape, dtype }, i) => updates.get(i) ?? place(shape, dtype));
	const data = new Float32Array(words).map(() => Math.random() + 0.1);
	const integers = new Int32Array(data.buffer);
	for (const [i, bound] of Object.entries(ids)) {
		const { offset, rows: r } = operands[i];
		for (let k = 0; k < r; k++) integers[offset + k] = (k * 7) % bound;
	}
	const shapes = (list) => list.map((operand) => operand && [operand.rows, operand.cols]);
	const program = {
		kind: "body",
		instructions: [{ op, inputs: operands, outputs, attributes, parts: 1, label: "" }],
		constants: new Int32Array(0),
		arenaWords: 0,
		inputWords: 0,
		outputWords: words,
		stateWords: 0,
		inputs: new Map(),
		outputs: new Map(),
		states: new Map(),
		shared: new Map(),
		flops: 0,
	};
	const bytes = [...operands, ...outputs].reduce(
		(sum, operand) => sum + (operand ? 4 * operand.rows * operand.cols : 0),
		0,
	);
	return { program, words: data, bytes, flops: op.flops(shapes(operands), shapes(outputs), attributes) };
}
