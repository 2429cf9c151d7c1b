/** Sums of columns and of everything, scatter-add, and the optimiser. Long sums take two launches: parts, then the parts' sum. */
import type { Instruction, Operand } from "../../../program.ts";
import {
	float,
	inFours,
	int,
	type LowerContext,
	type Lowering,
	matrix,
	operand,
	pointer,
	strided,
} from "../lower-context.ts";
import type { Argument, Command, DeviceOperand, Launch } from "../lower-types.ts";
import { asItIs } from "./casts.ts";

function launch(
	kernel: string,
	grid: readonly [number, number],
	block: readonly [number, number],
	args: Argument[],
	label: string,
): Launch {
	return { kind: "kernel", file: "sums", kernel, grid: [...grid, 1], block: [...block, 1], shared: 0, args, label };
}

/** Rows, and the norm whose values they are multiplied by. */
interface Summed {
	readonly x: DeviceOperand;
	readonly norm?: { readonly n: Operand; readonly stats: Operand };
}

/** Columns of a block, and the blocks that stand side by side. */
function acrossOf({ x, norm }: Summed, y: DeviceOperand): { wide: boolean; across: number } {
	const wide = [x, norm?.n, y].every((each) => !each || inFours(each)) && x.cols >= 64;
	return { wide, across: Math.ceil(x.cols / (wide ? 128 : 32)) };
}

/** y (count x cols) (+)= sums over `count` chunks of the rows. */
function chunkSums(summed: Summed, y: DeviceOperand, count: number, accumulate: number, label: string): Launch {
	const { x, norm } = summed;
	const { wide, across } = acrossOf(summed, y);
	const args = [matrix(x), matrix(norm?.n ?? null), matrix(norm?.stats ?? null), matrix(y)];
	args.push(int(Math.ceil(x.rows / count)), int(accumulate));
	return launch(wide ? "columnSums4" : "columnSums", [across, count], [32, 8], args, label);
}

/** y (1 x cols) (+)= sum over the rows of parts, few enough for one launch. */
export function sumOfParts(parts: DeviceOperand, y: DeviceOperand, accumulate: number, label: string): Launch {
	return chunkSums({ x: parts }, y, 1, accumulate, label);
}

/** y (1 x cols) (+)= sum over the rows: chunks of rows first where there are many. */
function columns(
	summed: Summed,
	y: DeviceOperand,
	{ accumulate }: Instruction["attributes"],
	label: string,
	context: LowerContext,
): Command[] {
	const { rows, cols } = summed.x;
	const { wide, across } = acrossOf(summed, y);
	const most = Math.ceil(((wide ? 4 : 16) * context.multiprocessors) / across);
	const chunks = Math.max(1, Math.min(Math.ceil(rows / 64), most));
	if (chunks === 1) return [chunkSums(summed, y, 1, accumulate, label)];
	const parts = context.scratch(chunks, cols);
	return [chunkSums(summed, parts, chunks, 0, label), sumOfParts(parts, y, accumulate, label)];
}

/** y (1 x 1) = sum of a, or of a b. */
function whole(instruction: Instruction, a: Operand, b: Operand | null, context: LowerContext): Command[] {
	const y = operand(instruction.outputs, 0);
	const { accumulate } = instruction.attributes;
	const { label } = instruction;
	const blocks = Math.min(128, Math.ceil((a.rows * a.cols) / 8192));
	if (blocks === 1) return [sumsOf(a, b, y, 1, accumulate, label)];
	const parts = context.scratch(1, blocks);
	return [sumsOf(a, b, parts, blocks, 0, label), sumsOf(parts, null, y, 1, accumulate, label)];
}

/** y (1 x blocks) (+)= sums of a, or of a b, each over a block's share. */
export function sumsOf(
	a: DeviceOperand,
	b: DeviceOperand | null,
	y: DeviceOperand,
	blocks: number,
	accumulate: number,
	label: string,
): Launch {
	return launch("sums", [blocks, 1], [512, 1], [matrix(a), matrix(b), pointer(y), int(accumulate)], label);
}

/** Ids that a warp of kernels/scatter.cu looks at together. */
const stretch = 128;

