/** How much a run may take, in steps, tokens, FLOPs or seconds: whichever is spent first ends it. */

/** What a run has taken so far, all its sessions together. */
export interface Spent {
	readonly steps: number;
	readonly tokens: number;
	readonly flops: number;
	readonly seconds: number;
}

export type BudgetName = keyof Spent;

/** null: no limit. A Config's `train` group is one. */
export type Limits = { readonly [name in BudgetName]: number | null };

const names: readonly BudgetName[] = ["steps", "tokens", "flops", "seconds"];

/** The budget that is spent, or undefined while none is. */
export function spentBudget(limits: Limits, spent: Spent): BudgetName | undefined {
	return names.find((name) => limits[name] !== null && spent[name] >= limits[name]);
}

/**
 * Share of the run that is done, in [0, 1]. Seconds count only where they are the only limit: a share that followed the clock
 * would make the learning rate, and so the weights, differ from run to run.
 */
export function fractionDone(limits: Limits, spent: Spent): number {
	const shares = names.map((name) => (limits[name] === null ? 0 : spent[name] / limits[name]));
	const exact = shares.slice(0, 3);
	const counts = names.slice(0, 3).some((name) => limits[name] !== null);
	return Math.min(1, Math.max(...(counts ? exact : shares)));
}

/**
 * Seconds until the first budget is spent, at the rates of a recent stretch of the run; undefined where the stretch is too
 * short to tell.
 */
export function secondsLeft(limits: Limits, spent: Spent, recent: Spent): number | undefined {
	const left = names.flatMap((name) => {
		const limit = limits[name];
		if (limit === null) return [];
		if (name === "seconds") return [limit - spent.seconds];
		return recent[name] > 0 && recent.seconds > 0 ? [((limit - spent[name]) * recent.seconds) / recent[name]] : [];
	});
	return left.length === 0 ? undefined : Math.max(0, Math.min(...left));
}
