/**
 * Every kernel of every backend against the op's reference in double precision: all cases, with operands that are parts of wider
 * matrices, in place where allowed, with optional results left out, and in parts. A backend that cannot run here is skipped by name.
 */
import { afterAll, describe, expect, test } from "vitest";
import type { BackendName } from "../../src/engine/backend.ts";
import { createRuntime } from "../../src/engine/backends/index.ts";
import { ReferenceRuntime } from "../../src/engine/backends/reference.ts";
import { opNamed, ops } from "../../src/engine/ops/index.ts";
import type { Instruction, Operand } from "../../src/engine/program.ts";
import { compare, jobOf, prepare } from "./conform.ts";

/** Backends and, for the library, the instruction sets it may have been compiled for. */
const candidates: { name: BackendName; isa?: string }[] = [
	{ name: "reference" },
	{ name: "wasm" },
	{ name: "cuda" },
	...["baseline", "avx2", "avx512", "neon"].map((isa) => ({ name: "native" as const, isa })),
];

for (const { name: backend, isa } of candidates) {
	const title = isa ? `${backend} ${isa}` : backend;
	const opened = await createRuntime(backend, { threads: 2, isa, precision: "fp32" }).catch(
		(error: Error) => error.message,
	);
	if (typeof opened === "string") {
		test.skip(`${title} cannot run here: ${opened}`, () => {});
		continue;
	}
	const exact = new ReferenceRuntime({ precision: "double" });
	afterAll(() => opened.close());

	describe(`${title} agrees with the reference`, () => {
		for (const op of ops.filter(({ view }) => !view)) {
			test(op.name, async () => {
				for (const one of op.cases) await compare(opened, exact, op, one);
			});
		}

		test("integers are moved bit by bit", async () => {
			const bits = Int32Array.from({ length: 21 }, (_, i) => 0x7f800000 + i * 0x01010101); // NaNs among them
			const place = (offset: number, rows: number, cols: number): Operand => ({
				space: "outputs",
				offset,
				rows,
				cols,
				ld: cols,
				dtype: "i32",
			});
			const table = place(0, 7, 3);
			const instructions: Instruction[] = [
				{
					op: opNamed("gather"),
					inputs: [table, place(21, 2, 1)],
					outputs: [place(23, 2, 3)],
					attributes: {},
					parts: 1,
					label: "",
				},
				{
					op: opNamed("copy"),
					inputs: [table],
					outputs: [place(29, 7, 3)],
					attributes: { accumulate: 0 },
					parts: 1,
					label: "",
				},
			];
			const { program } = prepare(opNamed("gelu"), opNamed("gelu").cases[0], { name: "" });
			const words = Int32Array.of(...bits, 5, 0, ...new Int32Array(27));
			opened.reserve("outputs", words.length);
			opened.write("outputs", 0, words);
			const { job, done } = jobOf(opened, { ...program, instructions, outputWords: words.length });
			await opened.run(job);
			done();
			const result = new Int32Array(words.length);
			opened.read("outputs", 0, result);
			expect([...result.subarray(23, 29)]).toEqual([...bits.subarray(15, 18), ...bits.subarray(0, 3)]);
			expect(result.subarray(29)).toEqual(bits);
		});
	});
}
