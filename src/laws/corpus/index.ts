/** Statistics of a corpus: growth of its n-grams, entropies, correlations by lag, repetitions. */
export { type Cooccurrence, defaultLags, operatorNorm, PairCounts } from "./cooccurrence.ts";
export { corpusSections } from "./corpus-sections.ts";
export { type CorpusStatistics, corpusStatistics, type StatisticsOptions } from "./corpus-statistics.ts";
export { type DistinctCurve, distinctCurve, exactBytes, NgramCounts, prefixLengths } from "./distinct-ngrams.ts";
export { type DuplicateLines, LineCounts } from "./duplicates.ts";
export { type ConditionalEntropy, conditionalEntropies } from "./entropies.ts";
export { fitHeaps, type HeapsFit, heapsTypes } from "./heaps.ts";
export { HyperLogLog, sketchError } from "./hyperloglog.ts";
export { interpolatedLosses } from "./ngram-model.ts";
export { openWords } from "./word-tokens.ts";
