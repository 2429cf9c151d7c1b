import { Tokenizer as Reader } from "@huggingface/tokenizers";
import fc from "fast-check";
import { encode as gpt2Encode } from "gpt-tokenizer/encoding/gpt2";
import { beforeAll, describe, expect, test } from "vitest";
import {
	BytePairTokenizer,
	ByteTokenizer,
	byteLengths,
	CharacterTokenizer,
	gpt2Tokenizer,
	parseTokenizer,
	StreamDecoder,
	StreamEncoder,
	type Tokenizer,
	tokenizerHash,
	trainBytePairs,
} from "../../../src/data/tokenizers/index.ts";
import { awkwardTexts, cutText, inChunks, mixedText } from "./texts.ts";

const corpus = `${awkwardTexts.join("\n")}${"the cat sat on the mat and then they went there. ".repeat(20)}`;
/** A generated text in characters of the corpus only, for the character tokenizer. */
const known = new Set(corpus);
const inCorpus = (text: string) => Array.from(text, (character) => (known.has(character) ? character : "x")).join("");

const names = ["char", "byte", "gpt2", "bpe", "special"] as const;
const tokenizers = {} as Record<(typeof names)[number], Tokenizer>;
const readers = {} as Record<(typeof names)[number], Reader>;

beforeAll(async () => {
	tokenizers.char = await CharacterTokenizer.fromText(inChunks(corpus));
	tokenizers.byte = new ByteTokenizer();
	tokenizers.gpt2 = await gpt2Tokenizer();
	tokenizers.bpe = await trainBytePairs(inChunks(corpus), 400);
	tokenizers.special = withSpecials(tokenizers.bpe);
	for (const name of names) readers[name] = new Reader(JSON.parse(JSON.stringify(tokenizers[name].toJSON())), {});
});

/** The tokenizer with special tokens of its own, one the beginning of another, some with characters that expressions know. */
function withSpecials(tokenizer: Tokenizer): Tokenizer {
	const json = tokenizer.toJSON();
	["<|end|>", "the e", "the end", "[a.b]*", "/-^$\\"].forEach((content, i) => {
		json.added_tokens.push({
			id: tokenizer.vocabularySize + i,
			content,
			single_word: false,
			lstrip: false,
			rstrip: false,
			normalized: false,
			special: true,
		});
	});
	return parseTokenizer(JSON.parse(JSON.stringify(json)), "special");
}

const specialText = fc
	.array(
		fc.oneof(
			fc.constantFrom("<|end|>", "the e", "the end", "the en", "[a.b]*", "/-^$\\", "<|", "nd", " ", "a"),
			mixedText,
		),
		{
			maxLength: 12,
		},
	)
	.map((bits) => bits.join(""));

describe.each(names)("%s", (name) => {
	const suited = (text: string) => (name === "char" ? inCorpus(text) : text);

	test("gives back every text, whole and as bytes", () => {
		const check = (text: string) => {
			const ids = tokenizers[name].encode(text);
			expect(tokenizers[name].decode(ids)).toBe(text);
			expect(Buffer.from(tokenizers[name].decodeBytes(ids)).toString()).toBe(text);
			for (const id of ids) expect(id >= 0 && id < tokenizers[name].vocabularySize).toBe(true);
		};
		for (const text of awkwardTexts) check(text);
		fc.assert(fc.property(mixedText, (text) => check(suited(text))));
	});

	test("an independent reader of its tokenizer.json gives the same ids and text", () => {
		// That reader takes JavaScript's \s for white space, which lacks U+0085 and has U+FEFF, and U+001C.. differ too.
		const check = (raw: string) => {
			const text = raw.replace(/[\u0085\ufeff]/g, "");
			const ids = tokenizers[name].encode(text);
			expect(readers[name].encode(text, { add_special_tokens: false }).ids).toEqual([...ids]);
			if (text.length > 0) {
				const options = { skip_special_tokens: false, clean_up_tokenization_spaces: false };
				expect(readers[name].decode([...ids], options)).toBe(text);
			}
		};
		for (const text of awkwardTexts) check(text);
		fc.assert(fc.property(name === "special" ? specialText : mixedText, (text) => check(suited(text))));
	});

	test("chunks cut anywhere give the ids of the whole", () => {
		const check = (text: string, chunks: string[]) => {
			const encoder = new StreamEncoder(tokenizers[name]);
			const ids = chunks.flatMap((chunk) => [...encoder.push(chunk)]);
			ids.push(...encoder.end());
			expect(ids).toEqual([...tokenizers[name].encode(text)]);
		};
		fc.assert(
			fc.property(cutText, ({ text, chunks }) => {
				if (suited(text) === text) check(text, chunks);
				else check(suited(text), [...suited(text)]);
			}),
			{ numRuns: 300 },
		);
		for (const text of awkwardTexts) check(text, text.split(""));
		fc.assert(fc.property(specialText, (text) => check(suited(text), suited(text).split(""))));
	});

	test("a stream of ids gives the text, never half a character", () => {
		for (const text of awkwardTexts) {
			const decoder = new StreamDecoder(tokenizers[name]);
			let joined = "";
			for (const id of tokenizers[name].encode(text)) {
				const piece = decoder.push(id);
				expect(piece).not.toContain("\ufffd");
				joined += piece;
			}
			expect(joined + decoder.end()).toBe(text);
		}
	});

	test("is the same tokenizer after saving and loading", () => {
		const loaded = parseTokenizer(JSON.parse(JSON.stringify(tokenizers[name].toJSON())), "x");
		expect(loaded.kind).toBe(tokenizers[name].kind);
		expect(loaded.vocabularySize).toBe(tokenizers[name].vocabularySize);
		expect(tokenizerHash(loaded)).toBe(tokenizerHash(tokenizers[name]));
		for (const text of awkwardTexts) expect(loaded.encode(text)).toEqual(tokenizers[name].encode(text));
	});

	test("knows how many bytes each id stands for", () => {
		const lengths = byteLengths(tokenizers[name]);
		for (const text of awkwardTexts) {
			let bytes = 0;
			for (const id of tokenizers[name].encode(text)) bytes += lengths[id];
			expect(bytes).toBe(Buffer.byteLength(text));
		}
	});

	test("refuses ids out of range and half a surrogate pair", () => {
		expect(() => tokenizers[name].decode([tokenizers[name].vocabularySize])).toThrow("expected ids below");
		expect(() => tokenizers[name].decodeBytes([-1])).toThrow("expected ids below");
		expect(() => tokenizers[name].encode("a\ud800b")).toThrow("half a surrogate pair");
		const encoder = new StreamEncoder(tokenizers[name]);
		encoder.push("a\ud83d");
		expect(() => encoder.end()).toThrow("half a surrogate pair");
	});
});

