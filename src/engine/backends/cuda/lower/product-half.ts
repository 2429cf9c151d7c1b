/**
 * Products of halves with what follows them in one launch, where they are so small that a launch of its own would take as long as they do.
 * Whatever does not suit is product.ts's.
 */
import type { Instruction, Operand } from "../../../program.ts";
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
const padding = 8;

/** A block's part of the result, and its warps. */
interface Tile {
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
interface Shape {
	readonly m: number;
	readonly n: number;
	readonly k: number;
	readonly transposed: boolean;
}

function shapeOf({ inputs, outputs, attributes }: Instruction): Shape {
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

/** Constants of the kernels, and the shared memory of a block in bytes. */
function sizesOf(shape: Shape, { rows, columns, down, across }: Tile, { multiprocessors, sharedMemory }: LowerContext) {
	const { k, transposed } = shape;
	const inner = inners.find((each) => k % each === 0) ?? k;
	const stage =
		(rows + (transposed ? columns : 0)) * (inner + padding) + (transposed ? 0 : inner * (columns + padding));
	const between = rows * (columns + across * padding);
	const [wide, tall] = blocksOf(shape, { rows, columns, down, across });
	const resident = Math.min(mostResident, Math.ceil((wide * tall) / multiprocessors));
	const room = Math.floor(((sharedMemory + reserved) / resident - reserved) / 2 - between);
	const steps = k / inner;
	const fitting = Math.floor(room / stage);
	const stages = steps <= Math.min(fitting, mostAtOnce) ? steps + 1 : Math.min(fitting, mostAtOnce + 1);
	return {
		defines: {
			...{ ROWS: rows, COLUMNS: columns, DOWN: down, ACROSS: across },
			...{ INNER: inner, STAGES: stages, TRANSPOSED: Number(transposed) },
		},
		shared: 2 * (Math.min(stages, steps) * stage + between),
	};
}

/** Can this be one launch? */
export function isSmall(instruction: Instruction, context: LowerContext): boolean {
	const { inputs, outputs, attributes } = instruction;
	const [a, b, , factor, residual] = inputs;
	const { halves } = context;
	const { transposeA, batch, activation, accumulate, p } = attributes;
	if (!halves || activation === 0 || transposeA || batch > 1 || accumulate || p > 0 || residual) return false;
	const { m, n, k } = shapeOf(instruction);
	if (m * n * k > most || k % 16 !== 0 || n % 8 !== 0) return false;
	if (factor && !(fits(factor) && halves.madeAlone(factor))) return false;
	const whole = (each: Operand | null) => each?.space !== "arena" || fits(each);
	return [a, b].every(whole) && outputs.every((each) => !each || inFours(each));
}

/** The launch for such an instruction; all operands but the bias in halves. */
export function productHalf(
	instruction: Instruction,
	{ a, b, factor, z }: { [name in "a" | "b"]: DeviceOperand } & { [name in "factor" | "z"]: DeviceOperand | null },
	context: LowerContext,
): Launch {
	const shape = shapeOf(instruction);
	const tile = tileOf(shape, context);
	const { defines, shared } = sizesOf(shape, tile, context);
	const y = results(operand(instruction.outputs, 0), context);
	return {
		...{ kind: "kernel", file: "product_half", kernel: "productHalf" },
		defines: { ...defines, ACTIVATION: instruction.attributes.activation },
		...{ grid: blocksOf(shape, tile), block: [32 * tile.down * tile.across, 1, 1], shared },
		args: [matrix(a), matrix(b), pointer(instruction.inputs[2]), matrix(factor), ...y, matrix(z)],
		label: instruction.label,
	};
}
