/** From a Program to commands: each op by its own rule; what an op is computed with is in lower/, beside kernels/. */
import type { Instruction, Operand, Program } from "../../program.ts";
import { attentionFusions, attentionLowerings } from "./lower/attention.ts";
import { attentionHalves } from "./lower/attention-half.ts";
import { type LongAttention, longAttention, longCommands, longHalfInputs } from "./lower/attention-long.ts";
import { carryFusions } from "./lower/carry.ts";
import { embedFusions } from "./lower/embed.ts";
import { type HalfInputs, Halves, meet, noHalves } from "./lower/halves.ts";
import { minGruLowerings } from "./lower/min-gru.ts";
import { normGradFusions, normGradLowerings, normsHalf } from "./lower/norm-grads.ts";
import { normFusions, normLowerings } from "./lower/norms.ts";
import { pointwiseLowerings } from "./lower/pointwise.ts";
import { halfInputs, productLowerings } from "./lower/product.ts";
import { logitsAsHalf, rowLowerings } from "./lower/rows.ts";
import { sumLowerings } from "./lower/sums.ts";
import { type Fusion, type LowerContext, type Lowering, labelOf } from "./lower-context.ts";
import type { Command, DeviceOperand, Lowered, Target } from "./lower-types.ts";
import { dependenciesOf, type Group, groupOf, workspaces } from "./order.ts";

const lowerings: Readonly<Record<string, Lowering>> = {
	...pointwiseLowerings,
	...productLowerings,
	...rowLowerings,
	...normLowerings,
	...normGradLowerings,
	...sumLowerings,
	...attentionLowerings,
	...minGruLowerings,
};

/** Instructions that are fewer launches together. */
const fusions: readonly Fusion[] = [
	...embedFusions,
	...carryFusions,
	...normFusions,
	...normGradFusions,
	...attentionFusions,
];

/** Instructions that a fusion may see. */
const mostTogether = 7;

/** Words of scratch that instructions take in turn, so that those that could run side by side do not meet there. */
const turnWords = 16 << 20;

/** Scratch: what lasts, and above it what instructions have for themselves. */
class Scratch {
	/** So far, at most. */
	words = 0;
	#kept = 0;
	#used = 0;

	keep(words: number): number {
		const offset = this.#kept;
		this.#kept += aligned(words);
		this.#used = this.#kept;
		this.words = Math.max(this.words, this.#kept);
		return offset;
	}

	take(words: number): number {
		const offset = this.#used;
		this.#used += aligned(words);
		this.words = Math.max(this.words, this.#used);
		return offset;
	}

	/** The instruction is done; what it had is another's when the turn comes round. */
	release(): void {
		if (this.#used > this.#kept + turnWords) this.#used = this.#kept;
	}
}

/** Multiples of 256 bytes. */
function aligned(words: number): number {
	return Math.ceil(words / 64) * 64;
}

export function lower(given: Program, target: Target): Lowered {
	const instructions = given.instructions.map((each) => ({ ...each, label: labelOf(each) }));
	const program = { ...given, instructions };
	const inHalves = target.precision === "bf16" || target.precision === "fp16";
	const longs: LongAttention = inHalves ? longAttention(program) : new Map();
	const halves = inHalves ? new Halves(program, (each) => readsHalf(each, longs)) : null;
	const scratch = new Scratch();
	scratch.keep(halves?.words ?? 0); // the mirror stands at the beginning
	let at = 0;
	let half = false;
	const context: LowerContext = {
		...target,
		halves,
		next() {
			at++;
			halves?.at(at);
		},
		readAfter: (operand, count) => isRead(operand, instructions.slice(at, at + count), instructions.slice(at + count)),
		keep: (words) => scratch.keep(words),
		scratch(rows, cols): DeviceOperand {
			return { space: "scratch", offset: scratch.take(rows * cols), rows, cols, ld: cols, dtype: "f32" };
		},
		useHalf() {
			half = true;
		},
	};
	const groups: Group[] = [];
	for (; at < instructions.length; at++) {
		scratch.release();
		halves?.at(at);
		const first = instructions[at];
		const long = longs.get(first);
		const made =
			long === undefined
				? (fused(instructions.slice(at, at + mostTogether), context) ?? [groupOf([first], single(first, context))])
				: [groupOf([first], longCommands(long, first, context))];
		for (const group of made) groups.push(withWorkspace(group, groups.length % workspaces));
	}
	const lowered = { commands: groups.flatMap(({ commands }) => commands), scratchWords: scratch.words, half };
	// Updates are short, and all of what they do is one chain.
	return program.kind === "body" ? { ...lowered, dependencies: dependenciesOf(groups) } : lowered;
}

function readsHalf(instruction: Instruction, longs: LongAttention): HalfInputs {
	if (longs.has(instruction)) return { always: longHalfInputs(instruction), alone: [] };
	const found = [halfInputs, logitsAsHalf, normsHalf, attentionHalves].map((of) => of(instruction));
	return found.find(({ always, alone }) => always.length + alone.length > 0) ?? noHalves;
}

function withWorkspace(group: Group, workspace: number): Group {
	return {
		...group,
		commands: group.commands.map((each) => (each.kind === "product" ? { ...each, workspace } : each)),
	};
}

function single(instruction: Instruction, context: LowerContext): Command[] {
	const rule = lowerings[instruction.op.name];
	if (!rule) throw new Error(`[lower] there is no kernel for ${instruction.op.name} on this backend`);
	return rule(instruction, context);
}

/** Is the value at `operand`, which one of `group` made, read by any of `rest`? It is gone where anything is written over a part of it. */
function isRead(operand: Operand, group: readonly Instruction[], rest: readonly Instruction[]): boolean {
	const meets = (other: Operand | null) => meet(operand, other);
	if (group.filter(({ outputs }) => outputs.some(meets)).length > 1) return false;
	for (const { inputs, outputs, attributes } of rest) {
		if (inputs.some(meets) || (attributes.accumulate && outputs.some(meets))) return true;
		if (outputs.some(meets)) return false;
	}
	return false;
}

/** The first of these instructions in one go, where that is possible; the context then stands at the last of them. */
function fused(instructions: readonly Instruction[], context: LowerContext): readonly Group[] | null {
	if (instructions.length < 2) return null;
	for (const fusion of fusions) {
		const groups = fusion(instructions, context);
		if (groups) return groups;
	}
	return null;
}
