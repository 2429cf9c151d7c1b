/** What a study is: a question, the runs that answer it, the figures published, the claims tested. Data; run-study.ts does it. */
import type { ConfigInput } from "../train/config.ts";

/** How much is spent: minutes on two cores at reduced sizes, or the paper's own sizes. */
export type StudyBudgetName = "quick" | "paper";

/** The study's comparison itself, or the questions beside it. */
export type RunGroup = "main" | "ablations";

/** One configuration to be trained with several seeds. */
export interface StudyRun {
	/** Names its folders: lower-case letters, digits, dashes. */
	readonly label: string;
	/** For people: "transformer, 6 layers, equal FLOPs". */
	readonly title: string;
	readonly group: RunGroup;
	/** Laid over the budget's `base`. */
	readonly config: ConfigInput;
	/** Seeds at most; default: as many as the study is asked for. */
	readonly seeds?: number;
	/** Values that follow from another run, which must stand before this one. */
	readonly match?: {
		/** Width solved so that the parameters are as many as this run's. */
		readonly parameters?: string;
		/** Trained until exactly as many FLOPs are spent as the run of this label spent with the same seed. */
		readonly flops?: string;
	};
	/** Lengths to measure the trained model at, in multiples of its own: noise for the copy tasks, context for text. */
	readonly lengths?: readonly number[];
}

/** What a figure is: of the run's evaluations the best loss or accuracy, or what it took. */
export type Measure = "loss" | "accuracy" | "parameters" | "samples" | "flops";

/** A figure of a run: mean over its seeds. */
export interface Reading {
	/** Label of the run, or "ngram". */
	readonly run: string;
	readonly measure: Measure;
	/** The loss when this many tokens were seen, instead of the best. */
	readonly atTokens?: number;
	/** For samples and flops: what it took until this accuracy at full noise was measured. */
	readonly untilAccuracy?: number;
}

/** When a claim holds. */
export type Rule =
	| { readonly kind: "at-least" | "at-most"; readonly value: number }
	/** Below the same reading of another run with the same seeds. */
	| { readonly kind: "below"; readonly run: string }
	/** As published, give or take. */
	| { readonly kind: "near"; readonly value: number; readonly tolerance: number };

/** A sentence that the study's runs support or not. */
export interface Claim {
	readonly text: string;
	readonly reading: Reading;
	readonly rule: Rule;
	/** What the paper printed for this reading. */
	readonly published?: number;
	/** Where it was published. */
	readonly source?: string;
}

/** A curve from elsewhere, drawn dashed beside ours. */
export interface PublishedCurve {
	readonly title: string;
	readonly tokens: readonly number[];
	readonly loss: readonly number[];
}

/** A study at one of its budgets. */
export interface StudyBudget {
	/** What is smaller than in the paper and why, and how long it takes; for `study list` and the report. */
	readonly note: string;
	readonly seeds: number;
	/** Below every run's own values. */
	readonly base: ConfigInput;
	readonly runs: readonly StudyRun[];
	readonly claims: readonly Claim[];
	readonly curves?: readonly PublishedCurve[];
	/** Order of the n-gram model that is the floor of a study of text. */
	readonly ngramOrder?: number;
}

/** A declared experiment. */
export interface Study {
	/** As the command line calls it. */
	readonly name: string;
	readonly title: string;
	readonly question: string;
	/** The run whose samples and insides the report shows. */
	readonly subject: string;
	/** What the user has to bring. */
	readonly needs: "text" | "images" | null;
	readonly budgets: Readonly<Record<StudyBudgetName, StudyBudget>>;
}
