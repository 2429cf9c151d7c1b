/** Reports: what studies and laws found, as a page, as Markdown with figures, and as JSON. */
export type { Axis, Chart, Series } from "./chart.ts";
export { escapeMarkdown, fenced } from "./escape.ts";
export { reportHtml } from "./html.ts";
export { reportJson } from "./json.ts";
export { type ReportMarkdown, reportMarkdown } from "./markdown.ts";
export { commandText, type ProvenanceOptions, provenance } from "./provenance.ts";
export { readSections } from "./read.ts";
export type { Block, Cell, Column, Provenance, Report, Section } from "./report.ts";
export { chartSvg } from "./svg.ts";
export { type WrittenReport, writeReport } from "./write.ts";
