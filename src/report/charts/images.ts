/** Gray images side by side, each with a line under it; right and wrong are told by a sign as well as by colour. */
import type { Chart } from "../chart.ts";
import { escapeXml, shortened } from "../escape.ts";
import { type Drawing, sheetWidth, textWidth } from "./canvas.ts";
import { bad, good } from "./palette.ts";
import { pngAddress } from "./png.ts";

type ImagesChart = Extract<Chart, { kind: "images" }>;

const gap = 16;
const side = 8;
/** About how many units wide an image is drawn; small ones are enlarged by a whole number. */
const wanted = 84;
const longest = 30;

/** @throws Error where an image has another number of pixels than width * height */
export function drawImages({ title, width, height, items }: ImagesChart): Drawing {
	const zoom = Math.max(1, Math.round(wanted / width));
	const labels = items.map(({ label }) => shortened(label, longest));
	const across = Math.min(
		sheetWidth - 2 * side,
		Math.max(width * zoom, ...labels.map((label) => textWidth(label) + 14)),
	);
	const columns = Math.max(1, Math.floor((sheetWidth - 2 * side + gap) / (across + gap)));
	const down = height * zoom + 18 + gap;
	const drawn = items.map(({ pixels, good: isGood }, i) => {
		const x = side + (i % columns) * (across + gap);
		const y = Math.floor(i / columns) * down;
		const picture = `<image x="${x}" y="${y}" width="${width * zoom}" height="${height * zoom}" href="${pngAddress(width, height, 1, pixels, zoom)}"/>`;
		const sign =
			isGood === undefined
				? ""
				: `<tspan fill="${isGood ? good : bad}" font-weight="700">${isGood ? "✓" : "✗"}</tspan>`;
		return `${picture}<text x="${x}" y="${y + height * zoom + 14}">${sign}<tspan${sign === "" ? "" : ' dx="5"'}>${escapeXml(labels[i])}</tspan></text>`;
	});
	const right = items.filter((item) => item.good).length;
	const judged = items.some((item) => item.good !== undefined) ? `, ${right} of them right` : "";
	return {
		title,
		description: `${items.length} images of ${width} by ${height} pixels${judged}: ${items.map(({ label }) => label).join("; ")}.`,
		pieces: [{ height: Math.ceil(items.length / columns) * down, markup: drawn.join("") }],
	};
}
