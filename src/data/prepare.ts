/** From what the user names to what the trainer needs: tokens of a training and a validation part, their tokenizer, their task. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { RivuletError } from "../base/errors.ts";
import { cacheFolder, digestText, openTokens, type ProgressListener, type TextDigest } from "./cache.ts";
import { openSources, readAll, spoolStandardInput, type TextSource } from "./source.ts";
import { taleSource, tales, taleWindowFloor } from "./tales/tales.ts";
import { TextTask } from "./text-task.ts";
import { countBytes, type StoredTokens, slice, type TokenFile } from "./token-file.ts";
import {
	ByteTokenizer,
	byteLengths,
	CharacterTokenizer,
	gpt2Tokenizer,
	loadTokenizer,
	saveTokenizer,
	type Tokenizer,
	type TokenizerKind,
	trainBytePairs,
} from "./tokenizers/index.ts";

/** How a text is cut into tokens, windows and parts. */
export interface TextOptions {
	/** A kind, made for this text, or a tokenizer that exists. */
	readonly tokenizer: TokenizerKind | Tokenizer;
	/** Size of the vocabulary that "bpe" learns. */
	readonly vocabulary: number;
	/** N: tokens of a training window. */
	readonly length: number;
	/** Share of the tokens kept for validation, from the end; unused where there is a validation text. */
	readonly split: number;
	/** Tokens of the training part that are used, from its beginning; null or more than there are: all. */
	readonly limit?: number | null;
	/** Folder for tokenised texts; default: see `cacheFolder`. */
	readonly cache?: string;
	readonly onProgress?: ProgressListener;
}

/** A text ready to learn from. */
export interface PreparedText {
	readonly task: TextTask;
	readonly tokenizer: Tokenizer;
	readonly train: TokenFile;
	readonly validation: TokenFile;
	/** Lowest possible validation loss in nats per token, where it is known. */
	readonly floor?: number;
}

/**
 * Text from files, folders, globs or "-" (standard input), tokenised into the cache unless it is there. Characters are
 * collected from the validation text too, so that it can be encoded; byte pairs are learned from `path` alone.
 * @throws RivuletError for whatever is wrong with the text.
 */
export async function prepareText(
	options: TextOptions & { readonly path: readonly string[]; readonly validation: readonly string[] },
): Promise<PreparedText> {
	const { path, validation } = options;
	if (path.includes("-") && validation.includes("-")) {
		throw new RivuletError("data-input-twice", "standard input (-) is named for training and for validation", {
			exitStatus: 2,
			hint: "It can be read once: name a file for one of them.",
		});
	}
	const folder = cacheFolder(options.cache);
	return await withInput([...path, ...validation], folder, async (input) => {
		const held = validation.length > 0 ? openSources(validation, input) : undefined;
		return await prepare(openSources(path, input), held, folder, options);
	});
}

/** The tokens of a text for a tokenizer that exists, to evaluate on. Close them when done. Errors as `prepareText`. */
export async function openText(
	paths: readonly string[],
	tokenizer: Tokenizer,
	{ cache, onProgress }: Pick<TextOptions, "cache" | "onProgress"> = {},
): Promise<StoredTokens> {
	const folder = cacheFolder(cache);
	return await withInput(paths, folder, async (input) => {
		const sources = openSources(paths, input);
		return await openTokens(sources, await digestSome(sources, onProgress), tokenizer, folder, onProgress);
	});
}

/** Work on sources of which standard input may be one: it is copied to a file first, and the copy is removed after. */
async function withInput<T>(
	paths: readonly string[],
	folder: string,
	work: (input?: TextSource) => Promise<T>,
): Promise<T> {
	if (!paths.includes("-")) return await work();
	const { source, remove } = await spoolStandardInput(folder);
	try {
		return await work(source);
	} finally {
		remove();
	}
}

/** Bytes of the built-in corpus to train on, and of the tales apart from it to validate on. */
const taleBytes = 2_000_000;
const taleValidationBytes = 100_000;
/** Of the corpus itself, whatever the run's seed: runs that differ in their seed learn from the same text. */
const taleSeed = 1;
/** Number of the first validation tale, which no training corpus reaches. */
const firstValidationTale = 2 ** 40;

/**
 * The built-in corpus. Its `floor` is exact for the validation tales: for characters, the least that a model which sees each
 * window of N by itself can reach; for other tokens, the least for one that reads all of them as one stream.
 */
export async function openTales(options: TextOptions): Promise<PreparedText> {
	const prepared = await prepare(
		[taleSource(taleSeed, 0, taleBytes)],
		[taleSource(taleSeed, firstValidationTale, taleValidationBytes)],
		cacheFolder(options.cache),
		options,
	);
	const samples = [...tales(taleSeed, firstValidationTale, taleValidationBytes)];
	if (prepared.tokenizer.kind === "char") {
		const text = samples.map((sample) => sample.text).join("");
		return { ...prepared, floor: taleWindowFloor(text, options.length) };
	}
	const nats = samples.reduce((sum, sample) => sum + sample.nats, 0);
	return { ...prepared, floor: nats / prepared.validation.length };
}

