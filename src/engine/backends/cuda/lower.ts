/** From a Program to commands: each op by its own rule; what an op is computed with is in lower/, beside kernels/. */
import type { Instruction, Program } from "../../program.ts";
import { attentionLowerings } from "./lower/attention.ts";
import { Halves } from "./lower/halves.ts";
import { minGruLowerings } from "./lower/min-gru.ts";
import { normFusions, normLowerings } from "./lower/norms.ts";
import { pointwiseLowerings } from "./lower/pointwise.ts";
import { halfInputs, productLowerings } from "./lower/product.ts";
import { rowLowerings } from "./lower/rows.ts";
import { sumLowerings } from "./lower/sums.ts";
import { type Fusion, type LowerContext, type Lowering, labelOf } from "./lower-context.ts";
import type { Command, DeviceOperand, Lowered, Target } from "./lower-types.ts";
import { dependenciesOf, type Group, workspaces } from "./order.ts";

const lowerings: Readonly<Record<string, Lowering>> = {
	...pointwiseLowerings,
	...productLowerings,
	...rowLowerings,
	...normLowerings,
	...sumLowerings,
	...attentionLowerings,
	...minGruLowerings,
};

/** Pairs of instructions that are one launch less together. */
const fusions: readonly Fusion[] = normFusions;

/** Words to which scratch matrices are aligned: 256 bytes. */
const alignment = 64;

/** Words of scratch that instructions take in turn, so that those that could run side by side do not meet there. */
const turnWords = 16 << 20;

export function lower(program: Program, target: Target): Lowered {
	const halves = target.precision === "bf16" ? new Halves(program, halfInputs) : null;
	const mirror = halves?.words ?? 0;
	let at = 0;
	let used = mirror;
	let scratchWords = mirror;
	let half = false;
	const context: LowerContext = {
		...target,
		halves,
		next() {
			at++;
			halves?.at(at);
		},
		scratch(rows, cols): DeviceOperand {
			const words = Math.ceil((rows * cols) / alignment) * alignment;
			const offset = used;
			used += words;
			scratchWords = Math.max(scratchWords, used);
			return { space: "scratch", offset, rows, cols, ld: cols, dtype: "f32" };
		},
		useHalf() {
			half = true;
		},
	};
	const instructions = program.instructions.map((each) => ({ ...each, label: labelOf(each) }));
	const groups: Group[] = [];
	for (at = 0; at < instructions.length; at++) {
		if (used > mirror + turnWords) used = mirror;
		halves?.at(at);
		const first = at;
		const commands = fused(instructions, at, context) ?? single(instructions[at], context);
		groups.push(groupOf(instructions.slice(first, at + 1), commands, groups.length % workspaces));
	}
	const commands = groups.flatMap((group) => group.commands);
	// Updates are short and their order is part of their result.
	return program.kind === "body"
		? { commands, dependencies: dependenciesOf(groups), scratchWords, half }
		: { commands, scratchWords, half };
}

function groupOf(instructions: readonly Instruction[], commands: readonly Command[], workspace: number): Group {
	return {
		commands: commands.map((each) => (each.kind === "product" ? { ...each, workspace } : each)),
		reads: instructions.flatMap(({ inputs }) => inputs),
		writes: instructions.flatMap(({ outputs }) => outputs),
	};
}

function single(instruction: Instruction, context: LowerContext): Command[] {
	const rule = lowerings[instruction.op.name];
	if (!rule) throw new Error(`[lower] there is no kernel for ${instruction.op.name} on this backend`);
	return rule(instruction, context);
}

/** Two instructions in one go, where that is possible; the context then stands at the second. */
function fused(instructions: readonly Instruction[], at: number, context: LowerContext): Command[] | null {
	if (at + 1 >= instructions.length) return null;
	for (const fusion of fusions) {
		const commands = fusion([instructions[at], instructions[at + 1]], context);
		if (commands) return commands;
	}
	return null;
}
