/** A report on disk: NAME.html, NAME.md with NAME-figures/, NAME.json; each file whole or not at all. */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { makeFolder, writeFileAtomic } from "../base/files.ts";
import { reportHtml } from "./html.ts";
import { reportJson } from "./json.ts";
import { reportMarkdown } from "./markdown.ts";
import type { Report } from "./report.ts";

/** Where it was written. */
export interface WrittenReport {
	readonly html: string;
	readonly markdown: string;
	readonly json: string;
}

/** Replaces a report of the same name; other files of the folder stay. RivuletError where the disk refuses. */
export function writeReport(folder: string, report: Report, name = "report"): WrittenReport {
	const { text, figures } = reportMarkdown(report, `${name}-figures`);
	const pictures = join(folder, `${name}-figures`);
	makeFolder(folder);
	if (figures.size > 0) makeFolder(pictures);
	for (const [file, svg] of figures) writeFileAtomic(join(pictures, file), svg);
	const written = {
		html: join(folder, `${name}.html`),
		markdown: join(folder, `${name}.md`),
		json: join(folder, `${name}.json`),
	};
	writeFileAtomic(written.html, reportHtml(report));
	writeFileAtomic(written.markdown, text);
	writeFileAtomic(written.json, reportJson(report));
	removeOthers(pictures, figures);
	return written;
}

/** Figures of the report that stood here before, which nothing shows any more. */
function removeOthers(folder: string, figures: ReadonlyMap<string, string>): void {
	let files: string[];
	try {
		files = readdirSync(folder);
	} catch {
		return; // no figures, no folder
	}
	for (const file of files) {
		if (/^\d\d+-[a-z0-9-]+\.svg$/.test(file) && !figures.has(file)) rmSync(join(folder, file), { force: true });
	}
}