async function prepare(
	sources: readonly TextSource[],
	held: readonly TextSource[] | undefined,
	folder: string,
	options: TextOptions,
): Promise<PreparedText> {
	const { onProgress, length, split } = options;
	if (!(split > 0 && split < 1)) {
		throw new RivuletError("data-split", `data.split must lie between 0 and 1, not ${split}`, { exitStatus: 2 });
	}
	const digest = await digestSome(sources, onProgress);
	const heldDigest = held && (await digestSome(held, onProgress));
	const tokenizer = await tokenizerFor(
		{ sources, digest },
		held && { sources: held, digest: heldDigest! },
		folder,
		options,
	);
	const tokens = await openTokens(sources, digest, tokenizer, folder, onProgress);
	if (held !== undefined) {
		const validation = await openTokens(held, heldDigest!, tokenizer, folder, onProgress);
		const train = limited(tokens, options.limit, tokenizer);
		return { task: new TextTask(train, validation, length), tokenizer, train, validation };
	}
	const kept = tokens.length - Math.max(Math.min(2, tokens.length), Math.round(tokens.length * split));
	const heldBytes = countBytes(tokens, kept, tokens.length, byteLengths(tokenizer));
	const train = limited(slice(tokens, 0, kept, tokens.bytes - heldBytes), options.limit, tokenizer);
	const validation = slice(tokens, kept, tokens.length, heldBytes);
	return { task: new TextTask(train, validation, length), tokenizer, train, validation };
}

/** The first `limit` tokens of a text. */
function limited(tokens: TokenFile, limit: number | null | undefined, tokenizer: Tokenizer): TokenFile {
	if (limit === null || limit === undefined || limit >= tokens.length) return tokens;
	return slice(tokens, 0, limit, countBytes(tokens, 0, limit, byteLengths(tokenizer)));
}

async function digestSome(sources: readonly TextSource[], onProgress?: ProgressListener): Promise<TextDigest> {
	const digest = await digestText(sources, onProgress);
	if (digest.bytes > 0) return digest;
	const found = sources.length === 0 ? "no file is named" : `${sources.map(({ name }) => name).join(", ")} is empty`;
	throw new RivuletError("data-empty", `expected text, found none: ${found}`, { hint: "Name a file with text in it." });
}

interface Corpus {
	readonly sources: readonly TextSource[];
	readonly digest: TextDigest;
}

/** The tokenizer itself, or one of its kind for the text; those learned from the text are kept in the cache. */
async function tokenizerFor(
	train: Corpus,
	held: Corpus | undefined,
	folder: string,
	{ tokenizer, vocabulary, onProgress }: TextOptions,
): Promise<Tokenizer> {
	if (typeof tokenizer !== "string") return tokenizer;
	if (tokenizer === "byte") return new ByteTokenizer();
	if (tokenizer === "gpt2") return await gpt2Tokenizer();
	const corpora = tokenizer === "char" && held !== undefined ? [train, held] : [train];
	const hashes = corpora.map(({ digest }) => digest.hash.slice(0, 24)).join("-");
	const path = join(folder, `${hashes}-${tokenizer}${tokenizer === "bpe" ? vocabulary : ""}.tokenizer.json`);
	const cached = existsSync(path) ? loadCached(path) : undefined;
	if (cached !== undefined) return cached;
	const text = withProgress(corpora, onProgress);
	const learned =
		tokenizer === "char" ? await CharacterTokenizer.fromText(text) : await trainBytePairs(text, vocabulary);
	saveTokenizer(path, learned);
	return learned;
}

function loadCached(path: string): Tokenizer | undefined {
	try {
		return loadTokenizer(path);
	} catch {
		return undefined; // damaged: made again
	}
}

async function* withProgress(corpora: readonly Corpus[], onProgress?: ProgressListener): AsyncGenerator<string> {
	const total = corpora.reduce((sum, { digest }) => sum + digest.bytes, 0);
	let done = 0;
	for await (const chunk of readAll(corpora.flatMap(({ sources }) => sources))) {
		yield chunk;
		done += Buffer.byteLength(chunk);
		onProgress?.({ stage: "vocabulary", done, total });
	}
}

/** Lines of texts, without their line ends. */
export async function* readLines(sources: readonly TextSource[]): AsyncGenerator<string> {
	let rest = "";
	for await (const chunk of readAll(sources)) {
		const lines = (rest + chunk).split("\n");
		rest = lines.pop() as string;
		for (const line of lines) yield line.endsWith("\r") ? line.slice(0, -1) : line;
	}
	if (rest !== "") yield rest;
}
