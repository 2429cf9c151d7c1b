/** The GPT-2 tokenizer (50,257 ids), from the vocabulary that the package gpt-tokenizer ships. */

import { BytePairTokenizer } from "./byte-pairs.ts";

const endOfText = "<|endoftext|>";

/**
 * The package lists the tokens by id. The merges follow from them: ids above the single bytes were given in the order of the
 * merges, so merge number r joins the two tokens into which the merges before r cut token 256 + r.
 */
export async function gpt2Tokenizer(): Promise<BytePairTokenizer> {
	const { default: ranks } = await import("gpt-tokenizer/bpeRanks/r50k_base");
	const tokens = ranks.map((token) => (typeof token === "string" ? Buffer.from(token) : Uint8Array.from(token)));
	const ids = new Map(tokens.map((bytes, id) => [key(bytes), id]));
	const merges: [number, number, number][] = [];
	tokens.forEach((bytes, id) => {
		if (bytes.length > 1) merges.push([...cutInTwo(bytes, id, ids), id]);
	});
	const special = new Map([[endOfText, tokens.length]]);
	return new BytePairTokenizer("gpt2", { tokens: [...tokens, Buffer.from(endOfText)], merges, special });
}

/** The two tokens into which a token's bytes are merged by the tokens before it. */
function cutInTwo(bytes: Uint8Array, limit: number, ids: ReadonlyMap<string, number>): [number, number] {
	let parts = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
	while (parts.length > 2) {
		let best = limit;
		let place = -1;
		for (let i = 0; i + 1 < parts.length; i++) {
			const id = ids.get(key(joined(parts[i], parts[i + 1]))) ?? limit;
			if (id < best) {
				best = id;
				place = i;
			}
		}
		if (place < 0) throw new Error(`[gpt2] token ${limit} is not made of two tokens before it`);
		parts = [...parts.slice(0, place), joined(parts[place], parts[place + 1]), ...parts.slice(place + 2)];
	}
	return [ids.get(key(parts[0]))!, ids.get(key(parts[1]))!];
}

/** Two neighbouring views of one buffer as one view. */
function joined(left: Uint8Array, right: Uint8Array): Uint8Array {
	return new Uint8Array(left.buffer, left.byteOffset, left.length + right.length);
}

function key(bytes: Uint8Array): string {
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}
