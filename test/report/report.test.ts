/** Reports as page, Markdown, JSON and files: complete, harmless whatever the text in them, whole on the disk. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir, hostname, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { parseHTML } from "linkedom";
import { afterAll, describe, expect, test } from "vitest";
import { escapeMarkdown, fenced } from "../../src/report/escape.ts";
import {
	commandText,
	provenance,
	type Report,
	readSections,
	reportHtml,
	reportJson,
	reportMarkdown,
	writeReport,
} from "../../src/report/index.ts";
import { expectSelfContained, expectXml } from "./xml.ts";

const hostile = '</code></pre><script>alert(1)</script><img src=x onerror=alert(2)> ``` | \u0000\u001b[2J & "quoted"';

const report: Report = {
	title: "Shakespeare <quick>",
	summary: "One layer against *six*, see [the paper](https://arxiv.org/abs/2310.00000).",
	sections: [
		{
			title: "Results & claims",
			blocks: [
				{
					kind: "text",
					markdown: `Beware: ${hostile}\n\n![x](http://tracker.example/x.png) [run](javascript:alert(1))`,
				},
				{
					kind: "table",
					columns: [{ name: "model" }, { name: "loss", unit: "nats", digits: 3 }, { name: "FLOPs" }],
					rows: [
						[hostile, 1.7564, 1.32e13],
						["none", null, Number.NaN],
						["negative", -0.5, 20000],
					],
					caption: "Final loss",
				},
			],
		},
		{
			title: "Curves",
			blocks: [
				{
					kind: "chart",
					chart: {
						kind: "xy",
						title: "Loss: first",
						x: { title: "x" },
						y: { title: "y" },
						series: [{ name: hostile, x: [1, 2], y: [2, Number.NaN] }],
					},
					caption: "The *loss*.",
				},
				{
					kind: "chart",
					chart: {
						kind: "images",
						title: "…",
						width: 1,
						height: 1,
						items: [{ pixels: Uint8Array.of(7), label: hostile }],
					},
					caption: "",
				},
			],
		},
		{ title: "Samples", blocks: [{ kind: "code", text: hostile, caption: "What it wrote" }] },
	],
	provenance: {
		command: "rivulet compare 'a b'",
		commit: "abc1234+",
		machine: "a machine",
		versions: { rivulet: "0.1.0", node: "20" },
		date: "2026-01-02T03:04:05Z",
	},
	data: { losses: [1.5, Number.NaN], bytes: Uint8Array.of(1, 2) },
};

const folder = mkdtempSync(join(tmpdir(), "rivulet-report-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("reportHtml", () => {
	const html = reportHtml(report);
	const { document } = parseHTML(html);

	test("needs nothing from outside and lets nothing hostile through", () => {
		expectSelfContained(html);
		expect(document.querySelectorAll("script, img, iframe")).toHaveLength(0);
		expect([...document.querySelectorAll("a")].map((link) => link.getAttribute("href"))).not.toContain(
			"javascript:alert(1)",
		);
		for (const [svg] of html.matchAll(/<svg[\s\S]*?<\/svg>/g)) expectXml(svg);
		expect(document.querySelector("pre")?.textContent).toBe(
			hostile.replaceAll("\u0000", "\ufffd").replaceAll("\u001b", "\ufffd"),
		);
	});

	test("tables have captions and scoped heads; numbers are aligned", () => {
		const table = document.querySelector("section table");
		expect(table?.querySelector("caption")?.textContent).toBe("Final loss");
		expect([...(table?.querySelectorAll("th[scope=col]") ?? [])].map((head) => head.textContent)).toEqual([
			"model",
			"loss (nats)",
			"FLOPs",
		]);
		const cells = [...(table?.querySelectorAll("tbody tr") ?? [])].map((row) =>
			[...row.querySelectorAll("td.number")].map((cell) => cell.textContent),
		);
		expect(cells).toEqual([
			["1.756", "1.32×10¹³"],
			["–", "–"],
			["−0.500", "20,000"],
		]);
	});

	test("charts are named and their ids are unique", () => {
		for (const svg of document.querySelectorAll("svg")) {
			for (const id of (svg.getAttribute("aria-labelledby") ?? "").split(" ")) {
				expect(html.split(`id="${id}"`)).toHaveLength(2);
			}
		}
		expect(document.querySelectorAll("figure svg[role=img] title")).toHaveLength(2);
	});

	test("says how it was made", () => {
		const footer = document.querySelector("footer")?.textContent ?? "";
		for (const words of ["rivulet compare 'a b'", "abc1234+", "a machine", "node 20", "2026-01-02"])
			expect(footer).toContain(words);
	});
});

describe("reportMarkdown", () => {
	const { text, figures } = reportMarkdown(report, "report-figures");

	test("tables keep their columns whatever the cells hold", () => {
		const rows = text.split("\n").filter((line) => line.startsWith("| "));
		for (const row of rows.slice(0, 5)) expect(row.replaceAll("\\|", "").split("|")).toHaveLength(5);
		expect(text).toContain("| --- | ---: | ---: |");
		expect(rows[2]).not.toContain("<script>");
	});

	test("figures are named by number and title, and shown", () => {
		expect([...figures.keys()]).toEqual(["01-loss-first.svg", "02-figure.svg"]);
		for (const [file, svg] of figures) {
			expect(text).toContain(`](report-figures/${file})`);
			expectXml(svg);
		}
	});

	test("a sample cannot end its own block", () => {
		expect(text).toContain("````text\n</code></pre>");
		expect(fenced("a\n`````\nb")).toBe("``````\na\n`````\nb\n``````");
	});

	test("escaped text is one line without markup", () => {
		expect(escapeMarkdown("# *a*\n[b](http://c) <i>")).toBe("\\# \\*a\\* \\[b\\](http:\u200b//c) &lt;i&gt;");
		expect(escapeMarkdown("1. x")).toBe("1\\. x");
	});
});

test("JSON holds data and blocks; what JSON lacks is null, pixels are base64", () => {
	const parsed = JSON.parse(reportJson(report));
	expect(parsed.data).toEqual({ losses: [1.5, null], bytes: "AQI=" });
	expect(parsed.sections[1].blocks[1].chart.items[0].pixels).toBe("Bw==");
	expect(parsed.provenance).toEqual(report.provenance);
});

test("sections can be read back, and what is no report has none", () => {
	const path = join(folder, "again.json");
	writeFileSync(path, reportJson(report));
	const sections = readSections(path);
	expect(reportJson({ ...report, sections })).toBe(reportJson(report));
	expect(reportMarkdown({ ...report, sections }, "figures")).toEqual(reportMarkdown(report, "figures"));
	for (const damaged of ['{"sections": [{"title": 1}]}', "{", '{"sections": []', ""]) {
		writeFileSync(path, damaged);
		expect(readSections(path)).toEqual([]);
	}
	rmSync(path);
	expect(readSections(path)).toEqual([]);
});

describe("writeReport", () => {
	test("writes four things, replaces its own, leaves others alone", () => {
		const first = writeReport(folder, report);
		expect(readdirSync(folder).sort()).toEqual(["report-figures", "report.html", "report.json", "report.md"]);
		expect(readFileSync(first.html, "utf8")).toContain("Shakespeare &lt;quick&gt;");
		writeFileSync(join(folder, "report-figures", "mine.svg"), "mine");
		writeReport(folder, { ...report, sections: [] });
		expect(readdirSync(join(folder, "report-figures"))).toEqual(["mine.svg"]);
	});

	test("a report without charts makes no folder of figures", () => {
		const other = join(folder, "new", "deep");
		writeReport(other, { ...report, sections: [] }, "compare");
		expect(existsSync(join(other, "compare-figures"))).toBe(false);
		expect(existsSync(join(other, "compare.md"))).toBe(true);
	});

	test("a file where the folder should be is named", () => {
		const path = join(folder, "taken");
		writeFileSync(path, "");
		expect(() => writeReport(path, report)).toThrow(path);
	});
});

describe("provenance", () => {
	test("tells machine and versions, and nobody's name or folders", () => {
		const made = provenance(["compare", join(homedir(), "secret-folder", "run-1"), "--out=/srv/x/out"], {
			made: { machine: "a GPU, elsewhere" },
			versions: { driver: "1" },
		});
		const text = JSON.stringify(made);
		expect(made.versions).toMatchObject({ node: process.versions.node, driver: "1" });
		expect(made.machine).toBe("a GPU, elsewhere");
		expect(provenance([]).machine).toMatch(/cores?, \d+ GiB/);
		expect(made.command).toBe("rivulet compare …/run-1 --out=…/out");
		expect(text).not.toContain("secret-folder");
		if (hostname().length > 4) expect(text).not.toContain(hostname());
		if (userInfo().username.length > 4) expect(text).not.toContain(userInfo().username);
		expect(made.commit === null || /^[0-9a-f]{7,}\+?$/.test(made.commit)).toBe(true);
	});

	test("a command can be copied into a shell", () => {
		expect(commandText(["fit", "it's here.csv", "--seeds", "3", join(process.cwd(), "runs/a")])).toBe(
			"rivulet fit 'it'\\''s here.csv' --seeds 3 runs/a",
		);
	});
});
