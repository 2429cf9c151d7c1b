/** Fewer points of a long curve: what a page cannot show need not be in its file. */

/** A curve of more points than this is thinned: a page is about as many pixels wide. */
const enough = 1200;

/**
 * The points as they are, or, of equal stretches of many, the first, the lowest, the highest and the last, in order: the drawn
 * curve stays the same (Jugel et al. 2014, "M4"). A gap (NaN) stays a gap.
 */
export function thinned<T>(points: readonly T[], height: (point: T) => number): readonly T[] {
	if (points.length <= enough) return points;
	const stretches = enough / 4;
	const kept: T[] = [];
	for (let i = 0; i < stretches; i++) {
		const from = Math.floor((i * points.length) / stretches);
		const to = Math.floor(((i + 1) * points.length) / stretches);
		const chosen = new Set([from, to - 1]);
		let [low, high, gap] = [-1, -1, -1];
		for (let j = from; j < to; j++) {
			const value = height(points[j]);
			if (Number.isNaN(value)) gap = j;
			else if (low < 0) low = high = j;
			else if (value < height(points[low])) low = j;
			else if (value > height(points[high])) high = j;
		}
		for (const j of [low, high, gap]) if (j >= 0) chosen.add(j);
		for (const j of [...chosen].sort((a, b) => a - b)) kept.push(points[j]);
	}
	return kept;
}
