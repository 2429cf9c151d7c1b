/** How surprising each line of a text is to a model, the lines read one after the other as one stream. */
import { StreamEncoder, type Tokenizer } from "../data/tokenizers/index.ts";
import { StreamState } from "./state.ts";
import type { Stream } from "./stream.ts";

/** One line as the model found it. */
export interface LineSurprisal {
	/** From 1. */
	readonly line: number;
	readonly text: string;
	/** Of the whole line, its line end included, in nats. The first token of the text has nothing before it and counts as 0. */
	readonly nats: number;
	readonly tokens: number;
}

/**
 * The function returned takes the lines in order, without their line ends.
 * Where positions are absolute the model starts afresh when they end.
 */
export function lineSurprisals(stream: Stream, tokenizer: Tokenizer): (line: string) => LineSurprisal {
	const columns = stream.model.config.vocabulary;
	let state = StreamState.start;
	let number = 0;
	return (text) => {
		const encoder = new StreamEncoder(tokenizer);
		const ids = [...encoder.push(`${text}\n`), ...encoder.end()];
		let nats = 0;
		for (let at = 0; at < ids.length; ) {
			if (state.position >= stream.limit) state = StreamState.start;
			const piece = ids.slice(at, at + stream.limit - state.position);
			const before = state.logits;
			const { logits, state: after } = stream.forward(piece, state);
			piece.forEach((id, i) => {
				const row = i === 0 ? before : logits.subarray((i - 1) * columns, i * columns);
				if (row) nats += surprisal(row, id);
			});
			state = after;
			at += piece.length;
		}
		return { line: ++number, text, nats, tokens: ids.length };
	};
}

/** -log softmax(logits)[id]. */
export function surprisal(logits: Float32Array, id: number): number {
	const top = logits.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
	let sum = 0;
	for (const value of logits) sum += Math.exp(value - top);
	return top + Math.log(sum) - logits[id];
}
