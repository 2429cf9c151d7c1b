/** What a report is, before it is a page: sections of blocks. html.ts, markdown.ts and json.ts render the same one. */
import type { Chart } from "./chart.ts";

/** Where, when and by what a report was made. */
export interface Provenance {
	/** The exact command that makes it again. */
	readonly command: string;
	/** Abbreviated commit, with "+" where the work tree differed; null outside a repository. */
	readonly commit: string | null;
	/** Processor, cores, memory, accelerator if one was used. */
	readonly machine: string;
	/** Name to version: rivulet, node, driver and so on. */
	readonly versions: Readonly<Record<string, string>>;
	/** ISO 8601, UTC. */
	readonly date: string;
}

/** A cell is text or a number; numbers are set in tabular figures and may carry a format (digits after the point). */
export type Cell = string | number | null;

export interface Column {
	readonly name: string;
	readonly unit?: string;
	/** Digits after the point for numbers; default: as short as the number is. */
	readonly digits?: number;
	readonly align?: "left" | "right";
}

export type Block =
	/** Paragraphs in Markdown (emphasis, code, links, lists); escaped elsewhere. */
	| { readonly kind: "text"; readonly markdown: string }
	| {
			readonly kind: "table";
			readonly columns: readonly Column[];
			readonly rows: readonly (readonly Cell[])[];
			readonly caption?: string;
	  }
	| { readonly kind: "chart"; readonly chart: Chart; readonly caption: string }
	/** Preformatted text: commands, generated samples. */
	| { readonly kind: "code"; readonly text: string; readonly caption?: string };

export interface Section {
	readonly title: string;
	readonly blocks: readonly Block[];
}

export interface Report {
	readonly title: string;
	/** One paragraph: what was asked and what came out. */
	readonly summary: string;
	readonly sections: readonly Section[];
	readonly provenance: Provenance;
	/** The figures behind the report, as written to report.json. */
	readonly data: unknown;
}
