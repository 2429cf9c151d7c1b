/** Commands wait for what they read or overwrite, directly or through others, and for nothing else. */
import { expect, test } from "vitest";
import type { Command, DeviceOperand, Product } from "../../../../src/engine/backends/cuda/lower-types.ts";
import { dependenciesOf, type Group } from "../../../../src/engine/backends/cuda/order.ts";
import type { Operand } from "../../../../src/engine/program.ts";

const at = (offset: number, rows: number, cols: number, ld = cols, space: Operand["space"] = "arena"): Operand => ({
	...{ space, offset, rows, cols, ld, dtype: "f32" as const },
});
const command = { kind: "zero", operand: at(0, 1, 1), label: "" } as const satisfies Command;
const group = (reads: Operand[], writes: Operand[], commands = 1): Group => ({
	commands: Array.from({ length: commands }, () => command),
	reads,
	writes,
});

test("a reader waits for the writer, a writer for readers and the writer before", () => {
	const x = at(0, 4, 4);
	const groups = [group([], [x]), group([x], [at(100, 1, 1)]), group([x], [at(200, 1, 1)]), group([], [x])];
	expect(dependenciesOf(groups)).toEqual([[], [0], [0], [2, 1]]);
});

test("what follows from others is left out", () => {
	const [a, b, c] = [0, 100, 200].map((offset) => at(offset, 2, 2));
	const groups = [group([], [a]), group([a], [b]), group([a, b], [c]), group([a, c], [])];
	expect(dependenciesOf(groups)).toEqual([[], [0], [1], [2]]);
});

test("columns side by side do not meet, rows that overlap do", () => {
	const [left, right, middle] = [at(0, 8, 4, 12), at(4, 8, 8, 12), at(2, 8, 4, 12)];
	expect(dependenciesOf([group([], [left]), group([], [right])])).toEqual([[], []]);
	expect(dependenciesOf([group([], [left]), group([middle], [])])).toEqual([[], [0]]);
	expect(dependenciesOf([group([], [right]), group([middle], [])])).toEqual([[], [0]]);
	// Other distances of rows: whatever lies between the first word and the last.
	expect(dependenciesOf([group([], [left]), group([at(5, 1, 2)], [])])).toEqual([[], [0]]);
});

test("columns of halves side by side do not meet", () => {
	const halves = (offset: number, cols: number) =>
		({ ...at(offset, 8, cols, 24), space: "scratch", dtype: "half" }) as const;
	const made = (operand: DeviceOperand): Group => ({ ...group([], []), commands: [{ ...command, operand }] });
	expect(dependenciesOf([made(halves(0, 8)), made(halves(4, 16))])).toEqual([[], []]);
	expect(dependenciesOf([made(halves(0, 10)), made(halves(4, 16))])).toEqual([[], [0]]);
	// No whole number of words: all from the first to the last.
	expect(dependenciesOf([made(halves(0, 7)), made(halves(4, 16))])).toEqual([[], [0]]);
});

test("the same place of another space, and readers of one value, do not wait", () => {
	const groups = [
		group([], [at(0, 1, 8)]),
		group([], [at(0, 1, 8, 8, "state")]),
		group([at(0, 1, 8)], []),
		group([at(0, 1, 4)], []),
	];
	expect(dependenciesOf(groups)).toEqual([[], [], [0], [0]]);
});

test("commands of one instruction follow one another, its successors wait for the last", () => {
	const x = at(0, 1, 4);
	expect(dependenciesOf([group([], [x], 3), group([x], [])])).toEqual([[], [0], [1], [2]]);
});

test("operands that span many pages", () => {
	const large = at(0, 4, 3 << 20);
	const groups = [group([], [large]), group([at(11 << 20, 1, 5)], []), group([at(13 << 20, 1, 5)], [])];
	expect(dependenciesOf(groups)).toEqual([[], [0], []]);
});

const operandOf = (offset: number) => ({ ...at(offset, 8, 8), dtype: "f32" as const });

test("products that may run side by side have workspaces of their own", () => {
	const product: Product = {
		...{ kind: "product", a: operandOf(0), b: operandOf(64), y: operandOf(128), c: null, bias: null },
		...{ transposeA: false, transposeB: false, batch: 1, label: "" },
		...{ strideA: 0, strideB: 0, strideC: 0, strideY: 0, workspace: 0 },
	};
	const one = (place: number): Group => ({ commands: [product], reads: [], writes: [at(place, 8, 8)] });
	// The same workspace: they must not meet.
	expect(dependenciesOf([one(0), one(1000)])).toEqual([[], [0]]);
	const other: Group = { ...one(1000), commands: [{ ...product, workspace: 1 }] };
	expect(dependenciesOf([one(0), other])).toEqual([[], []]);
});
