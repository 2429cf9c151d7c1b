/** Comparison of vectors by norms: the way every numerical claim of the engine is checked. */

type Numbers = ArrayLike<number>;

/** Norm of the difference over norm of `expected`; the norm of `actual` itself where `expected` is zero. NaN where either has one. */
export function relativeDifference(expected: Numbers, actual: Numbers): number {
	let difference = 0;
	let norm = 0;
	for (let i = 0; i < expected.length; i++) {
		difference += (actual[i] - expected[i]) ** 2;
		norm += expected[i] ** 2;
	}
	return Math.sqrt(difference) / (norm > 0 ? Math.sqrt(norm) : 1);
}

/** Throw, naming `name`, unless the two are of one length and differ by at most `ratio` of the norm of `expected`. */
export function assertClose(name: string, expected: Numbers, actual: Numbers, ratio: number): void {
	if (expected.length !== actual.length) {
		throw new Error(`${name}: expected ${expected.length} values, got ${actual.length}`);
	}
	const found = relativeDifference(expected, actual);
	if (found <= ratio) return; // false for NaN, too
	let worst = 0;
	for (let i = 0; i < expected.length; i++) {
		if (!(Math.abs(actual[i] - expected[i]) <= Math.abs(actual[worst] - expected[worst]))) worst = i;
	}
	const place = `at ${worst} expected ${expected[worst]}, got ${actual[worst]}`;
	throw new Error(
		`${name}: relative difference ${found.toExponential(2)}, allowed ${ratio.toExponential(0)}; ${place}`,
	);
}
