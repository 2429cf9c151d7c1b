/** From a Program to commands: each op by its own rule; what an op is computed with is in lower/, beside kernels/. */
import type { Program } from "../../program.ts";
import { attentionLowerings } from "./lower/attention.ts";
import { minGruLowerings } from "./lower/min-gru.ts";
import { pointwiseLowerings } from "./lower/pointwise.ts";
import { productLowerings } from "./lower/product.ts";
import { rowLowerings } from "./lower/rows.ts";
import { sumLowerings } from "./lower/sums.ts";
import { type LowerContext, type Lowering, labelOf } from "./lower-context.ts";
import type { Command, DeviceOperand, Lowered, Target } from "./lower-types.ts";

const lowerings: Readonly<Record<string, Lowering>> = {
	...pointwiseLowerings,
	...productLowerings,
	...rowLowerings,
	...sumLowerings,
	...attentionLowerings,
	...minGruLowerings,
};

/** Words to which scratch matrices are aligned: 256 bytes. */
const alignment = 64;

export function lower(program: Program, target: Target): Lowered {
	let used = 0;
	let scratchWords = 0;
	let half = false;
	const context: LowerContext = {
		...target,
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
	const commands: Command[] = [];
	for (const instruction of program.instructions) {
		const rule = lowerings[instruction.op.name];
		if (!rule) throw new Error(`[lower] there is no kernel for ${instruction.op.name} on this backend`);
		used = 0;
		commands.push(...rule({ ...instruction, label: labelOf(instruction) }, context));
	}
	return { commands, scratchWords, half };
}
