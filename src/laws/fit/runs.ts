/** Runs that a law is fitted to, as columns. */

export interface Runs {
	/** N of each run. */
	readonly parameters: Float64Array;
	/** D of each run. */
	readonly tokens: Float64Array;
	/** Final loss of each run, nats per token. */
	readonly losses: Float64Array;
	/** FLOPs of each run; 6 N D where the table had none. */
	readonly flops: Float64Array;
}

/** The runs of these rows, in this order; a row may come several times. */
export function chooseRuns(runs: Runs, rows: ArrayLike<number>): Runs {
	const pick = (values: Float64Array) => Float64Array.from(rows, (row) => values[row]);
	return {
		parameters: pick(runs.parameters),
		tokens: pick(runs.tokens),
		losses: pick(runs.losses),
		flops: pick(runs.flops),
	};
}

/** Without the runs whose loss is at least the `count`-th highest. */
export function dropHighest(runs: Runs, count: number): Runs {
	if (count === 0) return runs;
	const limit = [...runs.losses].sort((a, b) => b - a)[count - 1];
	const rows = [...runs.losses.keys()].filter((row) => runs.losses[row] < limit);
	return chooseRuns(runs, rows);
}

/** Different values, where those closer than `ratio` count as one. */
export function distinct(values: ArrayLike<number>, ratio = 1.02): number {
	const sorted = Array.from(values).sort((a, b) => a - b);
	return sorted.reduce((count, value, i) => count + (i === 0 || value > sorted[i - 1] * ratio ? 1 : 0), 0);
}
