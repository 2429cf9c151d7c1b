/** What cuda-check asks of whole models on the device: gradients in half precision, and values beyond fp16's range. */
import { createRuntime } from "../dist/engine/index.js";
import { createModel } from "../dist/models/index.js";
import { Learner } from "../dist/train/index.js";

const vocabulary = 50;
const optimizer = { kind: "adamw", betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.1, clip: 1 };
const settings = (step) => ({ learningRate: 1e-3, step, seed: 1 });

function modelOf({ width, heads, length, ...rest }) {
	return createModel({
		...{
			kind: "transformer",
			variant: "forget",
			alpha: { value: 0.5, learned: true },
			vocabulary,
			length,
			width,
			heads,
		},
		...{ layers: 2, bias: false, window: { from: length, to: length }, outputs: { kind: "language" }, tied: true },
		...{ positions: "absolute", activation: "gelu", dropout: 0, form: "fast", ...rest },
	});
}

function batchOf(length, sequences = 3) {
	const ids = Int32Array.from({ length: sequences * length }, (_, i) => (i * 7 + (i >> 3)) % vocabulary);
	return { ids, targets: ids.map((id) => (id * 11 + 3) % vocabulary), sequences, length };
}

async function learnerOf(model, precision) {
	const runtime = await createRuntime("cuda", { precision });
	const learner = new Learner(model, runtime, { optimizer, slices: 1, recompute: 0, memory: 1e9 });
	await learner.initialize(1);
	return learner;
}

const longWindows = [
	{ width: 64, heads: 2, length: 300 },
	{ width: 128, heads: 2, length: 1024 },
	{ width: 128, heads: 2, length: 777, dropout: 0.2 },
	{ width: 192, heads: 2, length: 200, dropout: 0.1 },
	{ width: 256, heads: 2, length: 129 },
];

/** Gradients of transformers, whose attention is over long windows, in half precision beside fp32. @param fail is told of what is off */
export async function checkLongWindows(fail) {
	const tolerances = { bf16: 5e-2, fp16: 5e-3 };
	for (const changes of longWindows) {
		const batch = batchOf(changes.length);
		const gradients = {};
		for (const precision of ["fp32", "bf16", "fp16"]) {
			const learner = await learnerOf(modelOf(changes), precision);
			await learner.differentiate(batch, settings(1));
			gradients[precision] = learner.model.parameters.map(({ name }) => [
				name,
				learner.gradient(name, batch.sequences),
			]);
			await learner.session.close();
		}
		for (const [precision, tolerance] of Object.entries(tolerances)) {
			const errors = gradients.fp32.map(([name, expected], i) => [
				name,
				difference(expected, gradients[precision][i][1]),
			]);
			const [name, worst] = errors.reduce((a, b) => (b[1] <= a[1] ? a : b));
			console.log(`${precision} ${JSON.stringify(changes)}: worst ${worst.toExponential(1)}, ${name}`);
			if (!(worst <= tolerance))
				fail(`gradient of ${name} in ${precision}, ${JSON.stringify(changes)}: off by ${worst}`);
		}
	}
}

/** Values beyond fp16's range: the default precision does them in tf32, to the same bits as tf32 from the start. */
export async function checkRange(fail) {
	const model = modelOf({ width: 64, heads: 2, length: 64 });
	const batch = batchOf(64);
	const weights = {};
	for (const precision of ["auto", "tf32"]) {
		const learner = await learnerOf(model, precision);
		const name = learner.model.parameters.map((each) => each.name).find((each) => each.includes("fc"));
		const large = learner.session.readParameter(name).map((value) => 1e7 * value);
		learner.session.writeParameter(name, large);
		const steps = [];
		for (let step = 1; step <= 4; step += 2) {
			const two = [await learner.beginStep(batch, settings(step)), await learner.beginStep(batch, settings(step + 1))];
			for (const { result } of two) steps.push((await result).loss);
		}
		const { losses } = await learner.evaluate(batch, { losses: true });
		weights[precision] = learner.model.parameters.map((each) => learner.session.readParameter(each.name));
		console.log(
			`${precision}: losses ${steps.map((loss) => loss.toFixed(4)).join(", ")}; ${learner.doneWide} in the wider range`,
		);
		if (![...steps, ...losses].every(Number.isFinite)) fail(`${precision}: a loss that is not finite`);
		if (learner.doneWide !== (precision === "auto" ? 5 : 0))
			fail(`${precision}: expected all of auto in the wider range, and no other`);
		await learner.session.close();
	}
	const worst = Math.max(...weights.tf32.map((expected, i) => difference(expected, weights.auto[i])));
	if (worst !== 0) fail(`weights after values beyond the range of fp16 differ by ${worst}, expected the same bits`);
}

/** Norm of the difference over the norm of `expected`. */
function difference(expected, actual) {
	let [off, norm] = [0, 0];
	for (let i = 0; i < expected.length; i++) {
		off += (actual[i] - expected[i]) ** 2;
		norm += expected[i] ** 2;
	}
	return Math.sqrt(off / (norm || 1));
}