describe("what is particular", () => {
	test("characters are in order of code points", () => {
		const sorted = [...known].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!);
		expect(tokenizers.char.decode(Int32Array.from(sorted.keys()))).toBe(sorted.join(""));
	});

	test("an unknown character is named with code point, position and a way out", () => {
		expect(() => tokenizers.char.encode("the ¿")).toThrow('the character "¿" (U+00BF) at position 4 is not among');
		const encoder = new StreamEncoder(tokenizers.char);
		encoder.push("the cat 👩");
		expect(() => encoder.push("at 🦉")).toThrow('"🦉" (U+1F989) at position 12');
	});

	test("byte ids are the bytes", () => {
		expect([...tokenizers.byte.encode("é\n")]).toEqual([0xc3, 0xa9, 10]);
	});

	test("the ids of GPT-2 are those of the package's own encoder, and the published ones", () => {
		expect(tokenizers.gpt2.vocabularySize).toBe(50257);
		expect([...tokenizers.gpt2.encode("Hello world")]).toEqual([15496, 995]);
		expect([...tokenizers.gpt2.encode("a<|endoftext|>b")]).toEqual([64, 50256, 65]);
		expect(tokenizers.gpt2.toJSON().model.merges.slice(0, 4)).toEqual(["Ġ t", "Ġ a", "h e", "i n"]);
		const check = (raw: string) => {
			const text = raw.replace(/[\u0085\ufeff]/g, "");
			expect([...tokenizers.gpt2.encode(text)]).toEqual(gpt2Encode(text));
		};
		for (const text of awkwardTexts) check(text);
		fc.assert(fc.property(mixedText, (text) => check(text)));
	});

	test("the longest special token wins, also in a stream that ends inside one", () => {
		const ids = (text: string) => [...tokenizers.special.encode(text)];
		const size = tokenizers.bpe.vocabularySize;
		expect(ids("the end")).toEqual([size + 2]);
		expect(ids("the en")).toEqual([size + 1, ...ids("n")]);
		expect(ids("[a.b]*/-^$\\")).toEqual([size + 3, size + 4]);
	});

	test("an unfinished character at the end becomes U+FFFD", () => {
		const decoder = new StreamDecoder(tokenizers.byte);
		expect(decoder.push(0xe2)).toBe("");
		expect(decoder.push(0x82)).toBe("");
		expect(decoder.end()).toBe("\ufffd");
		const broken = new StreamDecoder(tokenizers.byte);
		expect(broken.push(0xe2) + broken.push(0x41)).toBe("\ufffdA");
	});

	test("what a stream holds back is bounded, even without a single place to cut", () => {
		for (const unit of ["a", " ", "!", "😀", "日"]) {
			const text = unit.repeat(200_000);
			for (const tokenizer of [tokenizers.byte, tokenizers.bpe, tokenizers.special]) {
				expect(text.length - tokenizer.encodePrefix(text).used).toBeLessThan(66_000);
			}
		}
	});

	test("a long piece is merged in reasonable time", () => {
		const text = "ab".repeat(100_000);
		expect(tokenizers.gpt2.decode(tokenizers.gpt2.encode(text))).toBe(text);
		expect(tokenizers.bpe).toBeInstanceOf(BytePairTokenizer);
	});
});
