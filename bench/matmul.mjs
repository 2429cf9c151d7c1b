/**
 * The matrix product at the shapes of training and decoding, on one thread, beside the measured peak of multiply-adds.
 * `npm run bench -- matmul [--backend native] [--isa avx512] [--seconds 0.2]`.
 */
import { parseArgs } from "node:util";
import { createRuntime } from "../dist/engine/index.js";
import { opNamed } from "../dist/engine/ops/index.js";
import { plainProduct } from "../dist/engine/ops/matmul.js";
import * as harness from "./harness.mjs";

/**
 * Name, then rows x columns x depth. `kind` is what the product is for: forward y = x W^T, back dx = dy W, weight dW = dy^T x.
 * W is a parameter and packed beforehand; the operands of dW are not.
 */
const products = [384, 128, 96, 32].flatMap((width) => [
	["projection", "forward", 256, width, width],
	["first of the MLP", "forward", 256, 4 * width, width],
	["first of the MLP, bias, gelu", "forward", 256, 4 * width, width, { activation: 1, bias: true }],
	["second of the MLP", "forward", 256, width, 4 * width],
	["back through the first", "back", 256, width, 4 * width],
	["back through the second, gelu'", "back", 256, 4 * width, width, { activation: 3 }],
	["weights of the first", "weight", 4 * width, width, 2048],
	["weights of the second", "weight", width, 4 * width, 2048],
	["one decoded row", "forward", 1, 4 * width, width],
]);

const words = { parameters: 1_000_000, outputs: 9_000_000 };
const repeats = 1e8;

export async function main(args) {
	const { values } = parseArgs({
		args,
		options: {
			backend: { type: "string", default: "native" },
			isa: { type: "string" },
			seconds: { type: "string", default: "0.2" },
		},
	});
	const about = harness.header(null);
	const runtime = await createRuntime(values.backend, { threads: 1, isa: values.isa });
	try {
		const memory = fillSpaces(runtime);
		const peak = Math.max(await runtime.peak(0.2), await runtime.peak(0.2));
		console.log(`${runtime.description}: ${peak.toFixed(0)} GFLOP/s measured peak\n`);
		const results = products.map((product) => measure(runtime, memory, product, Number(values.seconds)));
		const rows = [["product", "rows x columns x depth", "us", "GFLOP/s", "of peak"]];
		for (const { name, sizes, seconds, gflops } of results) {
			rows.push([
				name,
				sizes.join(" x "),
				(seconds * 1e6).toFixed(1),
				gflops.toFixed(1),
				`${Math.round((100 * gflops) / peak)} %`,
			]);
		}
		harness.table(rows);
		harness.lastLine({ benchmark: "matmul", ...about, backend: runtime.description, peak, results });
	} finally {
		await runtime.close();
	}
}

function fillSpaces(runtime) {
	const memory = {};
	for (const [space, length] of Object.entries(words)) {
		memory[space] = Float32Array.from({ length }, (_, i) => (((i * 7919) % 1009) - 504) / 5000);
		runtime.reserve(space, length);
		runtime.write(space, 0, memory[space]);
	}
	return memory;
}

/** Load one product, hold some of its elements to double precision, and take the best of many runs. */
function measure(runtime, memory, [name, kind, rows, columns, depth, extra = {}], limit) {
	const transposeA = kind === "weight";
	const transposeB = kind === "forward";
	const at = (space, offset, r, c) => ({ space, offset, rows: r, cols: c, ld: c, dtype: "f32" });
	const a = transposeA ? at("outputs", 0, depth, rows) : at("outputs", 0, rows, depth);
	const shape = transposeB ? [columns, depth] : [depth, columns];
	const b = kind === "weight" ? at("outputs", 4_000_000, ...shape) : at("parameters", 0, ...shape);
	const y = at("outputs", 7_500_000, rows, columns);
	const factor = extra.activation === 3 ? at("outputs", 8_200_000, rows, columns) : null;
	const bias = extra.bias ? at("parameters", 900_000, 1, columns) : null;
	const attributes = {
		...plainProduct,
		transposeA: +transposeA,
		transposeB: +transposeB,
		activation: extra.activation ?? 0,
	};
	const instruction = {
		op: opNamed("matmul"),
		inputs: [a, b, bias, factor, null],
		outputs: [y, null],
		attributes,
		parts: 1,
		label: name,
	};
	const handle = runtime.load(programOf(instruction));
	const flops = 2 * rows * columns * depth;
	const count = Math.max(1, Math.round(repeats / flops));
	const update = { program: handle, stateOffset: 0 };
	const job = (updates) => ({
		weightsChanged: false,
		seed: 0n,
		step: 1,
		slices: 0,
		gradientWords: 0,
		microBatches: [],
		updates,
	});
	runtime.runSync(job([update]));
	if (!extra.activation) check(runtime, memory, a, b, y, { transposeA, transposeB, depth });
	let seconds = Number.POSITIVE_INFINITY;
	const many = job(Array(count).fill(update));
	for (const end = performance.now() + limit * 1000; performance.now() < end; ) {
		const start = performance.now();
		runtime.runSync(many);
		seconds = Math.min(seconds, (performance.now() - start) / 1000 / count);
	}
	runtime.forget(handle);
	return { name, sizes: [rows, columns, depth], seconds, gflops: flops / seconds / 1e9 };
}

function programOf(instruction) {
	const nothing = {
		inputWords: 0,
		outputWords: 0,
		stateWords: 0,
		inputs: new Map(),
		outputs: new Map(),
		states: new Map(),
		shared: new Map(),
	};
	return {
		kind: "update",
		instructions: [instruction],
		constants: new Int32Array(0),
		arenaWords: 0,
		flops: 0,
		...nothing,
	};
}

function check(runtime, memory, a, b, y, { transposeA, transposeB, depth }) {
	const result = new Float32Array(y.rows * y.cols);
	runtime.read("outputs", y.offset, result);
	const element = ({ space, offset, ld }, r, c) => memory[space][offset + r * ld + c];
	for (let i = 0; i < result.length; i += 977) {
		const [r, c] = [Math.floor(i / y.cols), i % y.cols];
		let sum = 0;
		for (let k = 0; k < depth; k++) {
			sum += (transposeA ? element(a, k, r) : element(a, r, k)) * (transposeB ? element(b, c, k) : element(b, k, c));
		}
		if (!(Math.abs(result[i] - sum) < 1e-4)) throw new Error(`element ${r}, ${c}: expected ${sum}, got ${result[i]}`);
	}
}
