/** The sheet that every chart is drawn on: title, legend, what Plot drew, and the words for those who do not see it. */
import * as Plot from "@observablehq/plot";
import { DOMParser } from "linkedom";
import { clean, escapeXml, shortened } from "../escape.ts";
import type { SeriesStyle } from "./palette.ts";

export const sheetWidth = 720;
export const fontSize = 12;
/** Shared by the axes of all charts. */
export const margins = { marginLeft: 68, marginRight: 18, marginTop: 8, marginBottom: 44 } as const;
const fonts = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif";
const titleHeight = 28;

/** What a chart draws on its sheet. */
export interface Drawing {
	readonly title: string;
	/** In words, for screen readers. */
	readonly description: string;
	/** Pieces from top to bottom under the title: markup whose origin is its own top left corner. */
	readonly pieces: readonly Piece[];
}

export interface Piece {
	readonly height: number;
	readonly markup: string;
}

/** A whole SVG file. @param id unique on the page that holds it */
export function sheet({ title, description, pieces }: Drawing, id: string): string {
	let top = titleHeight;
	const placed = pieces.map(({ height, markup }) => {
		const piece = `<g transform="translate(0,${top})">${markup}</g>`;
		top += height;
		return piece;
	});
	// White paper and dark ink as attributes, so that the style sheet of a page can have its own.
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${sheetWidth} ${top}" width="${sheetWidth}" height="${top}" role="img" aria-labelledby="${id}-title ${id}-text" color="#1b1f24" fill="currentColor" font-family="${fonts}" font-size="${fontSize}">
<title id="${id}-title">${escapeXml(title)}</title>
<desc id="${id}-text">${escapeXml(description)}</desc>
<rect class="paper" width="100%" height="100%" fill="#fff"/>
<text x="8" y="18" font-size="14" font-weight="600">${escapeXml(shortened(title, 90))}</text>
${placed.join("\n")}
</svg>
`;
}

/** What Plot draws, as a piece. Marks get no clip paths and no tips: their ids would not be unique on a page. */
export function plotted(options: Plot.PlotOptions & { readonly height: number }): Piece {
	const document = new DOMParser().parseFromString("<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml");
	const drawn = Plot.plot({ width: sheetWidth, ...options, document: document as unknown as Document });
	drawn.querySelector("style")?.remove();
	return { height: options.height, markup: `<g text-anchor="middle">${rounded(drawn.innerHTML)}</g>` };
}

/** Coordinates to a thousandth: finer is not seen and makes files twice as large. Text between tags is left alone. */
function rounded(markup: string): string {
	const round = (digits: string) => String(Number(Number(digits).toFixed(3)));
	return markup.replace(/<[^>]*>/g, (tag) => tag.replace(/\d+\.\d{4,}(?![\de])/g, round));
}

/** An axis title with its unit. */
export function axisLabel({ title, unit }: { readonly title: string; readonly unit?: string }): string {
	return clean(unit === undefined ? title : `${title} (${unit})`);
}

/** Width of text in the sheet's font, by the average of its letters: there is no font to measure with. */
export function textWidth(text: string): number {
	return 6.6 * [...text].length;
}

/** One entry of a legend. */
export interface LegendEntry {
	readonly name: string;
	readonly style: SeriesStyle;
	readonly line: boolean;
	readonly marker: boolean;
}

const sample = 26;
const rowHeight = 18;

/** Entries side by side, on as many rows as they need. */
export function legend(entries: readonly LegendEntry[]): Piece {
	let x: number = margins.marginLeft;
	let y = rowHeight / 2;
	const placed = entries.map((entry) => {
		const name = shortened(entry.name, 90);
		const width = sample + 6 + textWidth(name) + 18;
		if (x > margins.marginLeft && x + width > sheetWidth) {
			x = margins.marginLeft;
			y += rowHeight;
		}
		const place = { ...entry, name, x, y };
		x += width;
		return place;
	});
	const height = y + rowHeight / 2 + 4;
	const marks = placed.flatMap(({ name, style, line, marker, x, y }) => [
		line ? Plot.link([0], { x1: x, x2: x + sample, y1: y, y2: y, ...lineLook(style) }) : null,
		marker ? Plot.dot([0], { x: x + sample / 2, y, ...markerLook(style) }) : null,
		Plot.text([name], { x: x + sample + 6, y, textAnchor: "start" }),
	]);
	const identity = { type: "identity", axis: null } as const;
	return plotted({ height, x: identity, y: identity, style: { fontSize: `${fontSize}px` }, marks });
}

/** Options of a Plot mark that draws a line. */
export function lineLook({ colour, dash }: SeriesStyle) {
	return { stroke: colour, strokeWidth: 1.8, ...(dash === undefined ? {} : { strokeDasharray: dash }) };
}

/** Options of a Plot mark that draws a point. */
export function markerLook({ colour, symbol, open }: SeriesStyle) {
	return open ? { symbol, stroke: colour, strokeWidth: 1.8, r: 3.6 } : { symbol, fill: colour, stroke: "none", r: 3.6 };
}
