/** A report as Markdown (GitHub's), its charts as SVG files beside it. */
import { cellText, headText, isRight, provenanceRows } from "./cells.ts";
import { clean, escapeMarkdown, fenced } from "./escape.ts";
import type { Block, Report } from "./report.ts";
import { chartSvg } from "./svg.ts";

export interface ReportMarkdown {
	readonly text: string;
	/** File names, within the folder of figures, to their SVG. */
	readonly figures: ReadonlyMap<string, string>;
}

/** @param folder of the figures, relative to the Markdown file */
export function reportMarkdown(report: Report, folder: string): ReportMarkdown {
	const figures = new Map<string, string>();
	const parts = [`# ${escapeMarkdown(report.title)}`, clean(report.summary)];
	for (const { title, blocks } of report.sections) {
		parts.push(`## ${escapeMarkdown(title)}`);
		for (const block of blocks) parts.push(blockMarkdown(block, folder, figures));
	}
	const rows = provenanceRows(report.provenance).map(([name, value]) => [
		name,
		name === "command" ? codeSpan(value) : escapeMarkdown(value),
	]);
	parts.push("## How this was made", grid(["", ""], [false, false], rows));
	return { text: `${parts.join("\n\n")}\n`, figures };
}

function blockMarkdown(block: Block, folder: string, figures: Map<string, string>): string {
	switch (block.kind) {
		case "text":
			return clean(block.markdown).trim();
		case "code":
			return `${captioned(block.caption)}${fenced(block.text, "text")}`;
		case "table": {
			const { columns, rows } = block;
			const cells = rows.map((row) => columns.map((column, i) => escapeMarkdown(cellText(row[i], column))));
			const right = columns.map((column, i) => isRight(column, i, rows));
			const heads = columns.map((column) => escapeMarkdown(headText(column)));
			return `${captioned(block.caption)}${grid(heads, right, cells)}`;
		}
		case "chart": {
			const file = `${String(figures.size + 1).padStart(2, "0")}-${slug(block.chart.title)}.svg`;
			figures.set(file, chartSvg(block.chart));
			const picture = `![${escapeMarkdown(block.chart.title)}](${encodeURI(folder)}/${file})`;
			return block.caption === "" ? picture : `${picture}\n\n${clean(block.caption)}`;
		}
	}
}

function captioned(words: string | undefined): string {
	return words === undefined || words === "" ? "" : `${clean(words)}\n\n`;
}

/** A table of cells that are Markdown already. */
function grid(heads: readonly string[], right: readonly boolean[], rows: readonly (readonly string[])[]): string {
	const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
	const rule = right.map((isRight) => (isRight ? "---:" : "---"));
	return [line(heads), line(rule), ...rows.map(line)].join("\n");
}

function codeSpan(text: string): string {
	return /[`|]/.test(text) ? escapeMarkdown(text) : `\`${clean(text).replace(/\s+/g, " ")}\``;
}

/** "Loss against FLOPs" as "loss-against-flops". */
function slug(title: string): string {
	const words = title.toLowerCase().match(/[a-z0-9]+/g) ?? ["figure"];
	return words.join("-").slice(0, 60).replace(/-$/, "");
}
