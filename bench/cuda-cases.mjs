/** The ops' conformance cases run on a runtime from dist/, as test/engine/conformance.test.ts runs them from sources: one result a case. */
import { RandomSequence } from "../dist/base/random.js";
import { Graph } from "../dist/engine/graph.js";

/** @typedef {{ op: string, case: string, variant: string, problem: string | null }} Outcome */

const normal = (random) => Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());

function valuesOf(op, one) {
	const random = new RandomSequence(1, 1, 0);
	return one.inputs.map((shape, index) => {
		if (!shape) return null;
		const value = (_, i) => one.fill?.(index, i, () => random.uniform()) ?? normal(random);
		const values = Array.from({ length: shape[0] * shape[1] }, value);
		return op.i32Inputs?.includes(index) ? Int32Array.from(values) : Float32Array.from(values);
	});
}

function shapesOf(op, one) {
	const g = new Graph();
	const dtype = (index) => (op.i32Inputs?.includes(index) ? "i32" : "f32");
	const inputs = one.inputs.map((shape, index) => shape && g.input(`input ${index}`, shape, dtype(index)));
	return op.shape(inputs, one.attributes ?? {});
}

/** Plain, in place, without optional results, in parts, and by a weight. */
function variantsOf(op, one) {
	const shapes = shapesOf(op, one);
	const variants = op.exactParts ? [] : [{ name: "plain" }];
	for (const pair of op.inPlace ?? [])
		if (one.inputs[pair[0]]) variants.push({ name: `in place ${pair}`, inPlace: pair });
	if (op.outputs.some((name, i) => name.endsWith("?") && i < shapes.length))
		variants.push({ name: "bare", bare: true });
	const limit = op.parts?.(
		one.inputs.slice(),
		shapes.map(({ shape }) => shape),
		one.attributes ?? {},
	);
	const parts = limit && (op.exactParts ? limit : Math.min(limit, 3));
	if (parts) variants.push({ name: "in parts", parts });
	if (op.name === "matmul") variants.push({ name: "by a weight", weight: true });
	return variants;
}

/** One instruction over a buffer with gaps between rows. */
function prepare(op, one, variant) {
	const values = valuesOf(op, one);
	const shapes = shapesOf(op, one);
	const used = { outputs: 0, parameters: 0 };
	const place = (space, [rows, cols], dtype, gap) => {
		const offset = used[space] + 5;
		used[space] = offset + rows * (cols + gap);
		return { space, offset, rows, cols, ld: cols + gap, dtype };
	};
	const inputs = values.map((value, index) => {
		if (!value) return null;
		const weight = variant.weight && index === 1;
		const dtype = value instanceof Int32Array ? "i32" : "f32";
		return place(weight ? "parameters" : "outputs", one.inputs[index], dtype, weight ? 0 : 3);
	});
	const shared = new Map(
		[...(op.updates ?? []), ...(variant.inPlace ? [variant.inPlace] : [])].map(([i, o]) => [o, i]),
	);
	const outputs = op.outputs.map((name, index) => {
		if (index >= shapes.length || (variant.bare && name.endsWith("?"))) return null;
		return shared.has(index)
			? inputs[shared.get(index)]
			: place("outputs", shapes[index].shape, shapes[index].dtype, 2);
	});
	const random = new RandomSequence(3, 3, 0);
	const words = Float32Array.from({ length: used.outputs + 7 }, () => normal(random));
	const parameters = new Float32Array(used.parameters + 7);
	inputs.forEach((operand, index) => {
		if (!operand) return;
		const target = operand.space === "parameters" ? parameters : words;
		const view = values[index] instanceof Int32Array ? new Int32Array(target.buffer) : target;
		for (let r = 0; r < operand.rows; r++) {
			view.set(values[index].subarray(r * operand.cols, (r + 1) * operand.cols), operand.offset + r * operand.ld);
		}
	});
	const program = {
		kind: variant.parts ? "update" : "body",
		instructions: [
			{ op, inputs, outputs, attributes: one.attributes ?? {}, parts: variant.parts ?? 1, label: one.name },
		],
		constants: new Int32Array(0),
		arenaWords: 0,
		inputWords: 0,
		outputWords: words.length,
		stateWords: 0,
		inputs: new Map(),
		outputs: new Map(),
		states: new Map(),
		shared: new Map(),
		flops: 0,
	};
	return { program, words, parameters, outputs };
}

async function call(runtime, { program, words, parameters }) {
	runtime.reserve("outputs", words.length);
	runtime.reserve("parameters", parameters.length);
	if (runtime.backend === "reference") runtime.write("outputs", 0, new Int32Array(words.buffer));
	runtime.write("outputs", 0, words);
	runtime.write("parameters", 0, parameters);
	const handle = runtime.load(program);
	const update = program.kind === "update";
	const micro = { program: handle, slice: 0, inputsOffset: 0, outputsOffset: 0, firstSequence: 2 };
	await runtime.run({
		weightsChanged: true,
		seed: 0x1234567890abcdefn,
		step: 17,
		slices: update ? 0 : 1,
		gradientWords: 0,
		microBatches: update ? [] : [micro],
		updates: update ? [{ program: handle, stateOffset: 0 }] : [],
	});
	runtime.forget(handle);
	const result = new Float32Array(words.length);
	runtime.read("outputs", 0, result);
	return result;
}

/** What is wrong with a result, or null. */
function difference(op, prepared, expected, actual, tolerance) {
	const written = new Set();
	for (const [index, output] of prepared.outputs.entries()) {
		if (!output) continue;
		let [error, norm, worst] = [0, 0, { size: -1, text: "" }];
		for (let i = 0; i < output.rows * output.cols; i++) {
			const [r, c] = [Math.floor(i / output.cols), i % output.cols];
			const at = output.offset + r * output.ld + c;
			written.add(at);
			const off = Math.abs(actual[at] - expected[at]);
			if (!(off <= worst.size)) worst = { size: off, text: `[${r},${c}] expected ${expected[at]}, got ${actual[at]}` };
			error += off ** 2;
			norm += expected[at] ** 2;
		}
		const relative = Math.sqrt(error) / (norm > 0 ? Math.sqrt(norm) : 1);
		const shape = `${output.rows} x ${output.cols}`;
		if (!(relative <= tolerance)) {
			return `${op.outputs[index]} (${shape}) off by ${relative.toExponential(1)}; ${worst.text}`;
		}
	}
	const [before, after] = [new Int32Array(prepared.words.buffer), new Int32Array(actual.buffer)];
	const strays = [...after.keys()].filter((i) => !written.has(i) && after[i] !== before[i]);
	return strays.length > 0 ? `${strays.length} words written outside the results, first at ${strays[0]}` : null;
}

/**
 * Every case of an op. A case that throws is an outcome as well; `recover` then gives the runtime to go on with.
 * @returns {Promise<Outcome[]>}
 */
export async function checkOp(op, { runtime, exact, recover, tolerance }) {
	const outcomes = [];
	for (const one of op.cases) {
		for (const variant of variantsOf(op, one)) {
			let problem = null;
			try {
				const prepared = prepare(op, one, variant);
				const expected = await call(exact, prepared);
				problem = difference(op, prepared, expected, await call(runtime(), prepared), tolerance);
			} catch (error) {
				problem = error.message;
				await recover(error);
			}
			outcomes.push({ op: op.name, case: one.name, variant: variant.name, problem });
		}
	}
	return outcomes;
}
