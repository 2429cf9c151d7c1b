/** Data's public surface: texts, tokenizers, the built-in tales, the memory tasks. */
export { cacheFolder, type DataProgress, digestText, openTokens, type ProgressListener } from "./cache.ts";
export { type CopyOptions, CopyTask } from "./copy-task.ts";
export { ImageTask } from "./image-task.ts";
export { cifarClasses } from "./images/cifar.ts";
export type { ImageData, ImageSet } from "./images/image-set.ts";
export { openImages } from "./images/open-images.ts";
export { openTales, openText, type PreparedText, prepareText, readLines, type TextOptions } from "./prepare.ts";
export { openSources, spoolStandardInput, standardInput, type TextSource } from "./source.ts";
export { tale, taleEntropy, taleSource, taleSurprisal, taleWindowFloor } from "./tales/tales.ts";
export type { Batch, EvaluationBatch, Outputs, Task } from "./task.ts";
export { evaluationWindows, TextTask } from "./text-task.ts";
export { StoredTokens, type TokenFile } from "./token-file.ts";
export * from "./tokenizers/index.ts";
