/** The matrix product in every compiled form against loops in double precision, and what it promises about the order of sums. */
import { afterAll, describe, expect, test } from "vitest";
import type { Runtime } from "../../../src/engine/backend.ts";
import type { Attributes } from "../../../src/engine/graph.ts";
import type { Operand } from "../../../src/engine/program.ts";
import { assertClose } from "../close.ts";
import {
	compiledForms,
	fill,
	instruction,
	noise,
	open,
	operand,
	plain,
	program,
	readAll,
	updateJob,
} from "./fixtures.ts";

interface Sizes {
	rows: number;
	inner: number;
	columns: number;
	batch?: number;
	/** Words between the end of a row and the start of the next. */
	gap?: number;
	transposeA?: boolean;
	transposeB?: boolean;
	/** b lies among the parameters, where runtimes keep a packed form of it. */
	weight?: boolean;
	bias?: boolean;
	residual?: boolean;
	accumulate?: boolean;
	parts?: number;
}

interface Placed {
	a: Operand;
	b: Operand;
	bias: Operand | null;
	residual: Operand | null;
	y: Operand;
	words: number;
}

/** All operands one after the other in `outputs`, b perhaps in `parameters`. */
function place({
	rows,
	inner,
	columns,
	batch = 1,
	gap = 0,
	transposeA,
	transposeB,
	weight,
	bias,
	residual,
}: Sizes): Placed {
	let at = 3;
	const next = (r: number, c: number) => {
		const where = operand("outputs", at, [r, c], c + gap);
		at += r * (c + gap) + 1;
		return where;
	};
	const a = transposeA ? next(batch * inner, rows) : next(batch * rows, inner);
	const shapeOfB = transposeB ? ([batch * columns, inner] as const) : ([batch * inner, columns] as const);
	const b = weight ? operand("parameters", 5, shapeOfB, shapeOfB[1] + gap) : next(...shapeOfB);
	const y = next(batch * rows, columns);
	return {
		a,
		b,
		y,
		bias: bias ? next(1, columns) : null,
		residual: residual ? next(batch * rows, columns) : null,
		words: at,
	};
}

function attributesOf({ batch = 1, transposeA, transposeB, accumulate }: Sizes): Attributes {
	return {
		...plain,
		batch,
		transposeA: Number(!!transposeA),
		transposeB: Number(!!transposeB),
		accumulate: Number(!!accumulate),
	};
}

/** Run one product; returns y without gaps, and what the loops give. */
function multiply(runtime: Runtime, sizes: Sizes): { actual: Float32Array; expected: Float64Array } {
	const { a, b, bias, residual, y, words } = place(sizes);
	const memory = noise(words, sizes.rows * 64 + sizes.columns);
	const weights = noise(5 + b.rows * b.ld, sizes.inner + 7);
	fill(runtime, "outputs", memory);
	fill(runtime, "parameters", weights);
	const one = instruction("matmul", [a, b, bias, null, residual], [y, null], attributesOf(sizes), sizes.parts ?? 1);
	const handle = runtime.load(program("update", [one]));
	runtime.runSync(updateJob(handle));
	runtime.forget(handle);
	const after = readAll(runtime, "outputs", words);
	const actual = new Float32Array(y.rows * y.cols).map((_, i) => after[indexOf(y, Math.floor(i / y.cols), i % y.cols)]);
	return { actual, expected: loops(sizes, memory, weights) };
}

function indexOf({ offset, ld }: Operand, row: number, column: number): number {
	return offset + row * ld + column;
}

function loops(sizes: Sizes, memory: Float32Array, weights: Float32Array): Float64Array {
	const { rows, inner, columns, batch = 1, transposeA, transposeB, weight, accumulate } = sizes;
	const { a, b, bias, residual, y } = place(sizes);
	const other = weight ? weights : memory;
	const result = new Float64Array(batch * rows * columns);
	for (let r = 0; r < batch * rows; r++) {
		const n = Math.floor(r / rows);
		for (let c = 0; c < columns; c++) {
			let sum = bias ? memory[indexOf(bias, 0, c)] : 0;
			for (let k = 0; k < inner; k++) {
				const left = transposeA ? indexOf(a, n * inner + k, r % rows) : indexOf(a, r, k);
				const right = transposeB ? indexOf(b, n * columns + c, k) : indexOf(b, n * inner + k, c);
				sum += memory[left] * other[right];
			}
			if (residual) sum += memory[indexOf(residual, r, c)];
			if (accumulate) sum += memory[indexOf(y, r, c)];
			result[r * columns + c] = sum;
		}
	}
	return result;
}

