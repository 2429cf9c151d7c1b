/** From what the user names to what the trainer needs: tokens of a training and a validation part, their tokenizer, their task. */
import { cacheFolder, digestText, openTokens, type ProgressListener } from "./cache.ts";
import { openSources, readAll, spoolStandardInput, type TextSource } from "./source.ts";
import { taleEntropy, taleSource } from "./tales/tales.ts";
import { TextTask } from "./text-task.ts";
import { countBytes, slice, type TokenFile } from "./token-file.ts";
import {
	ByteTokenizer,
	byteLengths,
	CharacterTokenizer,
	gpt2Tokenizer,
	type Tokenizer,
	type TokenizerKind,
	trainBytePairs,
} from "./tokenizers/index.ts";

export interface TextOptions {
	readonly tokenizer: TokenizerKind;
	/** Size of the vocabulary that "bpe" learns. */
	readonly vocabulary: number;
	/** N: tokens of a training window. */
	readonly length: number;
	/** Share of the tokens kept for validation, from the end; unused where there is a validation text. */
	readonly split: number;
	/** Folder for tokenised texts; default: see `cacheFolder`. */
	readonly cache?: string;
	readonly onProgress?: ProgressListener;
}

export interface PreparedText {
	readonly task: TextTask;
	readonly tokenizer: Tokenizer;
	readonly train: TokenFile;
	readonly validation: TokenFile;
	/** Entropy of the source in nats per token, where it is known. */
	readonly floor?: number;
}

/** Text from files, folders, globs or "-" (standard input). @throws RivuletError for whatever is wrong with it */
export async function prepareText(options: TextOptions & { readonly path: readonly string[]; readonly validation: readonly string[] }): Promise<PreparedText> {
	const folder = cacheFolder(options.cache);
	const opened = await openAll(options.path, folder);
	try {
		const validation = options.validation.length > 0 ? openSources(options.validation) : null;
		return await prepare(opened.sources, validation, folder, options);
	} finally {
		opened.remove();
	}
}

/** Bytes of the built-in corpus. */
const taleBytes = 2_000_000;
/** Of the corpus itself, whatever the run's seed: runs that differ in their seed learn from the same text. */
const taleSeed = 1;

/** The built-in corpus, with the floor that its entropy sets. */
export async function openTales(options: TextOptions): Promise<PreparedText> {
	const prepared = await prepare([taleSource(taleSeed, 0, taleBytes)], null, cacheFolder(options.cache), options);
	// The tales are ASCII: a character is a byte.
	return { ...prepared, floor: taleEntropy().natsPerCharacter * prepared.task.bytesPerToken };
}

async function openAll(paths: readonly string[], folder: string): Promise<{ sources: TextSource[]; remove: () => void }> {
	const files = paths.filter((path) => path !== "-");
	const sources = files.length > 0 || paths.length === 0 ? openSources(files) : [];
	if (files.length === paths.length) return { sources, remove: () => {} };
	const { source, remove } = await spoolStandardInput(folder);
	return { sources: [...sources, source], remove };
}

async function prepare(sources: TextSource[], held: TextSource[] | null, folder: string, options: TextOptions): Promise<PreparedText> {
	const { onProgress, length, split } = options;
	const digest = await digestText(sources, onProgress);
	const tokenizer = await makeTokenizer(sources, options);
	const tokens = await openTokens(sources, digest, tokenizer, folder, onProgress);
	const lengths = byteLengths(tokenizer);
	const part = (start: number, end: number) => slice(tokens, start, end, countBytes(tokens, start, end, lengths));
	const kept = Math.round(tokens.length * (1 - split));
	const train = held ? tokens : part(0, kept);
	const validation = held ? await openTokens(held, await digestText(held, onProgress), tokenizer, folder, onProgress) : part(kept, tokens.length);
	return { task: new TextTask(train, validation, length), tokenizer, train, validation };
}

async function makeTokenizer(sources: TextSource[], { tokenizer, vocabulary }: TextOptions): Promise<Tokenizer> {
	switch (tokenizer) {
		case "char":
			return await CharacterTokenizer.fromText(readAll(sources));
		case "byte":
			return new ByteTokenizer();
		case "gpt2":
			return await gpt2Tokenizer();
		case "bpe":
			return await trainBytePairs(readAll(sources), vocabulary);
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
