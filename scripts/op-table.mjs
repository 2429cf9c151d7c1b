/**
 * Writes the table of ops into docs/ops.md, between its markers: what each op computes, and which backends can load it here.
 * Run it after a build, on a machine where all backends work: node scripts/op-table.mjs
 */
import { readFileSync, writeFileSync } from "node:fs";
import { createRuntime } from "../dist/engine/backends/index.js";
import { Graph } from "../dist/engine/graph.js";
import { ops } from "../dist/engine/ops/index.js";
import { plan } from "../dist/engine/plan.js";

const page = new URL("../docs/ops.md", import.meta.url);
const backends = ["reference", "native", "wasm"];
const [begin, end] = ["<!-- ops: begin -->", "<!-- ops: end -->"];

/** The first case of an op as a program; it is only loaded, never run. */
function programOf(op) {
	const graph = new Graph();
	const [{ inputs, attributes }] = op.cases;
	const leaves = inputs.map((shape, index) => {
		return shape && graph.input(String(index), shape, op.i32Inputs?.includes(index) ? "i32" : "f32");
	});
	const [result] = graph.apply(op, leaves, attributes);
	const layout = { parameter: () => 0, shared: () => 0 };
	return plan(graph, { kind: "body", layout, outputs: new Map([["result", result]]) });
}

function loads(runtime, op) {
	try {
		runtime.forget(runtime.load(programOf(op)));
		return "yes";
	} catch {
		return "no";
	}
}

const runtimes = await Promise.all(backends.map((name) => createRuntime(name, { threads: 1 })));
const rows = ops.map((op) => {
	const gradient = op.gradient || op.view ? "yes" : "";
	const support = runtimes.map((runtime) => (op.view ? "view" : loads(runtime, op)));
	return `| ${[op.name, op.formula, gradient, ...support].join(" | ")} |`;
});
await Promise.all(runtimes.map((runtime) => runtime.close()));
const header = ["op", "formula", "differentiable", ...backends];
const table = [`| ${header.join(" | ")} |`, `|${" --- |".repeat(header.length)}`, ...rows].join("\n");
const text = readFileSync(page, "utf8");
const [before, after] = [text.split(begin)[0], text.split(end)[1]];
writeFileSync(page, `${before}${begin}\n${table}\n${end}${after}`);
