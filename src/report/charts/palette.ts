/** How series are told apart: by colour for most, by marker or dash for print and for the colour-blind. */

/**
 * Okabe and Ito, "Color Universal Design" (2008), without yellow, which a white page swallows. The last is the ink of the page.
 * Seven colours and six markers repeat together only after 42 series.
 */
const colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "currentColor"] as const;
const symbols = ["circle", "square", "triangle", "diamond", "times", "star"] as const;
const dashes = ["6 3", "2 3", "9 3 2 3", "12 4", "4 2 1 2 1 2"] as const;

export interface SeriesStyle {
	readonly colour: string;
	readonly symbol: (typeof symbols)[number];
	/** Markers drawn by their outline have no fill. */
	readonly open: boolean;
	/** Undefined for a solid line. */
	readonly dash: string | undefined;
}

/** One style for each series; those of one group share colour and marker, dashed ones differ by their dashes. */
export function seriesStyles(series: readonly { readonly group?: string; readonly dashed?: boolean }[]): SeriesStyle[] {
	const groups = new Map<string, number>();
	let next = 0;
	let dashed = 0;
	return series.map((one) => {
		const key = one.group;
		const index = (key !== undefined ? groups.get(key) : undefined) ?? next++;
		if (key !== undefined) groups.set(key, index);
		const symbol = symbols[index % symbols.length];
		return {
			colour: colours[index % colours.length],
			symbol,
			open: symbol === "times",
			dash: one.dashed ? dashes[dashed++ % dashes.length] : undefined,
		};
	});
}

export const good = "#009E73";
export const bad = "#D55E00";
