/** Charts as data: what is drawn, not how. svg.ts renders them. */

export interface Axis {
	readonly title: string;
	readonly unit?: string;
	/** Default linear. */
	readonly scale?: "linear" | "log";
}

/** One curve or cloud of points; `low` and `high` (same length as y) make a band or error bars. */
export interface Series {
	readonly name: string;
	readonly x: readonly number[];
	readonly y: readonly number[];
	readonly low?: readonly number[];
	readonly high?: readonly number[];
	/** Default "line". */
	readonly mark?: "line" | "points" | "line+points";
	/** Drawn dashed: a law, a published curve. */
	readonly dashed?: boolean;
	/** Series of one group share a colour: measured points and the law fitted to them. */
	readonly group?: string;
}

export type Chart =
	/** Lines, bands, points over two axes; `rules` are labelled horizontal or vertical lines (a published figure, a floor). */
	| {
			readonly kind: "xy";
			readonly title: string;
			readonly x: Axis;
			readonly y: Axis;
			readonly series: readonly Series[];
			readonly rules?: readonly { readonly axis: "x" | "y"; readonly value: number; readonly label: string }[];
	  }
	/** A matrix of values as colours (attention of a window): rows by columns, null where nothing is. */
	| {
			readonly kind: "heatmap";
			readonly title: string;
			readonly x: Axis;
			readonly y: Axis;
			readonly values: readonly (readonly (number | null)[])[];
			readonly xLabels?: readonly string[];
			readonly yLabels?: readonly string[];
	  }
	/** How values are spread (bootstrap of an exponent). */
	| {
			readonly kind: "histogram";
			readonly title: string;
			readonly x: Axis;
			readonly series: readonly { readonly name: string; readonly values: readonly number[] }[];
			readonly rules?: readonly { readonly axis: "x"; readonly value: number; readonly label: string }[];
	  }
	/** Gray images (0..255) with a line under each: samples with predictions. */
	| {
			readonly kind: "images";
			readonly title: string;
			readonly width: number;
			readonly height: number;
			readonly items: readonly { readonly pixels: Uint8Array; readonly label: string; readonly good?: boolean }[];
	  };
