/** Verdicts: what a claim's reading came to over the seeds, and whether its rule holds beyond the noise between them. */
import type { RunResult, SeedResult } from "./results.ts";
import type { Claim, Reading, Rule } from "./study.ts";

/** `open`: the difference is within two standard errors. */
export type Verdict = "holds" | "does not hold" | "open" | "not measured";

/** A claim with what was measured. */
export interface Judged {
	readonly claim: Claim;
	/** Mean over the seeds; for "below", of the differences. Null where no run has it. */
	readonly ours: number | null;
	/** Standard error of the mean; null with fewer than two seeds. */
	readonly error: number | null;
	readonly seeds: number;
	readonly verdict: Verdict;
}

/** Mean and its standard error, sd / sqrt(n). */
export interface Mean {
	readonly mean: number;
	readonly error: number | null;
	readonly count: number;
}

export function meanOf(values: readonly number[]): Mean | null {
	const count = values.length;
	if (count === 0) return null;
	const mean = values.reduce((sum, value) => sum + value, 0) / count;
	if (count === 1) return { mean, error: null, count };
	const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
	return { mean, error: Math.sqrt(squares / (count - 1) / count), count };
}

/** Judge a claim by the runs there are. */
export function judge(claim: Claim, runs: readonly RunResult[]): Judged {
	const { reading, rule } = claim;
	const ours = readSeeds(runs, reading);
	const found = meanOf(
		rule.kind === "below" ? differences(ours, readSeeds(runs, { ...reading, run: rule.run })) : [...ours.values()],
	);
	if (!found) return { claim, ours: null, error: null, seeds: 0, verdict: "not measured" };
	return { claim, ours: found.mean, error: found.error, seeds: found.count, verdict: verdictOf(rule, found) };
}

/** How far beyond its limit a mean is; 0 or less: within. */
function excess(rule: Rule, mean: number): number {
	switch (rule.kind) {
		case "at-least":
			return rule.value - mean;
		case "at-most":
			return mean - rule.value;
		case "below":
			return mean;
		case "near":
			return Math.abs(mean - rule.value) - rule.tolerance;
	}
}

function verdictOf(rule: Rule, { mean, error }: Mean): Verdict {
	const beyond = excess(rule, mean);
	const noise = 2 * (error ?? 0);
	// A comparison of two runs is decided by more than the noise, either way; a limit is reached or it is not.
	if (rule.kind === "below" && (error === null || Math.abs(beyond) <= noise)) return "open";
	if (beyond <= 0) return "holds";
	return beyond <= noise ? "open" : "does not hold";
}

/** The reading of every seed that has it. */
export function readSeeds(runs: readonly RunResult[], reading: Reading): Map<number, number> {
	const run = runs.find(({ label }) => label === reading.run);
	const values = new Map<number, number>();
	for (const seed of run?.seeds ?? []) {
		const value = read(seed, reading);
		if (value !== null) values.set(seed.seed, value);
	}
	return values;
}

/** Of the seeds that both have; a run without seeds of its own (an n-gram model) is compared with each. */
function differences(ours: ReadonlyMap<number, number>, theirs: ReadonlyMap<number, number>): number[] {
	const constant = theirs.get(0);
	return [...ours].flatMap(([seed, value]) => {
		const other = constant ?? theirs.get(seed);
		return other === undefined ? [] : [value - other];
	});
}

function read(seed: SeedResult, { measure, atTokens, untilAccuracy }: Reading): number | null {
	if (untilAccuracy !== undefined) {
		const reached = seed.curve.find((point) => (point.accuracy ?? 0) >= untilAccuracy && point.full);
		if (!reached) return null;
		return measure === "samples" ? reached.step * seed.batch : reached.flops;
	}
	if (atTokens !== undefined) return lossAt(seed, atTokens);
	// What a run comes to is known at its end; only what it passes on the way is known before.
	if (seed.ended === "unfinished" || seed.ended === "failed") return null;
	switch (measure) {
		case "loss":
			return seed.loss;
		case "accuracy":
			return seed.accuracy;
		case "parameters":
			return seed.parameters;
		case "samples":
			return seed.steps * seed.batch;
		case "flops":
			return seed.flops;
	}
}

/** Between the evaluations before and after, in a straight line; null outside of what was measured. */
function lossAt({ curve }: SeedResult, tokens: number): number | null {
	const after = curve.findIndex((point) => point.tokens >= tokens);
	if (after < 0) return null;
	const b = curve[after];
	if (b.tokens === tokens) return b.loss;
	const a = curve[after - 1];
	if (!a) return null;
	return a.loss + ((b.loss - a.loss) * (tokens - a.tokens)) / (b.tokens - a.tokens);
}
