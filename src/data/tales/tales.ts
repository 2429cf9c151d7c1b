/** The built-in corpus: short tales drawn from a grammar of our own, a stream of any length whose entropy is known. */

import { RandomSequence } from "../../base/random.ts";
import type { TextSource } from "../source.ts";
import { randomStreams } from "../task.ts";
import { Grammar, type Sample } from "./grammar.ts";
import { taleGrammar } from "./tale-grammar.ts";
import { WindowFloor } from "./window-floor.ts";

const grammar = new Grammar(taleGrammar);

/** Tale number `index` of a seed, with its surprisal in nats: a pure function of both. It ends with an empty line. */
export function tale(seed: number | bigint, index: number): Sample {
	const random = new RandomSequence(seed, randomStreams.tales, index);
	return grammar.sample(() => random.uniform());
}

/**
 * The exact entropy rate of the endless stream of tales in nats per character: expected surprisal of a tale over its expected
 * characters. No model that reads the stream from its start does better on average. For one that starts in the middle, in
 * windows, see `taleWindowFloor`.
 */
export function taleEntropy(): { natsPerTale: number; charactersPerTale: number; natsPerCharacter: number } {
	const { nats, characters } = grammar.expectation();
	return { natsPerTale: nats, charactersPerTale: characters, natsPerCharacter: nats / characters };
}

/** The surprisal in nats of a text made of whole tales, read back from the text alone; undefined for any other text. */
export function taleSurprisal(text: string): number | undefined {
	let nats = 0;
	for (let at = 0; at < text.length; ) {
		const parsed = grammar.parse(text, at);
		if (parsed === undefined) return undefined;
		nats += parsed.nats;
		at = parsed.end;
	}
	return nats;
}

let windowFloor: WindowFloor | undefined;

/**
 * The lowest loss possible, in nats per character, on a text of tales evaluated in consecutive windows of `length` characters
 * without memory from window to window (exact, see `WindowFloor`).
 */
export function taleWindowFloor(text: string, length: number): number {
	windowFloor ??= new WindowFloor(grammar);
	return windowFloor.perCharacter(text, length);
}

/** Whole tales from number `first` on, until there are `bytes` bytes or more (tales are ASCII). */
export function* tales(seed: number | bigint, first: number, bytes: number): Generator<Sample> {
	for (let index = first, done = 0; done < bytes; index++) {
		const sample = tale(seed, index);
		done += sample.text.length;
		yield sample;
	}
}

const chunkLength = 2 ** 16;

/** The same tales as a source of text. */
export function taleSource(seed: number | bigint, first: number, bytes: number): TextSource {
	return {
		name: "the built-in tales",
		size: bytes,
		async *read() {
			let chunk = "";
			for (const { text } of tales(seed, first, bytes)) {
				chunk += text;
				if (chunk.length < chunkLength) continue;
				yield chunk;
				chunk = "";
			}
			if (chunk.length > 0) yield chunk;
		},
	};
}
