/** Least squares without negative coefficients (Lawson and Hanson), from the normal equations (Bro and de Jong), for a few columns. */

/**
 * x >= 0 that minimises |M x - y|^2, from gram = M^T M (n x n, row-major) and moments = M^T y.
 * Columns are scaled to unit length first, so their units do not matter.
 */
export function nnls(gram: ArrayLike<number>, moments: ArrayLike<number>): Float64Array {
	const n = moments.length;
	const sizes = Array.from({ length: n }, (_, i) => Math.sqrt(gram[i * n + i]) || 1);
	const at = (i: number, j: number) => gram[i * n + j] / (sizes[i] * sizes[j]);
	const goal = sizes.map((size, i) => moments[i] / size);
	const tolerance = 1e-14 * Math.max(...goal.map(Math.abs));
	let x = new Float64Array(n);
	let passive: number[] = [];
	for (let round = 0; round < 10 * n; round++) {
		const pull = goal.map((value, i) => x.reduce((sum, xj, j) => sum - at(i, j) * xj, value));
		const free = pull.map((value, i) => (passive.includes(i) ? Number.NEGATIVE_INFINITY : value));
		const next = free.indexOf(Math.max(...free));
		if (!(free[next] > tolerance)) break;
		passive.push(next);
		for (;;) {
			const solved = solve(passive, at, goal);
			if (solved.every((value) => value > 0)) {
				x = new Float64Array(n);
				passive.forEach((i, k) => (x[i] = solved[k]));
				break;
			}
			// Go towards the solution until the first coefficient is zero, and let that one go.
			let step = 1;
			passive.forEach((i, k) => {
				if (solved[k] <= 0) step = Math.min(step, x[i] / (x[i] - solved[k]));
			});
			passive.forEach((i, k) => (x[i] += step * (solved[k] - x[i])));
			const kept = passive.filter((i, k) => x[i] > 1e-15 || solved[k] > 0);
			for (const i of passive) if (!kept.includes(i)) x[i] = 0;
			if (kept.length === passive.length) return x.map((value, i) => value / sizes[i]);
			passive = kept;
			if (passive.length === 0) break;
		}
	}
	return x.map((value, i) => value / sizes[i]);
}

/** Gaussian elimination with pivots on the rows and columns of `chosen`. */
function solve(chosen: readonly number[], at: (i: number, j: number) => number, goal: readonly number[]): number[] {
	const rows = chosen.map((i) => [...chosen.map((j) => at(i, j)), goal[i]]);
	const n = rows.length;
	for (let column = 0; column < n; column++) {
		let pivot = column;
		for (let row = column; row < n; row++) if (Math.abs(rows[row][column]) > Math.abs(rows[pivot][column])) pivot = row;
		[rows[column], rows[pivot]] = [rows[pivot], rows[column]];
		for (let row = column + 1; row < n; row++) {
			const factor = rows[row][column] / rows[column][column];
			for (let j = column; j <= n; j++) rows[row][j] -= factor * rows[column][j];
		}
	}
	const result = new Array<number>(n).fill(0);
	for (let row = n - 1; row >= 0; row--) {
		let value = rows[row][n];
		for (let j = row + 1; j < n; j++) value -= rows[row][j] * result[j];
		result[row] = value / rows[row][row];
	}
	return result;
}
