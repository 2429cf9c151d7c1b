/**
 * Writes the table of ops into docs/ops.md, between its markers: what each op computes, where its definition's gradient and
 * its kernel are. Reads dist/ and the kernel tables of native/, which both the native library and the wasm module are compiled from.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { ops } from "../dist/engine/ops/index.js";
import { kernelSources, sourcePath } from "./native-sources.mjs";

const page = new URL("../docs/ops.md", import.meta.url);
const [begin, end] = ["<!-- ops: begin -->", "<!-- ops: end -->"];

/** Kernel name -> file, from entries such as {"gelu", gelu, ..}. */
const kernels = new Map(
	kernelSources.flatMap((file) => {
		const entries = readFileSync(sourcePath(file), "utf8").matchAll(/\{"(\w+)", \w+/g);
		return [...entries].map(([, name]) => [name, file]);
	}),
);

function row(op) {
	const differentiable = op.gradient || op.view ? "yes" : "";
	const file = kernels.get(op.name);
	const kernel = file ? `[${file}](../native/${file})` : "none";
	const support = op.view ? ["view", "view", "view"] : ["yes", kernel, kernel];
	return `| ${[op.name, op.formula, differentiable, ...support].join(" | ")} |`;
}

const header = ["op", "formula", "differentiable", "reference", "native", "wasm"];
const table = [`| ${header.join(" | ")} |`, `|${" --- |".repeat(header.length)}`, ...ops.map(row)].join("\n");
const text = readFileSync(page, "utf8");
const [before, after] = [text.split(begin)[0], text.split(end)[1]];
writeFileSync(page, `${before}${begin}\n${table}\n${end}${after}`);
