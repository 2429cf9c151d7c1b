/** Heaps' law, V = K D^h: how the vocabulary grows with the text, and how well one power describes it. */

export interface HeapsFit {
	/** V at D = 1 by the fit. */
	readonly k: number;
	/** Exponent; .4 to .7 for words of a language, next to 0 for characters. */
	readonly h: number;
	/** Of ln V about the fit: .01 is one per cent. */
	readonly residual: number;
}

/** Least squares of ln V on ln D over the measured prefixes. Null for fewer than three. */
export function fitHeaps(tokens: readonly number[], types: readonly number[]): HeapsFit | null {
	if (tokens.length < 3) return null;
	const { slope, intercept, residual } = fitLine(tokens.map(Math.log), types.map(Math.log));
	return { k: Math.exp(intercept), h: slope, residual };
}

/** Types that a fit expects in `tokens`. */
export function heapsTypes({ k, h }: Pick<HeapsFit, "k" | "h">, tokens: number): number {
	return k * tokens ** h;
}

/** A straight line by least squares; `residual` is the root mean square, `error` the standard error of the slope. */
export function fitLine(
	x: readonly number[],
	y: readonly number[],
): { slope: number; intercept: number; residual: number; error: number } {
	const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
	const [mx, my] = [mean(x), mean(y)];
	const spread = x.reduce((sum, value) => sum + (value - mx) ** 2, 0);
	const slope = x.reduce((sum, value, i) => sum + (value - mx) * (y[i] - my), 0) / spread;
	const intercept = my - slope * mx;
	const squares = y.reduce((sum, value, i) => sum + (value - intercept - slope * x[i]) ** 2, 0);
	return {
		slope,
		intercept,
		residual: Math.sqrt(squares / x.length),
		error: x.length > 2 ? Math.sqrt(squares / (x.length - 2) / spread) : Number.NaN,
	};
}
