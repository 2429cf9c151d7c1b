/** `rivulet corpus`: what the scaling laws ask of a corpus, as tables here and, where wanted, as a report. */
import { Command, Option } from "commander";
import { RivuletError } from "../base/errors.ts";
import { columns, compact, grouped } from "../base/format.ts";
import { Progress } from "../base/progress.ts";
import type { StoredTokens, TokenizerKind } from "../data/index.ts";
import { corpusSummary } from "../laws/corpus/corpus-summary.ts";
import type { CorpusStatistics } from "../laws/corpus/index.ts";
import type { Provenance, Report } from "../report/index.ts";
import type { Io } from "./io.ts";
import { integer } from "./options.ts";
import type { CommandBuilder } from "./program.ts";

interface CorpusFlags {
	readonly dataPath?: readonly string[];
	readonly dataTokenizer: TokenizerKind;
	readonly dataVocabulary: number;
	readonly words: boolean;
	readonly orders: number;
	readonly out?: string;
	readonly json: boolean;
}

const examples = `
Examples:
  rivulet corpus --data.path notes.txt
  rivulet corpus --data.path 'books/*.txt.gz' --words --out reports/books
  rivulet corpus --data.path notes.txt --data.tokenizer bpe --json | jq .heaps`;

export const corpusCommand: CommandBuilder = (io, _actions, done) => {
	const command = new Command("corpus")
		.description("Measure a corpus: tokens, types, distinct n-grams, entropies, correlations by lag, repeated lines.")
		.option("--data.path <path...>", "text to measure: files, folders, globs")
		.addOption(
			new Option(
				"--data.tokenizer <name>",
				"characters, bytes, GPT-2's vocabulary, or byte pairs learned from the corpus",
			)
				.choices(["char", "byte", "gpt2", "bpe"])
				.default("char"),
		)
		.option(
			"--data.vocabulary <n>",
			"size of the vocabulary that tokenizer bpe learns",
			integer("--data.vocabulary", 257),
			1024,
		)
		.option("--words", "words by white space, <eos> at line ends, instead of a tokenizer", false)
		.option("--orders <n>", "longest n-grams", integer("--orders", 1), 8)
		.option("--out <folder>", "also write a report there: corpus.html, corpus.md, corpus.json")
		.option("--json", "one line of JSON", false)
		.option("--debug", "show stack traces of errors")
		.addHelpText("after", examples);
	return command.action(async () => {
		const option = command.opts();
		await corpus(
			{
				...(option as Omit<CorpusFlags, "dataPath" | "dataTokenizer" | "dataVocabulary">),
				dataPath: option["data.path"],
				dataTokenizer: option["data.tokenizer"],
				dataVocabulary: option["data.vocabulary"],
			},
			io,
		);
		done(0);
	});
};

async function corpus(flags: CorpusFlags, io: Io): Promise<void> {
	const { dataPath: path = [], orders, out, json } = flags;
	expectFiles(path);
	const [{ openSources, readLines }, { corpusStatistics }] = await Promise.all([
		import("../data/index.ts"),
		import("../laws/corpus/index.ts"),
	]);
	const progress = new Progress({ stream: io.err, environment: io.environment, silent: io.err.isTTY !== true });
	const tokens = await openCorpus(path, flags, progress);
	let statistics: CorpusStatistics;
	try {
		statistics = await corpusStatistics(tokens, readLines(openSources(path)), {
			orders,
			onProgress: (share) => progress.update([["measured", `${Math.floor(100 * share)} %`]]),
		});
	} finally {
		progress.end();
		tokens.close();
	}
	const report = out === undefined ? undefined : await writeCorpusReport(out, statistics, flags);
	if (json) return void io.out.write(`${JSON.stringify({ ...statistics, ...(report && { report }) })}\n`);
	const written = report ? `\n\nreport  ${report.html}\n        ${report.markdown}\n        ${report.json}` : "";
	io.out.write(`${statisticsText(statistics)}${written}\n`);
}

