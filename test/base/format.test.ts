import { expect, test } from "vitest";
import { columns, compact, duration, grouped } from "../../src/base/format.ts";

test("thousands are grouped", () => {
	expect(grouped(1234567)).toBe("1,234,567");
	expect(grouped(12)).toBe("12");
});

test.each([
	[0, "0"],
	[7, "7"],
	[0.1234, "0.12"],
	[999, "999"],
	[999.6, "1.00 k"],
	[12345, "12.3 k"],
	[99_960, "100 k"],
	[1234567, "1.23 M"],
	[2.5e21, "2500 E"],
	[-1500, "-1.50 k"],
	[Number.NaN, "-"],
])("%d is %s", (value, text) => {
	expect(compact(value)).toBe(text);
});

test("units follow their prefix", () => {
	expect(compact(1.5e9, "B")).toBe("1.50 GB");
	expect(compact(5, "B")).toBe("5 B");
});

test.each([
	[0.41, "0.4 s"],
	[12.3, "12 s"],
	[59.7, "1 min 00 s"],
	[185, "3 min 05 s"],
	[7440, "2 h 04 min"],
	[262800, "3 d 01 h"],
	[Infinity, "-"],
])("%d seconds are %s", (seconds, text) => {
	expect(duration(seconds)).toBe(text);
});

test("columns line up", () => {
	expect(
		columns(
			[
				["a", "1"],
				["bcd", "100"],
			],
			[1],
		),
	).toBe("a      1\nbcd  100");
});
