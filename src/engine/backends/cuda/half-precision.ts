/** What half precision asks of a job beside its programs: weights as halves, and gradients that fp16 can hold. */
import type { Argument, DeviceOperand, Launch } from "./lower-types.ts";

/**
 * The power of two by which a loss is multiplied in fp16: it brings `lossScale`, one over the number of targets, into
 * [16, 32).
 *
 * Gradients of logits are then at most 32. Those of 50,000 tokens that are equally likely are 3e-4, still of full
 * precision (6e-5 and more; below 3e-8 is zero), and what comes of them further down has room to grow a thousandfold
 * below 65504. Gradients of weights, which are sums over all rows, are in fp32.
 *
 * @returns 1 where `lossScale` is 0 or no number; the factor and its inverse are exact in fp32
 */
export function scaleOfLoss(lossScale: number): number {
	const exponent = 4 - Math.floor(Math.log2(Math.abs(lossScale)));
	return Number.isFinite(exponent) ? 2 ** Math.min(exponent, 126) : 1;
}

/** All parameters, to `half`. */
export function castLaunch(words: number, multiprocessors: number): Launch {
	const from = { space: "parameters", offset: 0, rows: 1, cols: words, ld: words, dtype: "f32" } as const;
	const to = { ...from, space: "half", dtype: "half" } as const;
	const args: Argument[] = [pointer(from), pointer(to), { kind: "int", value: words }];
	return launch("castToHalf", words, args, "weights as halves", multiprocessors);
}

/** The first words of `slices`, times the job's `unscale`. */
export function unscaleLaunch(words: number, multiprocessors: number): Launch {
	const gradients = { space: "slices", offset: 0, rows: 1, cols: words, ld: words, dtype: "f32" } as const;
	const args: Argument[] = [pointer(gradients), { kind: "int", value: words }, { kind: "job" }];
	return launch("unscale", words, args, "gradients of the loss", multiprocessors);
}

function pointer(operand: DeviceOperand): Argument {
	return { kind: "pointer", operand };
}

function launch(kernel: string, words: number, args: Argument[], label: string, multiprocessors: number): Launch {
	const blocks = Math.max(1, Math.min(Math.ceil(words / 256), 8 * multiprocessors));
	return { kind: "kernel", file: "half", kernel, grid: [blocks, 1, 1], block: [256, 1, 1], shared: 0, args, label };
}
