/** The nearest known word to a mistyped one, for "did you mean". */

/** Number of insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`. */
export function editDistance(a: string, b: string): number {
	let beforeLast: number[] = [];
	let last = Array.from({ length: b.length + 1 }, (_, j) => j);
	for (let i = 1; i <= a.length; i++) {
		const row = [i];
		for (let j = 1; j <= b.length; j++) {
			const same = a[i - 1] === b[j - 1];
			let cost = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1));
			const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
			if (swapped) cost = Math.min(cost, beforeLast[j - 2] + 1);
			row.push(cost);
		}
		beforeLast = last;
		last = row;
	}
	return last[b.length];
}

/**
 * The known word nearest to `word`, or undefined when none is near: more than a third of the letters would have to change.
 * A dotted name also counts as near when only its group is missing: "batch" for "train.batch".
 */
export function nearest(word: string, known: Iterable<string>): string | undefined {
	// A word of hundreds of letters is no typing mistake; the bound also keeps hostile input cheap.
	if (word.length > 80) return undefined;
	const asked = word.toLowerCase();
	let best: string | undefined;
	let bestDistance = Number.POSITIVE_INFINITY;
	for (const candidate of known) {
		const short = candidate.slice(candidate.lastIndexOf(".") + 1);
		const distance = Math.min(editDistance(asked, candidate), editDistance(asked, short) + 0.5);
		if (distance < bestDistance && distance <= Math.max(2, Math.ceil(candidate.length / 3))) {
			best = candidate;
			bestDistance = distance;
		}
	}
	return best;
}
