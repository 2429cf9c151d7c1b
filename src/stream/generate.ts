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

/** Why there is no more text: all tokens asked for, a stop string, no positions left, or the signal. */
export type GenerationEnd = "tokens" | "stop" | "positions" | "interrupted";

/** Some text that is certain. */
export interface GeneratedPiece {
	readonly text: string;
	/** The state after the tokens behind this piece. */
	readonly state: StreamState;
	/** Tokens generated so far. */
	readonly tokens: number;
	/** On the last piece, whose text may be empty. */
	readonly ended?: GenerationEnd;
}

/**
 * Feed `prompt` after `state`, then generate. Yields text whenever some is certain (whole characters, and nothing that
 * may yet become a stop string), and at last a piece that says why it ended.
 * @param prompt may be empty only where `state` has seen tokens
 * @throws RivuletError prompt-empty, prompt-too-long
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
	let now = readPrompt(stream, tokenizer.encode(prompt), state);
	let held = "";
	let tokens = 0;
	const end = (): GenerationEnd | undefined => {
		if (tokens >= options.tokens) return "tokens";
		if (options.signal?.aborted) return "interrupted";
		return now.position >= stream.limit ? "positions" : undefined;
	};
	while (!end()) {
		const id = sampler.sample(now.logits as Float32Array);
		now = stream.forward([id], now).state;
		tokens++;
		held += decoder.push(id);
		const found = firstStop(held, options.stop ?? []);
		if (found >= 0) {
			yield { text: held.slice(0, found), state: now, tokens, ended: "stop" };
			return;
		}
		const sure = held.length - possibleStop(held, options.stop ?? []);
		if (sure > 0) {
			yield { text: held.slice(0, sure), state: now, tokens };
			held = held.slice(sure);
		}
	}
	yield { text: held + decoder.end(), state: now, tokens, ended: end() };
}

/** The state after the prompt, which has logits to go on from. */
function readPrompt(stream: Stream, ids: ArrayLike<number>, state: StreamState): StreamState {
	if (state.position + ids.length > stream.limit) {
		const after = state.position > 0 ? ` after the ${state.position} of the state` : "";
		throw new RivuletError(
			"prompt-too-long",
			`the prompt has ${ids.length} tokens${after}, but this model has positions for ${stream.limit} in all`,
			{ hint: "shorten it; a model trained with --model.positions window has no such limit", exitStatus: 2 },
		);
	}
	const read = stream.forward(ids, state).state;
	if (!read.logits) {
		throw new RivuletError("prompt-empty", "expected a prompt of at least one token", { exitStatus: 2 });
	}
	return read;
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
