/** Charts to SVG: valid, self-contained, nothing lost that can be drawn, nothing drawn that cannot. */
import { DOMParser } from "linkedom";
import { describe, expect, test } from "vitest";
import type { Chart, Series } from "../../src/report/chart.ts";
import { chartSvg } from "../../src/report/svg.ts";
import { expectSelfContained, expectXml } from "./xml.ts";

const decades = [1e9, 1e10, 1e11, 1e12, 1e13];

function xy(series: readonly Series[], rest: Partial<Extract<Chart, { kind: "xy" }>> = {}): Chart {
	return {
		kind: "xy",
		title: "Loss",
		x: { title: "FLOPs", scale: "log" },
		y: { title: "loss", unit: "nats" },
		series,
		...rest,
	};
}

function parse(svg: string) {
	return new DOMParser().parseFromString(svg, "image/svg+xml");
}

const line: Series = { name: "ours", x: decades, y: [4, 3, 2.5, 2.2, 2] };

describe("chartSvg", () => {
	test("is XML without anything from outside, described, and the same every time", () => {
		const svg = chartSvg(xy([line]), "one");
		expectXml(svg);
		expectSelfContained(svg);
		expect(svg).toContain('role="img" aria-labelledby="one-title one-text"');
		expect(svg).toContain("ours: 4 at 10⁹ to 2 at 10¹³");
		expect(chartSvg(xy([line]), "one")).toBe(svg);
	});

	test("a log axis spaces decades equally and names them by powers", () => {
		const dots = [...parse(chartSvg(xy([{ ...line, mark: "points" }]))).querySelectorAll('[aria-label="dot"] circle')];
		const at = dots.map((dot) => Number(dot.getAttribute("cx")));
		expect(at).toHaveLength(5);
		for (let i = 2; i < 5; i++) expect(at[i] - at[i - 1]).toBeCloseTo(at[1] - at[0], 2);
		expect(chartSvg(xy([line]))).toMatch(/>10⁹<.*>10¹³</s);
	});

	test("every tick of an axis of less than a decade has its label", () => {
		const svg = parse(chartSvg(xy([{ name: "short", x: [4.9e8, 8.2e9], y: [4, 3] }])));
		const labels = [...svg.querySelectorAll('[aria-label="x-axis tick label"] text')].map((text) => text.textContent);
		expect(labels).toEqual(["5×10⁸", "7×10⁸", "10⁹", "1.5×10⁹", "2×10⁹", "3×10⁹", "5×10⁹", "7×10⁹"]);
	});

	test("bands behind lines, bars through points", () => {
		const band = { low: line.y.map((y) => y - 0.1), high: line.y.map((y) => y + 0.1) };
		const lines = parse(chartSvg(xy([{ ...line, ...band }])));
		expect(lines.querySelectorAll('.band path, path.band, [class="band"]').length).toBeGreaterThan(0);
		const bars = parse(chartSvg(xy([{ ...line, ...band, mark: "points" }])));
		expect(bars.querySelectorAll('[class="band"]')).toHaveLength(0);
		expect(bars.querySelectorAll('[aria-label="rule"] line').length).toBeGreaterThanOrEqual(5);
	});

	test("series differ by more than colour: markers on measured lines, dashes on laws", () => {
		const series = [0, 1, 2, 3].map((i) => ({ ...line, name: `series ${i}`, dashed: i > 1 }));
		const svg = parse(chartSvg(xy(series)));
		const dashes = [...svg.querySelectorAll('[aria-label="line"]')].map((path) =>
			path.getAttribute("stroke-dasharray"),
		);
		expect(dashes.slice(0, 2)).toEqual([null, null]);
		expect(new Set(dashes).size).toBe(3);
		const colours = [...svg.querySelectorAll('[aria-label="line"]')].map((path) => path.getAttribute("stroke"));
		expect(new Set(colours).size).toBe(4);
		for (const { name } of series) expect(chartSvg(xy(series))).toContain(name);
	});

	test("series of one group share a colour", () => {
		const svg = parse(
			chartSvg(
				xy([
					{ ...line, group: "a" },
					{ ...line, name: "law", group: "a", dashed: true },
				]),
			),
		);
		const colours = [...svg.querySelectorAll('[aria-label="line"]')].map((path) => path.getAttribute("stroke"));
		expect(colours).toEqual([colours[0], colours[0]]);
	});

	test.each([
		["no series", []],
		["an empty series", [{ name: "none", x: [], y: [] }]],
		["nothing but NaN", [{ name: "nan", x: [1, 2], y: [Number.NaN, Number.NaN] }]],
		["only what a log axis cannot show", [{ name: "low", x: [0, -1], y: [1, 2] }]],
	])("%s says so and is valid", (_, series: readonly Series[]) => {
		const svg = chartSvg(xy(series));
		expectXml(svg);
		expect(svg).toContain("nothing to draw");
		expect(svg).not.toMatch(/NaN|Infinity|undefined/);
	});

	test("NaN breaks a line and is nowhere in the file", () => {
		const svg = chartSvg(xy([{ ...line, y: [4, Number.NaN, 2.5, Number.POSITIVE_INFINITY, 2] }]));
		expect(svg).not.toMatch(/NaN|Infinity/);
		expect(parse(svg).querySelectorAll('[aria-label="dot"] circle')).toHaveLength(3);
	});

	test.each([
		["one point", [5], [3]],
		["equal values", [1, 2, 3], [2, 2, 2]],
		["values at the ends of what numbers hold", [1e-300, 1, 1e300], [1e-300, 0, 1e300]],
		["zeros", [1, 2], [0, 0]],
	])("%s", (_, x: number[], y: number[]) => {
		for (const scale of ["linear", "log"] as const) {
			const axes = { x: { title: "x", scale }, y: { title: "y", scale } };
			const svg = chartSvg(xy([{ name: "a", x, y }], axes));
			expectXml(svg);
			expect(svg).not.toMatch(/NaN|Infinity/);
		}
	});

	test("rules have their labels, and make room for themselves", () => {
		const rules = [
			{ axis: "y", value: 1.2, label: "floor" },
			{ axis: "x", value: 1e15, label: "budget" },
			{ axis: "y", value: Number.NaN, label: "not there" },
		] as const;
		const svg = chartSvg(xy([line], { rules }));
		expect(svg).toContain(">floor<");
		expect(svg).toContain(">10¹⁵<");
		expect(svg).not.toContain("not there");
	});

	test("a long curve is thinned without losing its peak", () => {
		const x = Array.from({ length: 100_000 }, (_, i) => i + 1);
		const y = x.map((value) => (value === 77_777 ? 50 : 1));
		const svg = chartSvg(xy([{ name: "spike", x, y }]));
		expect(svg.length).toBeLessThan(100_000);
		const path = parse(svg).querySelector('[aria-label="line"] path')?.getAttribute("d") ?? "";
		const heights = path
			.split(/[ML]/)
			.slice(1)
			.map((point: string) => Number(point.split(",")[1]));
		expect(Math.max(...heights) - Math.min(...heights)).toBeGreaterThan(200);
	});

	test("hostile names stay text", () => {
		const name = '<script>alert("1")</script> & \u0000\u001b[31m \ud800';
		const svg = chartSvg(xy([{ ...line, name }, line], { title: name, rules: [{ axis: "y", value: 3, label: name }] }));
		expectXml(svg);
		expectSelfContained(svg);
	});

	test("lengths that differ are refused", () => {
		expect(() => chartSvg(xy([{ ...line, y: [1] }]))).toThrow('expected 5 values of y in series "ours", got 1');
	});

	test("a histogram counts what can be drawn and says how it is spread", () => {
		const values = Array.from({ length: 300 }, (_, i) => Math.sin(i) ** 3);
		const chart: Chart = {
			...{ kind: "histogram", title: "Exponent", x: { title: "alpha" } },
			series: [
				{ name: "a", values: [...values, Number.NaN] },
				{ name: "none", values: [] },
			],
			rules: [{ axis: "x", value: 0.5, label: "published" }],
		};
		const svg = chartSvg(chart);
		expectXml(svg);
		expect(svg).not.toMatch(/NaN/);
		expect(svg).toContain("a: 300 values, median");
		expect(svg).toContain("published");
	});

	test("a heatmap holds its cells as one picture, with a key to its colours", () => {
		const values = [
			[0, 0.5, null],
			[1, Number.NaN, 0.25],
		];
		const svg = chartSvg({
			kind: "heatmap",
			title: "Attention",
			x: { title: "key" },
			y: { title: "query" },
			values,
			xLabels: ["<a>", "b", "c"],
		});
		expectXml(svg);
		expectSelfContained(svg);
		expect(svg).toContain("data:image/png;base64,");
		expect(svg).toContain("values from 0 to 1");
		expect(svg).toContain("&lt;a&gt;");
	});

	test.each([[[]], [[[]]], [[[null]]]])("a heatmap of nothing: %j", (values) => {
		const svg = chartSvg({ kind: "heatmap", title: "Nothing", x: { title: "x" }, y: { title: "y" }, values });
		expectXml(svg);
		expect(svg).toContain("nothing to draw");
	});

	test("images carry their verdict as a sign", () => {
		const pixels = Uint8Array.from({ length: 12 }, (_, i) => i * 20);
		const items = [
			{ pixels, label: "cat", good: true },
			{ pixels, label: "dog <b>", good: false },
			{ pixels, label: "?" },
		];
		const svg = chartSvg({ kind: "images", title: "Samples", width: 4, height: 3, items });
		expectXml(svg);
		expectSelfContained(svg);
		expect(svg.match(/✓|✗/g)).toEqual(["✓", "✗"]);
		expect(svg).toContain("3 images of 4 by 3 pixels, 1 of them right");
		expect(() => chartSvg({ kind: "images", title: "", width: 4, height: 4, items })).toThrow(
			"expected 16 bytes, got 12",
		);
	});
});
