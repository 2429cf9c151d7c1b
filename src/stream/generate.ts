/** Text from a stream: prompt in, pieces of text out as they come. */
import { RivuletError } from "../base/errors.ts";
import { StreamDecoder, type Tokenizer } from "../data/tokenizers/index.ts";
import { Sampler, type SamplerOptions } from "./sampler.ts";
import { StreamState } from "./state.ts";
import type { Stream } from "./stream.ts";

/** How much to generate, how to draw (see `SamplerOptions`), and when to end. */
export interface GenerateOptions extends Partial<SamplerOptions> {
	/** Tokens to generate at most. */
	readonly tokens: number;
	/** Generation ends before the first of these strings that comes up; it is not printed. */
	readonly stop?: readonly string[];
	readonly signal?: AbortSignal;
}

/** Some text that is certain. */
export interface GeneratedPiece {
	readonly text: string;
	/** The state after the tokens behind this piece. */
	readonly state: StreamState;
	readonly tokens: number;
}

/**
 * Feed `prompt` after `state`, then generate. Yields text whenever some is certain (whole characters, and nothing that
 * may yet become a stop string).
 * @param prompt may be empty only where `state` has seen tokens
 */
export function* generate(
	stream: Stream,
	tokenizer: Tokenizer,
	prompt: string,
	options: GenerateOptions,
	state = StreamState.start,
): Generator<GeneratedPiece> {
	const sampler = new Sampler(options);
	const decoder = new StreamDecoder(tokenizer);
	const ids = tokenizer.encode(prompt);
	let now = stream.forward(ids, state).state;
	let held = "";
	for (let count = 1; count <= options.tokens && !options.signal?.aborted; count++) {
		if (now.position >= stream.limit) break;
		if (!now.logits)
			throw new RivuletError("prompt-empty", "expected a prompt of at least one token", { exitStatus: 2 });
		const id = sampler.sample(now.logits);
		now = stream.forward([id], now).state;
		held += decoder.push(id);
		const found = firstStop(held, options.stop ?? []);
		if (found >= 0) {
			yield { text: held.slice(0, found), state: now, tokens: count };
			return;
		}
		const sure = held.length - possibleStop(held, options.stop ?? []);
		if (sure > 0) {
			yield { text: held.slice(0, sure), state: now, tokens: count };
			held = held.slice(sure);
		}
	}
	const rest = held + decoder.end();
	if (rest !== "") yield { text: rest, state: now, tokens: 0 };
}

/** Where the first stop string begins, or -1. */
function firstStop(text: string, stops: readonly string[]): number {
	const places = stops.map((stop) => text.indexOf(stop)).filter((place) => place >= 0);
	return places.length > 0 ? Math.min(...places) : -1;
}

/** Length of the longest end of the text that is the beginning of a stop string. */
function possibleStop(text: string, stops: readonly string[]): number {
	let longest = 0;
	for (const stop of stops) {
		for (let n = Math.min(stop.length - 1, text.length); n > longest; n--) {
			if (text.endsWith(stop.slice(0, n))) longest = n;
		}
	}
	return longest;
}
