/**
 * Generation far into a stream: tokens/s and memory at position 1,000, 10,000 and 100,000, beside PyTorch generating the author's
 * way (the last N tokens again for each new one). `npm run bench -- stream [--threads 1] [--end 100000]`.
 */
import { parseArgs } from "node:util";
import { createRuntime } from "../dist/engine/index.js";
import { Stream, StreamState } from "../dist/stream/index.js";
import * as harness from "./harness.mjs";
import { modelOf, peerConfig, tasks } from "./rivulet.mjs";

export async function main(args) {
	const { values } = parseArgs({
		args,
		options: {
			threads: { type: "string", default: "1" },
			end: { type: "string", default: "100000" },
			tokens: { type: "string", default: "2000" },
		},
	});
	const torch = harness.findTorch();
	const about = harness.header(torch);
	const threads = Number(values.threads);
	const task = tasks.shakespeare;
	// No positions: a stream without end. Everything else is the Shakespeare configuration.
	const stream = new Stream(
		modelOf(task, { positions: "none", dropout: 0 }),
		await createRuntime("native", { threads }),
	);
	for (const { name, initial, shape } of stream.model.parameters) {
		const draw = () => (initial.kind === "constant" ? initial.value : 0.04 * (Math.random() - 0.5));
		stream.session.writeParameter(name, Float32Array.from({ length: shape[0] * shape[1] }, draw));
	}
	const rows = [["position", "tokens/s", "microseconds per token", "resident MB", "state numbers"]];
	const result = [];
	let state = StreamState.start;
	for (const position of [1000, 10_000, 100_000].filter((at) => at <= Number(values.end))) {
		state = advance(stream, state, position - 200);
		state = generate(stream, state, 200).state; // warm up
		const rates = [];
		for (let i = 0; i < 5; i++) {
			const piece = generate(stream, state, Number(values.tokens) / 5);
			rates.push(piece.rate);
			state = piece.state;
		}
		const rate = harness.median(rates);
		const residentMB = Math.round(process.memoryUsage().rss / 1e6);
		rows.push([position, Math.round(rate), (1e6 / rate).toFixed(0), residentMB, state.size]);
		result.push({
			position,
			tokensPerSecond: rate,
			low: Math.min(...rates),
			high: Math.max(...rates),
			residentMB,
			state: state.size,
		});
	}
	await stream.close();
	console.log(`one stream, C 384 w 16, ${threads} ${threads === 1 ? "thread" : "threads"}, one token after the other`);
	harness.table(rows);
	const author = torch
		? harness.peerGeneration(torch, { model: "published", config: peerConfig(task), threads: 2, tokens: 20 })
		: null;
	if (author) {
		const ratio = result[0].tokensPerSecond / author;
		console.log(
			`\nthe author's way in PyTorch: ${author.toFixed(1)} tokens/s; ours is ${ratio.toFixed(0)} times as fast`,
		);
	}
	harness.lastLine({ benchmark: "stream", ...about, threads, streams: result, author });
}

/** Feed tokens up to `position`, whole blocks at once. */
function advance(stream, state, position) {
	let now = state;
	while (now.position < position) {
		const count = Math.min(4096, position - now.position);
		now = stream.forward(
			Int32Array.from({ length: count }, (_, i) => (i * 31) % 65),
			now,
		).state;
	}
	return now;
}

/** The likeliest token, again and again. */
function generate(stream, state, count) {
	const start = performance.now();
	let now = state;
	for (let i = 0; i < count; i++) {
		let best = 0;
		for (let id = 1; id < now.logits.length; id++) if (now.logits[id] > now.logits[best]) best = id;
		now = stream.forward([best], now).state;
	}
	return { rate: (1000 * count) / (performance.now() - start), state: now };
}