function expectFiles(path: readonly string[]): void {
	if (path.length === 0) {
		throw new RivuletError("data-missing", "expected a text to measure, found none", {
			hint: "name it: rivulet corpus --data.path notes.txt",
			exitStatus: 2,
		});
	}
	if (path.includes("-")) {
		throw new RivuletError("data-input-once", "standard input (-) can be read once; a corpus is read several times", {
			hint: "write it to a file first",
			exitStatus: 2,
		});
	}
}

/** Words, or the tokens of a tokenizer made for the text; both from the cache if they are there. */
async function openCorpus(path: readonly string[], flags: CorpusFlags, progress: Progress): Promise<StoredTokens> {
	const { openSources, openText, prepareText } = await import("../data/index.ts");
	if (flags.words) return await (await import("../laws/corpus/index.ts")).openWords(openSources(path));
	const onProgress = ({ stage, done }: { stage: string; done: number }) =>
		progress.update([[stage, compact(done, "B")]]);
	const { tokenizer } = await prepareText({
		path,
		validation: [],
		tokenizer: flags.dataTokenizer,
		vocabulary: flags.dataVocabulary,
		length: 1,
		split: 0.1,
		onProgress,
	});
	return await openText(path, tokenizer, { onProgress });
}

async function writeCorpusReport(out: string, statistics: CorpusStatistics, flags: CorpusFlags) {
	const [{ provenance, writeReport }, { corpusSections }] = await Promise.all([
		import("../report/index.ts"),
		import("../laws/corpus/index.ts"),
	]);
	const { dataPath = [], dataTokenizer, dataVocabulary, words, orders } = flags;
	const kind = words
		? ["--words"]
		: [
				"--data.tokenizer",
				dataTokenizer,
				...(dataTokenizer === "bpe" ? ["--data.vocabulary", `${dataVocabulary}`] : []),
			];
	const line = ["corpus", "--data.path", ...dataPath, ...kind, "--orders", `${orders}`, "--out", out];
	return writeReport(out, corpusReport(statistics, corpusSections(statistics), provenance(line)), "corpus");
}

function corpusReport(statistics: CorpusStatistics, sections: Report["sections"], made: Provenance): Report {
	return {
		title: "A corpus and its statistics",
		summary: corpusSummary(statistics),
		sections,
		provenance: made,
		data: statistics,
	};
}

function statisticsText(statistics: CorpusStatistics): string {
	const { tokens, types, bytes, heaps, distinct, entropies, cooccurrence, duplicates } = statistics;
	const number = (value: number | null, digits: number) =>
		value === null || Number.isNaN(value) ? "-" : value.toFixed(digits);
	const facts = [
		["tokens", `${grouped(tokens)} of ${grouped(types)} types, ${compact(bytes, "B")}`],
		["Heaps' law", heaps === null ? "-" : `V = ${heaps.k.toPrecision(3)} D^${heaps.h.toFixed(3)}`],
		["repeated lines", `${(100 * duplicates.repeated).toFixed(2)} % of ${grouped(duplicates.lines)}`],
		[
			"correlations",
			cooccurrence.exponent === null
				? "too few lags above the noise for an exponent"
				: `fall as lag^-${cooccurrence.exponent.toFixed(3)} (± ${number(cooccurrence.exponentError, 3)})`,
		],
	];
	const orders = distinct.map(({ order, distinct: curve, exact, slope, lastSlope }, i) => [
		String(order),
		`${exact ? "" : "~"}${grouped(curve[curve.length - 1])}`,
		number(slope, 3),
		number(lastSlope, 3),
		number(entropies[i].plugIn, 4),
		number(entropies[i].corrected, 4),
		number(entropies[i].heldOut, 4),
	]);
	const head = ["order", "distinct", "slope", "last octave", "plug-in", "corrected", "held out"];
	const lags = cooccurrence.lags.map((lag, i) => [
		String(lag),
		cooccurrence.norms[i].toExponential(3),
		number(cooccurrence.norms[i] / cooccurrence.floor, 1),
	]);
	return [
		columns(facts),
		`n-grams (slope: d ln U / d ln D) and entropies of the next token (nats)\n${columns([head, ...orders], [...head.keys()])}`,
		`co-occurrence\n${columns([["lag", "norm", "times the noise"], ...lags], [0, 1, 2])}`,
	].join("\n\n");
}