export const sumLowerings: Readonly<Record<string, Lowering>> = {
	columnSum: ({ inputs, outputs, attributes, label }, context) =>
		columns({ x: operand(inputs, 0) }, operand(outputs, 0), attributes, label, context),
	layerNormWeightGrad: (instruction, context) => {
		const { inputs, outputs, attributes, label } = instruction;
		const norm = { n: operand(inputs, 1), stats: operand(inputs, 2) };
		const commands: Command[] = [];
		const x = asItIs(operand(inputs, 0), commands, instruction, context);
		return [...commands, ...columns({ x, norm }, operand(outputs, 0), attributes, label, context)];
	},
	sum: (instruction, context) => whole(instruction, operand(instruction.inputs, 0), null, context),
	dot: (instruction, context) => {
		const { inputs } = instruction;
		return whole(instruction, operand(inputs, 0), operand(inputs, 1), context);
	},
	scatterAdd: (instruction, context) => {
		const { inputs, outputs, attributes, label } = instruction;
		const [dy, ids] = [operand(inputs, 0), operand(inputs, 1)];
		const table = operand(outputs, 0);
		const defines = { WORDS: Math.min(32, Math.ceil(dy.cols / 32)) };
		const scatter = (kernel: string, warps: number, chunks: number, args: Argument[]): Launch => {
			const one = launch(kernel, [Math.ceil(warps / 8), chunks], [256, 1], args, label);
			return { ...one, file: "scatter", defines };
		};
		if (table.rows > dy.rows) {
			const sparse = scatter("scatterAddSparse", dy.rows, 1, [dy, ids, table].map(matrix));
			return attributes.accumulate ? [sparse] : [{ kind: "zero", operand: table, label }, sparse];
		}
		const wanted = Math.ceil((32 * context.multiprocessors) / table.rows);
		const chunks = Math.max(1, Math.min(wanted, Math.ceil(dy.rows / 256), 512));
		const chunkRows = Math.ceil(dy.rows / chunks / stretch) * stretch;
		// Every row of the table goes through all ids: where that is much, it had better know which of them to pass over.
		const many = table.rows * dy.rows > 2 ** 24;
		const stretches = Math.ceil(dy.rows / stretch);
		const ranges = many ? context.scratch(stretches, 2) : null;
		const before = many ? [scatter("idRanges", stretches, 1, [matrix(ids), pointer(ranges)])] : [];
		const step = (to: DeviceOperand, count: number, add: number) =>
			scatter("scatterAdd", table.rows, count, [
				...[...[dy, ids, to].map(matrix), pointer(ranges)],
				...[table.rows, chunkRows, add].map(int),
			]);
		if (chunks === 1) return [...before, step(table, 1, attributes.accumulate)];
		const parts = context.scratch(chunks * table.rows, table.cols);
		const flat: DeviceOperand = { ...parts, rows: chunks, cols: table.rows * table.cols, ld: table.rows * table.cols };
		const to: DeviceOperand = { ...table, rows: 1, cols: flat.cols, ld: flat.cols };
		if (table.ld !== table.cols) throw new Error("[scatterAdd] expected a table without gaps");
		return [...before, step(parts, chunks, 0), ...columns({ x: flat }, to, attributes, label, context)];
	},
	squareSum: ({ inputs, outputs, label }) => {
		const [x, partials] = [operand(inputs, 0), operand(outputs, 0)];
		const args = [pointer(x), pointer(partials), int(x.cols), int(partials.cols)];
		return [launch("squareSum", [partials.cols, 1], [1024, 1], args, label)];
	},
	clipFactor: ({ inputs, outputs, attributes, label }) => {
		const partials = operand(inputs, 0);
		const results = [0, 1].map((i) => pointer(operand(outputs, i)));
		const args = [pointer(partials), int(partials.cols), ...results, float(attributes.max)];
		return [launch("clipFactor", [1, 1], [1, 1], args, label)];
	},
	adam: (instruction, context) => {
		const { inputs, attributes } = instruction;
		const count = operand(inputs, 0).cols;
		const wide = [0, 1, 2, 3].every((i) => inFours({ ...operand(inputs, i), cols: 4, ld: 4 }));
		const args = [...inputs.map(pointer), int(count), float(attributes.decay), int(wide ? 1 : 0)];
		return [strided("sums", "adam", Math.ceil(count / (wide ? 4 : 1)), args, instruction, context)];
	},
	movingAverage: (instruction, context) => {
		const { cols } = operand(instruction.inputs, 0);
		return [
			strided("sums", "movingAverage", cols, [...instruction.inputs.map(pointer), int(cols)], instruction, context),
		];
	},
};
