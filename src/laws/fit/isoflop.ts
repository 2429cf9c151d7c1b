/**
 * IsoFLOP curves (Hoffmann's second approach): at each budget a parabola of the loss against ln N, its lowest point the best
 * size, and a power law of that through the budgets. The exponent is sound for grids that are centred and equally wide; the
 * level is a few percent too high (3 % at a factor of 8 to either side).
 */
import { chooseRuns, distinct, type Runs } from "./runs.ts";

export interface IsoflopCurve {
	/** Geometric mean of the budgets that count as one. */
	readonly flops: number;
	readonly runs: Runs;
	/** L = floor + bend (ln N - ln best)^2 */
	readonly best: number;
	readonly floor: number;
	readonly bend: number;
	/** The lowest point lies among the sizes tried. */
	readonly inside: boolean;
}

export interface IsoflopFit {
	readonly curves: readonly IsoflopCurve[];
	/** N* = factor C^exponent, through the curves whose lowest point is inside. */
	readonly exponent: number;
	readonly factor: number;
}

/** Null where fewer than two budgets have a lowest point among their sizes. @param ratio budgets closer than this are one */
export function fitIsoflop(runs: Runs, ratio = 1.25): IsoflopFit | null {
	const curves = budgets(runs, ratio).flatMap((group) => curve(group) ?? []);
	const used = curves.filter(({ inside }) => inside);
	if (used.length < 2) return null;
	const x = used.map(({ flops }) => Math.log(flops));
	const y = used.map(({ best }) => Math.log(best));
	const [level, exponent] = polynomial(x, y, 1);
	return { curves, exponent, factor: Math.exp(level) };
}

/** Runs by budget: a gap of more than `ratio` between neighbours begins a new one. */
export function budgets(runs: Runs, ratio: number): Runs[] {
	const order = [...runs.flops.keys()].sort((a, b) => runs.flops[a] - runs.flops[b]);
	const groups: number[][] = [];
	order.forEach((row, i) => {
		if (i === 0 || runs.flops[row] > ratio * runs.flops[order[i - 1]]) groups.push([]);
		groups[groups.length - 1].push(row);
	});
	return groups.map((rows) => chooseRuns(runs, rows));
}

function curve(runs: Runs): IsoflopCurve | null {
	if (distinct(runs.parameters) < 3) return null;
	const x = Array.from(runs.parameters, Math.log);
	const [constant, slope, bend] = polynomial(x, Array.from(runs.losses), 2);
	if (!(bend > 0)) return null;
	const best = -slope / (2 * bend);
	const inside = best > Math.min(...x) && best < Math.max(...x);
	const flops = Math.exp(runs.flops.reduce((sum, value) => sum + Math.log(value), 0) / runs.flops.length);
	return { flops, runs, best: Math.exp(best), floor: constant - slope ** 2 / (4 * bend), bend, inside };
}

/** Coefficients, lowest first, of the least-squares polynomial; x is centred while solving. */
export function polynomial(x: readonly number[], y: readonly number[], degree: 1 | 2): [number, number, number] {
	const middle = x.reduce((a, b) => a + b, 0) / x.length;
	const moment = (power: number, of?: readonly number[]) =>
		x.reduce((sum, value, i) => sum + (value - middle) ** power * (of?.[i] ?? 1), 0);
	const [s0, s1, s2, s3, s4] = [0, 1, 2, 3, 4].map((power) => moment(power));
	const [t0, t1, t2] = [0, 1, 2].map((power) => moment(power, y));
	let [c0, c1, c2] = [0, 0, 0];
	if (degree === 1) {
		c1 = (s0 * t1 - s1 * t0) / (s0 * s2 - s1 * s1);
		c0 = (t0 - c1 * s1) / s0;
	} else {
		// Cramer's rule; s1 is zero up to rounding.
		const determinant = s0 * (s2 * s4 - s3 * s3) - s1 * (s1 * s4 - s3 * s2) + s2 * (s1 * s3 - s2 * s2);
		c0 = (t0 * (s2 * s4 - s3 * s3) - s1 * (t1 * s4 - s3 * t2) + s2 * (t1 * s3 - s2 * t2)) / determinant;
		c1 = (s0 * (t1 * s4 - t2 * s3) - t0 * (s1 * s4 - s3 * s2) + s2 * (s1 * t2 - t1 * s2)) / determinant;
		c2 = (s0 * (s2 * t2 - s3 * t1) - s1 * (s1 * t2 - t1 * s2) + t0 * (s1 * s3 - s2 * s2)) / determinant;
	}
	return [c0 - c1 * middle + c2 * middle ** 2, c1 - 2 * c2 * middle, c2];
}
