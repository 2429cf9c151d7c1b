/** The C ABI itself: random damage to the words of programs and jobs must end as a number, never as a crash. */
import fc from "fast-check";
import koffi from "koffi";
import { describe, expect, test } from "vitest";
import { encodeJob, encodeProgram } from "../../../src/engine/backends/encode.ts";
import { libraryPath } from "../../../src/engine/backends/native.ts";
import { instruction, operand, plain, program, slicedJob } from "./fixtures.ts";

const x = operand("inputs", 0, [4, 6]);
const y = operand("arena", 0, [4, 8]);
const body = program(
	"body",
	[
		instruction("matmul", [x, operand("parameters", 0, [8, 6]), null, null, null], [y, null], {
			...plain,
			transposeB: 1,
		}),
		instruction("add", [y, operand("constants", 0, [4, 8])], [operand("outputs", 0, [4, 8])]),
	],
	{ arenaWords: 32, constants: new Int32Array(32) },
);

/** Places of a word and what to put there: anything, or what lies near the edges. */
const damage = fc.array(
	fc.tuple(fc.nat(), fc.oneof(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), fc.integer({ min: -2, max: 40 }))),
	{ minLength: 1, maxLength: 4 },
);

function damaged(words: Int32Array, changes: [number, number][], length: number): Int32Array {
	const result = words.slice(0, length);
	for (const [place, value] of changes) result[place % Math.max(1, result.length)] = value;
	return result;
}

describe.skipIf(!libraryPath)("words of the C ABI", () => {
	const library = koffi.load(libraryPath as string);
	const create = library.func("void* rivulet_create(int threads, int isa)");
	const space = library.func("void* rivulet_space(void* runtime, int space, double words)");
	const load = library.func("int rivulet_program(void* runtime, const int32_t* words, int count)");
	const forget = library.func("void rivulet_forget(void* runtime, int program)");
	const run = library.func("int rivulet_run(void* runtime, const int32_t* job, int count)");
	const kernel = library.func("int rivulet_kernel(const char* name)");
	const destroy = library.func("void rivulet_destroy(void* runtime)");
	const words = encodeProgram(body, (name) => kernel(name));

	test("a program is loaded or refused", () => {
		const runtime = create(1, 0);
		expect(load(runtime, words, words.length)).toBe(0);
		fc.assert(
			fc.property(damage, fc.nat({ max: words.length }), fc.boolean(), (changes, cut, whole) => {
				const wrong = damaged(words, changes, whole ? words.length : cut);
				const id = load(runtime, wrong, wrong.length);
				if (id >= 0) forget(runtime, id);
				expect(id === 1 || (id < 0 && id >= -8)).toBe(true);
			}),
			{ numRuns: 3000 },
		);
		destroy(runtime);
	});

	test("a job is run or refused", () => {
		const runtime = create(2, 0);
		for (let i = 0; i < 10; i++) if (i !== 1 && i !== 2 && i !== 4) space(runtime, i, 256);
		const id = load(runtime, words, words.length) as number;
		const handle = { id, program: body };
		const job = encodeJob(slicedJob(handle, 3, 32, { gradientWords: 4 }));
		expect(run(runtime, job, job.length)).toBe(0);
		fc.assert(
			fc.property(damage, fc.nat({ max: job.length }), fc.boolean(), (changes, cut, whole) => {
				const wrong = damaged(job, changes, whole ? job.length : cut);
				const status = run(runtime, wrong, wrong.length);
				expect(status >= 0 && status <= 8).toBe(true);
			}),
			{ numRuns: 3000 },
		);
		destroy(runtime);
	});

	test("a kernel with a name has a number, another has none", () => {
		expect(kernel("matmul")).toBe(0);
		expect(kernel("matmu")).toBe(-1);
		expect(kernel("matmull")).toBe(-1);
	});

	test("what cannot be created is null", () => {
		expect(create(0, 0)).toBe(null);
		expect(create(65, 0)).toBe(null);
		expect(create(1, 99)).toBe(null);
	});
});
