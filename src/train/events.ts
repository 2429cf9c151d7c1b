/** What a trainer tells its caller while it works, and at the end. The trainer neither prints nor knows who listens. */
import type { Made } from "../base/made.ts";
import type { Costs } from "./account.ts";
import type { BudgetName } from "./budget.ts";

/** Anything the trainer tells, told apart by `kind`. */
export type TrainEvent =
	| TrainStart
	| TrainStep
	| TrainEvaluation
	| { readonly kind: "sample"; readonly step: number; readonly text: string }
	| { readonly kind: "checkpoint"; readonly step: number; readonly path: string }
	/** Something the user should know that does not stop the run, in one line. */
	| { readonly kind: "note"; readonly text: string };

/** Once, before the first step. */
export interface TrainStart {
	readonly kind: "start";
	/** The run's folder. */
	readonly run: string;
	/** Steps done before; 0 for a fresh start. */
	readonly step: number;
	/** The architecture, in words. */
	readonly model: string;
	readonly parameters: number;
	/** What it runs on, in words: "native, AVX-512, 2 threads". */
	readonly backend: string;
	/** What it learns from, in words: "a.txt, 1,003,854 tokens, vocabulary 65". */
	readonly data: string;
	/** Entropy of the corpus in nats per token, where it is known: no model can do better. */
	readonly floor?: number;
}

/** After every step. */
export interface TrainStep {
	readonly kind: "step";
	readonly step: number;
	/** Mean training loss of the step, nats. */
	readonly loss: number;
	readonly learningRate: number;
	/** Over the last few seconds. */
	readonly tokensPerSecond: number;
	readonly flopsPerSecond: number;
	/** Until the first budget is spent; undefined while it cannot be told. */
	readonly secondsLeft?: number;
}

/** After every evaluation. */
export interface TrainEvaluation {
	readonly kind: "evaluation";
	readonly step: number;
	/** Validation loss and its standard error, nats. */
	readonly loss: number;
	readonly standardError: number;
	/** Share of targets whose likeliest symbol is right. */
	readonly accuracy?: number;
	/** Noise tokens it was measured at, for the copy tasks. */
	readonly noise?: number;
	/** The lowest so far. */
	readonly best: boolean;
}

/** How a run ended; also summary.json. */
export interface TrainSummary extends Costs {
	readonly run: string;
	/** The budget that was spent, the target loss reached, or the user's Ctrl-C. */
	readonly ended: BudgetName | "target" | "interrupted";
	readonly steps: number;
	readonly tokens: number;
	readonly flops: number;
	/** Time in training steps, all sessions together; wallSeconds has the rest too. */
	readonly seconds: number;
	/** Of the last evaluation, null where there was none. */
	readonly validationLoss: number | null;
	readonly standardError: number | null;
	readonly accuracy?: number;
	/** Of the last evaluation, where the task is text. */
	readonly bitsPerByte?: number;
	readonly best: { readonly step: number; readonly loss: number } | null;
	readonly floor?: number;
	readonly parameters: number;
	readonly tokensPerSecond: number;
	readonly flopsPerSecond: number;
	/** Text that the trained model wrote, where the task has text. */
	readonly sample?: string;
	/** By what and where, in its last session; older summaries do not say. */
	readonly made?: TrainMade;
}

/** By what and where a run was trained. */
export interface TrainMade extends Made {
	/** What it ran on, in words: "cuda, NVIDIA H100 80GB HBM3, tf32". */
	readonly engine: string;
	/** Steps and forward passes that were done in a wider precision, since values left the range of the one it has; absent where none were. */
	readonly doneWide?: number;
}
