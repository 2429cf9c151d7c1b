/**
 * Products of halves with what follows them in one launch, where they are so small that a launch of its own would take as long as they do.
 * Whatever does not suit is product.ts's.
 */
import type { Instruction } from "../../../program.ts";
import { inFours, type LowerContext, matrix, operand, pointer } from "../lower-context.ts";
import type { DeviceOperand, Launch } from "../lower-types.ts";
import { results } from "./casts.ts";
import { fits } from "./halves.ts";

/** Multiplications of a product above which cuBLASLt, which brings what blocks share once, is faster by more than a launch. */
const most = 2 ** 28;
/** What is contracted over, in stages of one of these. */
const inners = [64, 32, 16];
/** Stages that may be on their way at once; and for fewer than these a block is not worth its place. */
const mostAtOnce = 7;
const fewestStages = 3;
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

/** Constants of the kernels, and the shared memory of a block in bytes. */
interface Sizes {
	readonly defines: Record<string, number>;
	readonly shared: number;
}

/** For blocks that contract over k; null where there is no room, in bytes, for a few stages and what is `beside` them. */
function sizesOf(
	{ rows, columns, down, across }: Tile,
	{ k, transposed }: Pick<Shape, "k" | "transposed">,
	{ room, beside }: { readonly room: number; readonly beside: number },
): Sizes | null {
	const inner = innerOf(k);
	const halves = transposed
		? (rows + columns) * (inner + padding)
		: rows * (inner + padding) + inner * (columns + padding);
	const steps = k / inner;
	const fitting = Math.floor((room - beside) / (2 * halves));
	if (fitting < Math.min(fewestStages, steps)) return null;
	const stages = steps <= Math.min(fitting, mostAtOnce) ? steps + 1 : Math.min(fitting, mostAtOnce + 1);
	return {
		defines: {
			...{ ROWS: rows, COLUMNS: columns, DOWN: down, ACROSS: across },
			...{ INNER: inner, STAGES: stages, TRANSPOSED: Number(transposed) },
		},
		shared: 2 * Math.min(stages, steps) * halves + beside,
	};
}

export type Geometry = Sizes & Pick<Launch, "grid" | "block">;

/** The tile for which a multiprocessor has to bring least; as many blocks resident as there are for it, if they leave one another room. */
function geometryOf(shape: Shape, { multiprocessors, sharedMemory }: LowerContext): Geometry | null {
	const turns = (tile: Tile) => {
		const [across, down] = blocksOf(shape, tile);
		return Math.ceil((across * down) / multiprocessors);
	};
	const brought = (tile: Tile) => turns(tile) * (tile.rows + tile.columns);
	for (const tile of [...tiles].sort((one, other) => brought(one) - brought(other))) {
		const beside = 2 * tile.rows * (tile.columns + tile.across * padding);
		for (let resident = Math.min(mostResident, turns(tile)); resident > 0; resident--) {
			const sizes = sizesOf(tile, shape, { room: (sharedMemory + reserved) / resident - reserved, beside });
			if (sizes) return { ...sizes, grid: blocksOf(shape, tile), block: [32 * tile.down * tile.across, 1, 1] };
		}
	}
	return null;
}

/** Of a stage; 0 where k is no number of sixteens. */
function innerOf(k: number): number {
	return inners.find((each) => k % each === 0) ?? 0;
}

/** Are an instruction's a and b one product, small enough, that the kernels can read? */
function isSmall(instruction: Instruction): boolean {
	const { inputs, attributes } = instruction;
	const { m, n, k } = shapeOf(instruction);
	if (attributes.transposeA || attributes.batch > 1 || m * n * k > most || innerOf(k) === 0 || n % 8 !== 0)
		return false;
	return [operand(inputs, 0), operand(inputs, 1)].every((each) => each.space !== "arena" || fits(each));
}

/** The constants and sizes by which an instruction is one launch; null where it does not suit. */
export function productHalfGeometry(instruction: Instruction, context: LowerContext): Geometry | null {
	const { inputs, outputs, attributes } = instruction;
	const [, , , factor, residual] = inputs;
	const { activation, accumulate, p } = attributes;
	const { halves } = context;
	if (!halves || activation === 0 || accumulate || p > 0 || residual || !isSmall(instruction)) return null;
	if (factor && !(fits(factor) && halves.madeAlone(factor))) return null;
	return outputs.every((each) => !each || inFours(each)) ? geometryOf(shapeOf(instruction), context) : null;
}

/** The launch; all operands but the bias in halves. */
export function productHalf(
	instruction: Instruction,
	{ defines, ...sizes }: Geometry,
	{ a, b, factor, z }: { [name in "a" | "b"]: DeviceOperand } & { [name in "factor" | "z"]: DeviceOperand | null },
	context: LowerContext,
): Launch {
	const y = results(operand(instruction.outputs, 0), context);
	return {
		...{ kind: "kernel", file: "product_half", kernel: "productHalf", ...sizes },
		defines: { ...defines, ACTIVATION: instruction.attributes.activation },
		args: [matrix(a), matrix(b), pointer(instruction.inputs[2]), matrix(factor), ...y, matrix(z)],
		label: instruction.label,
	};
}
