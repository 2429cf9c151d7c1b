/** What the passes do to the training program of a recurrence: products counted, chain shortened, memory saved. */
import { expect, test } from "vitest";
import type { Program } from "../../src/engine/program.ts";
import { ParameterLayout } from "../../src/engine/session.ts";
import { createModel, type ModelConfig, trainingProgram } from "../../src/models/index.ts";

const config: ModelConfig = {
	kind: "recurrent",
	variant: "forget",
	alpha: { value: 0.5, learned: true },
	vocabulary: 11,
	length: 48,
	width: 16,
	heads: 2,
	layers: 1,
	bias: false,
	window: { from: 4, to: 4 },
	outputs: { kind: "language" },
	tied: true,
	positions: "absolute",
	activation: "gelu",
	dropout: 0.1,
	form: "fast",
};
const blocks = 12;
const sequences = 3;

function build(change: Partial<ModelConfig> = {}, segment = 0): Program {
	const model = createModel({ ...config, ...change });
	const layout = new ParameterLayout(model.parameters);
	const shared = new Map<string, number>();
	return trainingProgram(
		model,
		{ sequences, length: 48, window: 4, segment, train: true },
		{
			parameter: (name) => layout.offsets.get(name) as number,
			shared: (name) => shared.get(name) ?? shared.set(name, shared.size * 16).size * 16 - 16,
		},
	);
}

const products = (program: Program) => program.instructions.filter(({ op }) => op.name === "matmul");
const weightGradients = (program: Program) => products(program).filter(({ attributes }) => attributes.accumulate === 1);

test("each weight's gradient is one product over all steps", () => {
	const program = build();
	// c_attn, c_proj, c_fc, mlp.c_proj, and the tied head.
	expect(weightGradients(program)).toHaveLength(5);
	const rows = weightGradients(program).map(({ inputs }) => inputs[0]?.rows);
	// Chain and readout together: twice the rows of the batch. The head: once.
	expect(rows.sort()).toEqual([48 * sequences, ...new Array(4).fill(2 * 48 * sequences)].sort());
});

test("the readout is off the chain and what does not depend on the state is one product", () => {
	const forward = products(build()).filter(
		({ attributes, inputs }) => attributes.transposeB === 1 && inputs[1]?.space === "parameters",
	);
	const counts = new Map<number, number>();
	for (const { outputs } of forward) counts.set(outputs[0]?.rows ?? 0, (counts.get(outputs[0]?.rows ?? 0) ?? 0) + 1);
	// A block's rows: proj, fc, proj, and the state's queries, keys and values, each step. All rows: x's, the readout's three, the head.
	expect(counts.get(4 * sequences)).toBe(4 * blocks);
	expect(counts.get(48 * sequences)).toBe(5);
});

test("epilogues are fused: no activation, dropout or bias stands alone after a product", () => {
	for (const bias of [false, true]) {
		const alone = build({ bias }).instructions.map(({ op }) => op.name);
		for (const name of ["gelu", "geluGrad", "addRow"]) expect(alone).not.toContain(name);
		// The embedding's dropout follows no product.
		expect(alone.filter((name) => name === "dropout").length).toBeLessThanOrEqual(2 + 2 * blocks + 2);
	}
});

test("stacks of a recurrence are written in place", () => {
	const copies = build({ dropout: 0 }).instructions.filter(({ op }) => op.name === "copy");
	const words = copies.reduce((sum, { outputs }) => sum + (outputs[0]?.rows ?? 0) * (outputs[0]?.cols ?? 0), 0);
	const rows = 48 * sequences;
	// A few of the stream's gradients stand in two stacks; nothing of the MLP's size is copied.
	expect(words).toBeLessThan(8 * rows * config.width);
});

test("recomputation saves memory and costs at most one more forward pass", () => {
	const stored = build();
	const again = build({}, 3);
	expect(again.arenaWords).toBeLessThan(0.6 * stored.arenaWords);
	expect(again.flops).toBeGreaterThan(1.1 * stored.flops);
	expect(again.flops).toBeLessThan(1.4 * stored.flops);
});
