/** A report's blocks back from report.json, so that a later report can keep what can no longer be made again. */
import { existsSync } from "node:fs";
import { z } from "zod";
import { RivuletError } from "../base/errors.ts";
import { readJson } from "../base/json.ts";
import type { Section } from "./report.ts";

/** JSON has no NaN and no infinity: reportJson wrote null. */
const number = z
	.number()
	.nullable()
	.transform((value) => value ?? Number.NaN);
const numbers = z.array(number);
const axis = z.object({
	title: z.string(),
	unit: z.string().optional(),
	scale: z.enum(["linear", "log"]).optional(),
});
const rule = <Name extends "x" | "y">(names: readonly Name[]) =>
	z.array(z.object({ axis: z.enum(names), value: number, label: z.string() })).optional();

const chart = z.discriminatedUnion("kind", [
	z.object({
		kind: z.literal("xy"),
		title: z.string(),
		x: axis,
		y: axis,
		series: z.array(
			z.object({
				name: z.string(),
				x: numbers,
				y: numbers,
				low: numbers.optional(),
				high: numbers.optional(),
				mark: z.enum(["line", "points", "line+points"]).optional(),
				dashed: z.boolean().optional(),
				group: z.string().optional(),
			}),
		),
		rules: rule(["x", "y"]),
	}),
	z.object({
		kind: z.literal("heatmap"),
		title: z.string(),
		x: axis,
		y: axis,
		values: z.array(z.array(z.number().nullable())),
		xLabels: z.array(z.string()).optional(),
		yLabels: z.array(z.string()).optional(),
	}),
	z.object({
		kind: z.literal("histogram"),
		title: z.string(),
		x: axis,
		series: z.array(z.object({ name: z.string(), values: numbers })),
		rules: rule(["x"]),
	}),
	z.object({
		kind: z.literal("images"),
		title: z.string(),
		width: z.int().positive(),
		height: z.int().positive(),
		items: z.array(
			z.object({
				pixels: z.base64().transform((text) => new Uint8Array(Buffer.from(text, "base64"))),
				label: z.string(),
				good: z.boolean().optional(),
			}),
		),
	}),
]);

const column = z.object({
	name: z.string(),
	unit: z.string().optional(),
	digits: z.int().min(0).max(20).optional(),
	align: z.enum(["left", "right"]).optional(),
});

const block = z.discriminatedUnion("kind", [
	z.object({ kind: z.literal("text"), markdown: z.string() }),
	z.object({
		kind: z.literal("table"),
		columns: z.array(column),
		rows: z.array(z.array(z.union([z.string(), z.number(), z.null()]))),
		caption: z.string().optional(),
	}),
	z.object({ kind: z.literal("chart"), chart, caption: z.string() }),
	z.object({ kind: z.literal("code"), text: z.string(), caption: z.string().optional() }),
]);

const schema = z.object({ sections: z.array(z.object({ title: z.string(), blocks: z.array(block) })) });

/** The sections of a report.json; none where there is no such file, or a damaged one, which the next report replaces. */
export function readSections(path: string): Section[] {
	if (!existsSync(path)) return [];
	try {
		return schema.parse(readJson(path)).sections;
	} catch (error) {
		if (error instanceof RivuletError || error instanceof z.ZodError) return [];
		throw error;
	}
}
