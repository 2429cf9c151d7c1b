/** A report as one HTML page that needs nothing else: no network, no scripts, no files beside it. */
import MarkdownIt from "markdown-it";
import { cellText, headText, isRight, provenanceRows } from "./cells.ts";
import { clean, escapeXml } from "./escape.ts";
import type { Block, Report, Section } from "./report.ts";
import { pageStyle } from "./style.ts";
import { chartSvg } from "./svg.ts";

/** Markup of HTML in it stays text; pictures would need the network; links that run scripts are refused by the library. */
const markdown = new MarkdownIt("default", { html: false }).disable("image");

export function reportHtml(report: Report): string {
	const { title, summary, sections } = report;
	const contents = sections.map((section, i) => `<li><a href="#section-${i + 1}">${escapeXml(section.title)}</a></li>`);
	return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="color-scheme" content="light dark">
<title>${escapeXml(title)}</title>
<style>
${pageStyle}</style>
</head>
<body>
<main>
<header>
<h1>${escapeXml(title)}</h1>
<div class="summary">${markdown.render(clean(summary))}</div>
</header>
${sections.length > 2 ? `<nav aria-label="Contents"><ol>${contents.join("")}</ol></nav>\n` : ""}${sections.map(sectionHtml).join("\n")}
<footer>
<h2>How this was made</h2>
<table>
<tbody>
${provenanceRows(report.provenance).map(provenanceHtml).join("\n")}
</tbody>
</table>
</footer>
</main>
</body>
</html>
`;
}

function sectionHtml({ title, blocks }: Section, index: number): string {
	const id = `section-${index + 1}`;
	const drawn = blocks.map((block, i) => blockHtml(block, `${id}-${i + 1}`));
	return `<section aria-labelledby="${id}">\n<h2 id="${id}">${escapeXml(title)}</h2>\n${drawn.join("\n")}\n</section>`;
}

function blockHtml(block: Block, id: string): string {
	switch (block.kind) {
		case "text":
			return markdown.render(clean(block.markdown)).trimEnd();
		case "table":
			return tableHtml(block);
		case "chart":
			return `<figure>\n${chartSvg(block.chart, id).trimEnd()}\n${caption(block.caption, "figcaption")}</figure>`;
		case "code":
			return `<figure>\n${caption(block.caption, "figcaption")}<pre tabindex="0"><code>${escapeXml(block.text)}</code></pre>\n</figure>`;
	}
}

function tableHtml({ columns, rows, caption: words }: Extract<Block, { kind: "table" }>): string {
	const classes = columns.map((column, i) => (isRight(column, i, rows) ? ' class="number"' : ""));
	const head = columns.map((column, i) => `<th scope="col"${classes[i]}>${escapeXml(headText(column))}</th>`);
	const body = rows.map((row) => {
		const cells = columns.map((column, i) => `<td${classes[i]}>${escapeXml(cellText(row[i], column))}</td>`);
		return `<tr>${cells.join("")}</tr>`;
	});
	// The region scrolls on narrow screens, and can be reached by keyboard.
	return `<div class="table" role="region" tabindex="0" aria-label="${escapeXml(words ?? "Table")}">
<table>
${caption(words, "caption")}<thead><tr>${head.join("")}</tr></thead>
<tbody>
${body.join("\n")}
</tbody>
</table>
</div>`;
}

function caption(words: string | undefined, tag: "caption" | "figcaption"): string {
	return words === undefined || words === "" ? "" : `<${tag}>${markdown.renderInline(clean(words))}</${tag}>\n`;
}

function provenanceHtml([name, value]: readonly [string, string]): string {
	const shown = name === "command" ? `<code>${escapeXml(value)}</code>` : escapeXml(value);
	return `<tr><th scope="row">${name}</th><td>${shown}</td></tr>`;
}
