/**
 * Products of halves with what follows them in one launch, where they are so small that a launch of its own would take as long as they do.
 * Whatever does not suit is product.ts's.
 */
import type { Instruction } from "../../../program.ts";
import { inFours, type LowerContext, matrix, operand, pointer } from "../lower-context.ts";
import type { DeviceOperand, Launch } from "../lower-types.ts";
import { results } from "./casts.ts";
import { fits } from "./halves.ts";

/** Multiplications of a product above which cuBLASLt's better use of the device outweighs a launch saved. */
const most = 2 ** 30;
/** What is contracted over, in stages of one of these. */
const inners = [64, 32, 16];
/** Stages that may be on their way at once. */
const mostAtOnce = 7;
/** Blocks that are to be resident on a multiprocessor; and what each takes of its shared memory beside its own. */
const mostResident = 3;
const reserved = 1024;
/** Halves of padding of a row in shared memory. */
export const padding = 8;

/** A block's part of the result, and its warps. */
export interface Tile {
	readonly rows: number;
	readonly columns: number;
	readonly down: number;
	readonly across: number;
}

const tiles: readonly Tile[] = [
	{ rows: 128, columns: 96, down: 4, across: 2 },
	{ rows: 128, columns: 64, down: 4, across: 2 },
	{ rows: 64, columns: 96, down: 2, across: 2 },
	{ rows: 64, columns: 64, down: 2, across: 2 },
	{ rows: 64, columns: 32, down: 2, across: 2 },
	{ rows: 32, columns: 32, down: 2, across: 2 },
];

/** a of m x k, b of n x k (transposed) or k x n. */
export interface Shape {
	readonly m: number;
	readonly n: number;
	readonly k: number;
	readonly transposed: boolean;
}

export function shapeOf({ inputs, outputs, attributes }: Instruction): Shape {
	const y = operand(outputs, 0);
	return { m: y.rows, n: y.cols, k: operand(inputs, 0).cols, transposed: !!attributes.transposeB };
}

const blocksOf = ({ m, n }: Shape, { rows, columns }: Tile) =>
	[Math.ceil(n / columns), Math.ceil(m / rows), 1] as const;

/** The tile for which a multiprocessor has to bring least. */
function tileOf(shape: Shape, { multiprocessors }: LowerContext): Tile {
	const brought = (tile: Tile) => {
		const [across, down] = blocksOf(shape, tile);
		return Math.ceil((across * down) / multiprocessors) * (tile.rows + tile.columns);
	};
	return tiles.reduce((best, each) => (brought(each) < brought(best) ? each : best));
}

/**
 * Constants of the kernels for a tile whose block contracts over `inner` of what there is, and the shared memory in bytes: that of its stages,
 * for which there is `room`, and `beside` them.
 */
export function sizesOf(
	{ rows, columns, down, across }: Tile,
	{ k, transposed }: Pick<Shape, "k" | "transposed">,
	{ room, beside }: { readonly room: number; readonly beside: number },
): { defines: Record<string, number>; shared: number } {
	const inner = innerOf(k);
	const halves = transposed
		? (rows + columns) * (inner + padding)
		: rows * (inner + padding) + inner * (columns + padding);
	const steps = k / inner;
	const fitting = Math.floor((room - beside) / (2 * halves));
	const stages = steps <= Math.min(fitting, mostAtOnce) ? steps + 1 : Math.min(fitting, mostAtOnce + 1);
	return {
		defines: {
			...{ ROWS: rows, COLUMNS: columns, DOWN: down, ACROSS: across },
			...{ INNER: inner, STAGES: stages, TRANSPOSED: Number(transposed) },
		},
		shared: 2 * Math.min(stages, steps) * halves + beside,
	};
}

/** Of a stage; 0 where k is no number of sixteens. */
function innerOf(k: number): number {
	return inners.find((each) => k % each === 0) ?? 0;
}

/** Are an instruction's a and b one product, small enough, that the kernels can read? */
export function isSmall(instruction: Instruction): boolean {
	const { inputs, attributes } = instruction;
	const { m, n, k } = shapeOf(instruction);
	if (attributes.transposeA || attributes.batch > 1 || m * n * k > most || innerOf(k) === 0 || n % 8 !== 0)
		return false;
	return [operand(inputs, 0), operand(inputs, 1)].every((each) => each.space !== "arena" || fits(each));
}

/** Can it be one launch with what follows it? */
export function suitsProductHalf(instruction: Instruction, { halves }: LowerContext): boolean {
	const { inputs, outputs, attributes } = instruction;
	const [, , , factor, residual] = inputs;
	const { activation, accumulate, p } = attributes;
	if (!halves || activation === 0 || accumulate || p > 0 || residual || !isSmall(instruction)) return false;
	if (factor && !(fits(factor) && halves.madeAlone(factor))) return false;
	return outputs.every((each) => !each || inFours(each));
}

/** The launch for such an instruction; all operands but the bias in halves. */
export function productHalf(
	instruction: Instruction,
	{ a, b, factor, z }: { [name in "a" | "b"]: DeviceOperand } & { [name in "factor" | "z"]: DeviceOperand | null },
	context: LowerContext,
): Launch {
	const shape = shapeOf(instruction);
	const tile = tileOf(shape, context);
	const grid = blocksOf(shape, tile);
	const { multiprocessors, sharedMemory } = context;
	const resident = Math.min(mostResident, Math.ceil((grid[0] * grid[1]) / multiprocessors));
	const room = (sharedMemory + reserved) / resident - reserved;
	const beside = 2 * tile.rows * (tile.columns + tile.across * padding);
	const { defines, shared } = sizesOf(tile, shape, { room, beside });
	const y = results(operand(instruction.outputs, 0), context);
	return {
		...{ kind: "kernel", file: "product_half", kernel: "productHalf" },
		defines: { ...defines, ACTIVATION: instruction.attributes.activation },
		...{ grid, block: [32 * tile.down * tile.across, 1, 1], shared },
		args: [matrix(a), matrix(b), pointer(instruction.inputs[2]), matrix(factor), ...y, matrix(z)],
		label: instruction.label,
	};
}
