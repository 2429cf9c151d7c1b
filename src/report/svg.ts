/** A chart as one SVG file that needs nothing else: no fonts, scripts, styles or addresses from outside. */
import type { Chart } from "./chart.ts";
import { type Drawing, sheet } from "./charts/canvas.ts";
import { drawHeatmap } from "./charts/heatmap.ts";
import { drawHistogram } from "./charts/histogram.ts";
import { drawImages } from "./charts/images.ts";
import { drawXy } from "./charts/xy.ts";

/**
 * The same chart gives the same bytes. What cannot be drawn (NaN, infinities, values of 0 or less on a log axis) leaves a gap.
 * @param id begins the ids inside, which must be unique on a page
 * @throws Error where the parts of a chart differ in length
 */
export function chartSvg(chart: Chart, id = "chart"): string {
	return sheet(draw(chart, id), id);
}

function draw(chart: Chart, id: string): Drawing {
	switch (chart.kind) {
		case "xy":
			return drawXy(chart);
		case "histogram":
			return drawHistogram(chart);
		case "heatmap":
			return drawHeatmap(chart, id);
		case "images":
			return drawImages(chart);
	}
}
