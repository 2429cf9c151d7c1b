/** Small products of halves with the norm of their rows behind them in one launch, a cluster of blocks having whole rows. */
import type { Instruction, Operand } from "../../../program.ts";
import { type Fusion, float, type LowerContext, matrix, operand, pointer, sameOperand } from "../lower-context.ts";
import type { Command, Launch } from "../lower-types.ts";
import { groupOf } from "../order.ts";
import { results } from "./casts.ts";
import { overlap } from "./halves.ts";
import { areProductThenNorm, dropoutOf } from "./norms.ts";
import { asHalf } from "./product.ts";
import { type Geometry, isSmall, padding, type Shape, shapeOf, sizesOf, type Tile } from "./product-half.ts";

/** What a multiprocessor may have to bring, in bytes: more of it takes longer than the launches of their own. */
const mostBrought = 288 << 10;
/** Blocks of a cluster. */
const mostBlocks = 8;
/** Groups of warps that share a tile. */
const groups = 2;

/** How a cluster has its rows: `parts` of the columns, each `split` times for parts of what is contracted over. */
interface Plan extends Tile {
	readonly parts: number;
	readonly split: number;
}

/** Of tiles with rows as wide as a warp. */
function plansFor({ n, k }: Shape): Plan[] {
	const found: Plan[] = [];
	for (const columns of [96, 128, 64, 32]) {
		for (const rows of [64, 32]) {
			for (const split of [1, 2, 4, 8]) {
				const parts = n / columns;
				const whole = Number.isInteger(parts) && k % (32 * split) === 0;
				if (whole && parts * split <= mostBlocks) found.push({ rows, columns, down: 2, across: 2, parts, split });
			}
		}
	}
	return found;
}

/** Bytes that come to a multiprocessor: of operands, and of sums from other blocks. */
function brought({ m, k }: Shape, { rows, columns, parts, split }: Plan, { multiprocessors }: LowerContext): number {
	const blocks = Math.ceil(m / rows) * parts * split;
	const sums = 4 * groups * rows * columns * (1 - 1 / split);
	return Math.ceil(blocks / multiprocessors) * ((2 * (rows + columns) * k) / split + sums);
}

/** The constants and sizes by which least is brought; null where that is too much. */
function geometryOf(shape: Shape, context: LowerContext): Geometry | null {
	const { m, k, transposed } = shape;
	const cost = (each: Plan) => brought(shape, each, context);
	for (const plan of plansFor(shape).sort((one, other) => cost(one) - cost(other))) {
		if (cost(plan) > mostBrought) return null;
		const { rows, columns, down, across, parts, split } = plan;
		const beside = 4 * groups * rows * (columns + padding) + (8 * parts * rows) / split;
		const sizes = sizesOf(plan, { k: k / split, transposed }, { room: context.sharedMemory, beside });
		if (!sizes) continue;
		return {
			defines: { ...sizes.defines, GROUPS: groups, SPLIT: split, PARTS: parts },
			...{ grid: [parts * split, Math.ceil(m / rows), 1], block: [32 * down * across * groups, 1, 1] },
			shared: sizes.shared,
		};
	}
	return null;
}

/** Does what the norm writes leave alone what other blocks may yet read for the product? */
function areApart({ inputs }: Instruction, { outputs }: Instruction): boolean {
	const meets = (a: Operand | null, b: Operand | null) => !!a && !!b && a.space === b.space && overlap(a, b);
	// A block reads of a residual what it writes of the result itself.
	return outputs.every((output) =>
		inputs.every((input, i) => !meets(output, input) || (i === 4 && sameOperand(output, input))),
	);
}

const productNorm: Fusion = ([first, second], context) => {
	if (!context.halves || !context.clusters || !areProductThenNorm([first, second])) return null;
	const geometry = isSmall(first) && areApart(first, second) ? geometryOf(shapeOf(first), context) : null;
	if (!geometry) return null;
	const commands: Command[] = [];
	const [a, b] = [0, 1].map((i) => asHalf(operand(first.inputs, i), commands, first, context));
	context.next();
	const [, weight, bias] = second.inputs;
	const [y, stats] = second.outputs;
	const args = [
		...[matrix(a), matrix(b), pointer(first.inputs[2]), matrix(first.inputs[4]), matrix(first.outputs[0])],
		...[pointer(weight), pointer(bias), ...results(operand([y], 0), context), matrix(stats)],
		...[float(second.attributes.eps), ...dropoutOf(first)],
	];
	const launch: Launch = {
		...{ kind: "kernel", file: "product_half", kernel: "productNorm", ...geometry },
		...{ args, label: second.label },
	};
	return [groupOf([first, second], [...commands, launch])];
};

export const productNormFusions: readonly Fusion[] = [productNorm];
