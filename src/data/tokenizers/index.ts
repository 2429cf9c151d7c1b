/** Tokenizers: characters, bytes, GPT-2's byte pairs, byte pairs trained on a corpus; all saved as tokenizer.json. */

export { countPieces, trainBytePairs } from "./byte-pair-trainer.ts";
export { BytePairTokenizer } from "./byte-pairs.ts";
export { ByteTokenizer } from "./bytes.ts";
export { CharacterTokenizer } from "./characters.ts";
export { loadTokenizer, parseTokenizer, saveTokenizer } from "./file.ts";
export { gpt2Tokenizer } from "./gpt2.ts";
export {
	byteLengths,
	StreamDecoder,
	StreamEncoder,
	type Tokenizer,
	type TokenizerJson,
	type TokenizerKind,
	tokenizerHash,
	tokenizerKinds,
} from "./tokenizer.ts";
