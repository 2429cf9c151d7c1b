/**
 * Inside a trained recurrent transformer: the norm of the state after every block, and the attention of one window. One more forward
 * pass of the first layer, its intermediate values made outputs of the program.
 */
import { createRuntime } from "../engine/backends/index.ts";
import { Graph, type Node, type Tensor } from "../engine/graph.ts";
import { gather } from "../engine/ops/index.ts";
import { plan } from "../engine/plan.ts";
import { Session } from "../engine/session.ts";
import { AccumulateScan, alphaOf } from "../models/accumulate-scan.ts";
import { embed } from "../models/embedding.ts";
import { ForgetScan } from "../models/forget-scan.ts";
import { createModel, evaluationWindow, type Model } from "../models/index.ts";
import { blockLengths } from "../nn/blocks.ts";
import { Layer } from "../nn/layer.ts";
import { ParameterTable } from "../nn/parameters.ts";
import { modelConfig, openSubject } from "../train/prepare.ts";
import { RunFolder } from "../train/run.ts";
import { loadWeights } from "../train/weights.ts";

/** What there is to see of the first layer, for one validation sequence. */
export interface Inside {
	/** Window w. */
	readonly window: number;
	/** Root mean square of the state's elements after each block. */
	readonly stateNorm: readonly number[];
	/** Row i: how much new token i attends to each of the state's rows, then to the new tokens up to itself; mean over heads, sums to 1. */
	readonly attention: readonly (readonly (number | null)[])[];
	/** Number of the block, 1 the first, whose window that is. */
	readonly block: number;
}

/** The longest stretch of a sequence that is looked at, in blocks: enough to see the state settle. */
const mostBlocks = 128;

/** Undefined for models without a state of this kind, and for sequences of a single block. */
export async function lookInside(path: string): Promise<Inside | undefined> {
	const run = RunFolder.open(path);
	const { config } = run;
	if (config.model.kind !== "recurrent") return undefined;
	const subject = await openSubject(config);
	const model = createModel(modelConfig(config, subject));
	const window = evaluationWindow(model.config);
	const [batch] = subject.evaluationBatches(1, 1, config.data.noise).batches;
	const blocks = Math.min(mostBlocks, Math.floor(config.data.length / window));
	if (blocks < 2) return undefined;
	const { tensors } = await run.loadCheckpoint(run.best() === undefined ? "last" : "best", { optimizer: false });
	const session = new Session(await createRuntime("auto", { threads: 1 }), model.parameters);
	try {
		loadWeights(session, model, tensors, path);
		return await observe(session, model, batch.ids.subarray(0, blocks * window), window);
	} finally {
		await session.close();
	}
}

async function observe(session: Session, model: Model, ids: Int32Array, window: number): Promise<Inside> {
	const count = ids.length / window;
	const watched = Math.floor(count / 2);
	const program = session.program("inside", (layout) => {
		const g = new Graph();
		const { states, attention } = firstLayer(g, model, ids, window, watched);
		const outputs = new Map<string, Tensor>(states.map((state, k) => [`state ${k}`, state]));
		["queries", "keys and values", "prefix"].forEach((name, i) => outputs.set(name, attention.inputs[i] as Tensor));
		return plan(g, { kind: "body", layout, outputs });
	});
	const { runtime } = session;
	runtime.reserve("slices", session.layout.words);
	runtime.reserve("inputs", program.program.inputWords);
	runtime.reserve("outputs", program.program.outputWords);
	const place = { program, slice: 0, inputsOffset: 0, outputsOffset: 0, firstSequence: 0 };
	await session.run({ seed: 0n, step: 0, slices: 1, gradientWords: 0, microBatches: [place], updates: [] });
	const read = (name: string, words: number) => {
		const values = new Float32Array(words);
		runtime.read("outputs", program.program.outputs.get(name)?.offset ?? Number.NaN, values);
		return values;
	};
	const { width, heads } = model.config;
	return {
		window,
		stateNorm: Array.from({ length: count }, (_, k) => rootMeanSquare(read(`state ${k}`, window * width))),
		attention: attentionOf(
			read("queries", window * width),
			read("keys and values", window * 2 * width),
			read("prefix", window * 2 * width),
			{ width, heads },
		),
		block: watched + 1,
	};
}

/** The scan of the first layer block by block, its states, and the attention of the new tokens of block `watched`. */
function firstLayer(g: Graph, model: Model, ids: Int32Array, window: number, watched: number) {
	const { config } = model;
	const table = new ParameterTable(model.parameters);
	const layer = new Layer(0, config, table, false);
	const accumulate = config.variant === "accumulate";
	const scan = accumulate ? new AccumulateScan(layer, alphaOf(g, config, table)) : new ForgetScan(layer, 0);
	const states: Tensor[] = [];
	let attention: Node | undefined;
	for (const [k] of blockLengths(ids.length, window).entries()) {
		const column = (values: Int32Array) => g.constant(values, [values.length, 1]);
		const start = k * window;
		const places = Int32Array.from({ length: window }, (_, i) => (config.positions === "window" ? i : start + i));
		const rows = embed(g, config, table, column(ids.slice(start, start + window)), column(places));
		const before = g.nodes.length;
		scan.push(g, { rows, lengths: [window], sequences: 1 });
		const { s } = scan.boundary();
		// Copied, so that no output is a view of another.
		states.push(gather(g, s, column(Int32Array.from({ length: window }, (_, i) => i))));
		if (k === watched) attention = g.nodes.slice(before).find(({ op, inputs }) => op.name === "attention" && inputs[2]);
	}
	if (!attention) throw new Error("[inside] expected an attention with a prefix in the scan");
	return { states, attention: { inputs: attention.inputs.map((tensor) => tensor && copied(g, tensor)) } };
}

function copied(g: Graph, tensor: Tensor): Tensor {
	const rows = Int32Array.from({ length: tensor.shape[0] }, (_, i) => i);
	return gather(g, tensor, g.constant(rows, [rows.length, 1]));
}

/** Softmax of q k / sqrt(C / H), the prefix's keys first, mean over heads: (w, 2w), null where a token may not look. */
function attentionOf(
	queries: Float32Array,
	keysValues: Float32Array,
	prefix: Float32Array,
	{ width, heads }: { readonly width: number; readonly heads: number },
): (number | null)[][] {
	const window = queries.length / width;
	const size = width / heads;
	const total = Array.from({ length: window }, (_, i) =>
		Array.from({ length: 2 * window }, (_, j): number | null => (j <= window + i ? 0 : null)),
	);
	for (let head = 0; head < heads; head++) {
		for (let i = 0; i < window; i++) {
			const scores = Array.from({ length: window + i + 1 }, (_, j) => {
				const [keys, row] = j < window ? [prefix, j] : [keysValues, j - window];
				let sum = 0;
				for (let c = head * size; c < (head + 1) * size; c++) sum += queries[i * width + c] * keys[row * 2 * width + c];
				return sum / Math.sqrt(size);
			});
			const highest = Math.max(...scores);
			const weights = scores.map((score) => Math.exp(score - highest));
			const norm = weights.reduce((a, b) => a + b, 0) * heads;
			weights.forEach((weight, j) => (total[i][j] = (total[i][j] as number) + weight / norm));
		}
	}
	return total;
}

function rootMeanSquare(values: Float32Array): number {
	return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
}
