/** L-BFGS (Nocedal 1980) with a strong Wolfe line search: minimises a smooth function of a few variables. */

export interface Evaluated {
	readonly value: number;
	readonly gradient: Float64Array;
}

export interface Minimum extends Evaluated {
	readonly point: Float64Array;
	readonly iterations: number;
	/** The step or the gradient became as small as asked, rather than the iterations running out. */
	readonly converged: boolean;
}

export interface LbfgsOptions {
	/** Pairs remembered. */
	readonly memory?: number;
	readonly iterations?: number;
	/** Stop once the value falls by less than this share of itself, twice in a row. */
	readonly tolerance?: number;
}

export function lbfgs(
	f: (point: Float64Array) => Evaluated,
	start: ArrayLike<number>,
	{ memory = 10, iterations = 2000, tolerance = 1e-14 }: LbfgsOptions = {},
): Minimum {
	let point: Float64Array = Float64Array.from(start);
	let here = f(point);
	const pairs: Pair[] = [];
	let small = 0;
	for (let iteration = 0; iteration < iterations; iteration++) {
		if (norm(here.gradient) === 0) return { ...here, point, iterations: iteration, converged: true };
		let direction = descent(here.gradient, pairs);
		if (!(dot(direction, here.gradient) < 0)) {
			pairs.length = 0;
			direction = descent(here.gradient, pairs);
		}
		const first = pairs.length === 0 ? Math.min(1, 0.1 / norm(here.gradient)) : 1;
		const found = lineSearch(f, point, here, direction, first);
		if (found === null) {
			// No way down along this direction: once more along the gradient, then that is all that rounding allows.
			if (pairs.length === 0) return { ...here, point, iterations: iteration, converged: true };
			pairs.length = 0;
			continue;
		}
		const step = subtract(found.point, point);
		const change = subtract(found.at.gradient, here.gradient);
		const curvature = dot(step, change);
		if (curvature > 1e-16 * norm(step) * norm(change)) {
			pairs.push({ step, change, curvature });
			if (pairs.length > memory) pairs.shift();
		}
		small = here.value - found.at.value <= tolerance * Math.abs(here.value) ? small + 1 : 0;
		point = found.point;
		here = found.at;
		if (small === 2) return { ...here, point, iterations: iteration + 1, converged: true };
	}
	return { ...here, point, iterations, converged: false };
}

interface Pair {
	readonly step: Float64Array;
	readonly change: Float64Array;
	readonly curvature: number;
}

/** The two-loop recursion: minus the approximate inverse Hessian times the gradient. */
function descent(gradient: Float64Array, pairs: readonly Pair[]): Float64Array {
	const direction = gradient.map((value) => -value);
	const shares: number[] = [];
	for (let i = pairs.length - 1; i >= 0; i--) {
		shares[i] = dot(pairs[i].step, direction) / pairs[i].curvature;
		add(direction, -shares[i], pairs[i].change);
	}
	const last = pairs.at(-1);
	if (last) scale(direction, last.curvature / dot(last.change, last.change));
	pairs.forEach(({ step, change, curvature }, i) =>
		add(direction, shares[i] - dot(change, direction) / curvature, step),
	);
	return direction;
}

/** A point along the direction that meets the strong Wolfe conditions (bisection between brackets), or at least goes down; null: none does. */
function lineSearch(
	f: (point: Float64Array) => Evaluated,
	from: Float64Array,
	here: Evaluated,
	direction: Float64Array,
	first: number,
): { point: Float64Array; at: Evaluated } | null {
	const slope = dot(here.gradient, direction);
	let [low, high, length] = [0, Number.POSITIVE_INFINITY, first];
	let best: { point: Float64Array; at: Evaluated } | null = null;
	for (let trial = 0; trial < 50; trial++) {
		const point = from.slice();
		add(point, length, direction);
		const at = f(point);
		if (!(at.value <= here.value + 1e-4 * length * slope)) high = length;
		else {
			if (at.value < (best?.at.value ?? here.value)) best = { point, at };
			const steep = dot(at.gradient, direction);
			if (Math.abs(steep) <= 0.9 * -slope) return { point, at };
			if (steep < 0) low = length;
			else high = length;
		}
		length = high === Number.POSITIVE_INFINITY ? 2 * length : (low + high) / 2;
	}
	return best;
}

function dot(a: Float64Array, b: Float64Array): number {
	let sum = 0;
	for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
	return sum;
}

const norm = (a: Float64Array) => Math.sqrt(dot(a, a));
const subtract = (a: Float64Array, b: Float64Array) => a.map((value, i) => value - b[i]);

function add(to: Float64Array, factor: number, what: Float64Array): void {
	for (let i = 0; i < to.length; i++) to[i] += factor * what[i];
}

function scale(what: Float64Array, factor: number): void {
	for (let i = 0; i < what.length; i++) what[i] *= factor;
}