const transpositions = [0, 1].flatMap((a) => [0, 1].map((b) => ({ transposeA: a === 1, transposeB: b === 1 })));

for (const { name, isa, title } of compiledForms) {
	const opened = await open(name, { threads: 2, isa });
	if (typeof opened === "string") {
		test.skip(`${title} cannot run here: ${opened}`, () => {});
		continue;
	}
	afterAll(() => opened.close());

	describe(`matmul, ${title}`, () => {
		const check = (sizes: Sizes) => {
			const { actual, expected } = multiply(opened, sizes);
			assertClose(JSON.stringify(sizes), expected, actual, 2e-6 * Math.sqrt(sizes.inner));
		};

		test("every number of rows and columns from 1 to 40", () => {
			for (let n = 1; n <= 40; n++) {
				const m = ((n * 17) % 40) + 1;
				const inner = ((n * 7) % 40) + 1;
				const transposition = transpositions[n % 4];
				check({ rows: n, inner, columns: m, gap: n % 3, ...transposition });
				check({ rows: m, inner, columns: n, gap: 5, weight: n % 2 === 0, ...transposition });
			}
		});

		test("deeper than one stretch, with and without an epilogue", () => {
			for (const transposition of transpositions) {
				for (const more of [
					{},
					{ accumulate: true },
					{ bias: true, residual: true },
					{ bias: true, accumulate: true },
				]) {
					check({ rows: 13, inner: 2100, columns: 37, ...transposition, ...more });
					check({ rows: 13, inner: 600, columns: 64, weight: true, ...transposition, ...more });
				}
			}
		});

		test("wider than what stays in the cache", () => {
			check({ rows: 5, inner: 1500, columns: 150, transposeB: true });
			check({ rows: 5, inner: 1500, columns: 150, weight: true, accumulate: true });
		});

		test("batches, each with its own or one common right side", () => {
			for (const transposition of transpositions)
				check({ rows: 7, inner: 9, columns: 11, batch: 3, gap: 2, ...transposition });
		});

		test("a row's result depends neither on the rows beside it nor on the parts", () => {
			for (const weight of [false, true]) {
				const sizes = { rows: 29, inner: 300, columns: 70, weight, transposeB: true, bias: true };
				const { actual: whole } = multiply(opened, sizes);
				expect(multiply(opened, { ...sizes, parts: 3 }).actual).toEqual(whole);
				for (const rows of [1, 2, 12, 28]) expect(sameRows(opened, sizes, rows)).toEqual(whole.slice(0, rows * 70));
			}
		});

		test("a packed weight follows its original when told", () => {
			const { a, b, y, words } = place({ rows: 2, inner: 4, columns: 3, weight: true });
			fill(opened, "outputs", noise(words, 1));
			fill(opened, "parameters", noise(5 + 12, 2));
			const handle = opened.load(
				program("update", [instruction("matmul", [a, b, null, null, null], [y, null], plain)]),
			);
			const result = (weightsChanged: boolean) => {
				opened.runSync(updateJob(handle, { weightsChanged }));
				return readAll(opened, "outputs", words).slice(y.offset, y.offset + 6);
			};
			const first = result(false); // packed although not told: it never was
			fill(
				opened,
				"parameters",
				noise(5 + 12, 2).map((value) => 2 * value),
			);
			expect(result(true)).toEqual(first.map((value) => 2 * value));
			opened.forget(handle);
		});
	});
}

/** The first rows of a product alone, from the same values. */
function sameRows(runtime: Runtime, sizes: Sizes, rows: number): Float32Array {
	const { a, b, bias, y, words } = place(sizes);
	fill(runtime, "outputs", noise(words, sizes.rows * 64 + sizes.columns));
	const [left, result] = [a, y].map((whole) => ({ ...whole, rows }));
	const handle = runtime.load(
		program("update", [instruction("matmul", [left, b, bias, null, null], [result, null], attributesOf(sizes))]),
	);
	runtime.runSync(updateJob(handle));
	runtime.forget(handle);
	return readAll(runtime, "outputs", words).slice(y.offset, y.offset + rows * y.ld);
}
