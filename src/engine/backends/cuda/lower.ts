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
			const offset = used;
			used += Math.ceil((rows * cols) / alignment) * alignment;
			scratchWords = Math.max(scratchWords, used);
			return { space: "scratch", offset, rows, cols, ld: cols, dtype: "f32" };
		},
		useHalf() {
			half = true;
		},
	};
	const instructions = program.instructions.map((each) => ({ ...each, label: labelOf(each) }));
	const commands: Command[] = [];
	for (at = 0; at < instructions.length; at++) {
		used = mirror;
		halves?.at(at);
		commands.push(...(fused(instructions, at, context) ?? single(instructions[at], context)));
	}
	return { commands, scratchWords, half };
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
