/** What the compiled runtimes promise beyond the kernels: order, threads, memory, and refusal of what does not fit. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Runtime } from "../../../src/engine/backend.ts";
import type { Instruction, Job, Program } from "../../../src/engine/program.ts";
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
	slicedJob,
	updateJob,
} from "./fixtures.ts";

const rows = 24;
const width = 40;
const stride = rows * width;
const gradientWords = width * width;

/** y = dropout(x W) summed into the outputs, and W's gradient as x^T y: enough to need arena, weights, masks and slices. */
function body(): Program {
	const x = operand("inputs", 0, [rows, width]);
	const weight = operand("parameters", 0, [width, width]);
	const y = operand("arena", 16, [rows, width]);
	const masked = { ...plain, p: 0.3, dropoutId: 2, rowsPerSequence: rows, sequences: 1, activation: 1 };
	const gradient = { ...plain, transposeA: 1, accumulate: 1 };
	return program(
		"body",
		[
			instruction("matmul", [x, weight, null, null, null], [y, null], masked),
			instruction("gelu", [y], [operand("outputs", 0, [rows, width])]),
			instruction("matmul", [x, y, null, null, null], [operand("gradients", 0, [width, width]), null], gradient),
		],
		{ arenaWords: 16 + rows * width },
	);
}

/** The sum of all slices' gradients, in parts. */
function total(slices: number): Program {
	const from = operand("slices", 0, [slices, gradientWords]);
	return program("update", [
		instruction("columnSum", [from], [operand("optimizer", 0, [1, gradientWords])], { accumulate: 0 }, 5),
	]);
}

async function step(runtime: Runtime, slices: number, more: Partial<Job> = {}): Promise<Float32Array[]> {
	fill(runtime, "inputs", noise(slices * stride, 3));
	fill(runtime, "parameters", noise(gradientWords, 4));
	fill(runtime, "slices", noise(slices * gradientWords, 5)); // to be zeroed by the run
	runtime.reserve("outputs", slices * stride);
	runtime.reserve("optimizer", gradientWords);
	const [forward, update] = [runtime.load(body()), runtime.load(total(slices))];
	await runtime.run(
		slicedJob(forward, slices, stride, { gradientWords, updates: [{ program: update, stateOffset: 0 }], ...more }),
	);
	runtime.forget(forward);
	runtime.forget(update);
	return [readAll(runtime, "outputs", slices * stride), readAll(runtime, "optimizer", gradientWords)];
}

for (const { name, isa, title } of compiledForms) {
	const reason = await open(name, { threads: 1, isa });
	if (typeof reason === "string") {
		test.skip(`${title} cannot run here: ${reason}`, () => {});
		continue;
	}
	await reason.close();

	describe(`runtime, ${title}`, () => {
		let runtime: Runtime;
		beforeAll(async () => {
			runtime = (await open(name, { threads: 2, isa })) as Runtime;
		});
		afterAll(() => runtime.close());

		test("gives the same bits for any number of threads", async () => {
			const expected = await step(runtime, 7);
			expect(expected[1].some((value) => value !== 0)).toBe(true);
			for (const threads of [1, 3, 8]) {
				const other = (await open(name, { threads, isa })) as Runtime;
				expect(other.threads).toBe(threads);
				expect(await step(other, 7)).toEqual(expected);
				await other.close();
			}
		});

		test("adds the micro-batches of a slice in order onto zero", async () => {
			const [, two] = await step(runtime, 2);
			const forward = runtime.load(body());
			const update = runtime.load(total(1));
			// The same two micro-batches, now both of slice 0.
			const { microBatches } = slicedJob(forward, 2, stride);
			const inOne = microBatches.map((batch) => ({ ...batch, slice: 0 }));
			await runtime.run(
				slicedJob(forward, 1, stride, {
					gradientWords,
					microBatches: inOne,
					updates: [{ program: update, stateOffset: 0 }],
				}),
			);
			const one = readAll(runtime, "optimizer", gradientWords);
			for (let i = 0; i < one.length; i++) expect(one[i]).toBeCloseTo(two[i], 4);
		});

		test("an empty slice has zero gradients", async () => {
			const [, expected] = await step(runtime, 2);
			const forward = runtime.load(body());
			const update = runtime.load(total(3));
			runtime.reserve("slices", 3 * gradientWords);
			fill(runtime, "slices", noise(3 * gradientWords, 9));
			const job = slicedJob(forward, 2, stride, {
				slices: 3,
				gradientWords,
				updates: [{ program: update, stateOffset: 0 }],
			});
			await runtime.run(job);
			expect(readAll(runtime, "optimizer", gradientWords)).toEqual(expected);
		});

		test("growing a space keeps its words and adds zeros", () => {
			const words = noise(1000, 6);
			fill(runtime, "state", words);
			runtime.reserve("state", 700_000);
			const grown = readAll(runtime, "state", 700_000);
			expect(grown.subarray(0, 1000)).toEqual(words);
			expect(grown.subarray(1000).every((value) => value === 0)).toBe(true);
			expect(runtime.memory()).toBeGreaterThan(4 * 700_000);
		});

		test("the host cannot read or write beyond a space", () => {
			runtime.reserve("shared", 8);
			expect(() => runtime.write("shared", 6, new Float32Array(3))).toThrow("expected at most 8 words, got 9");
			expect(() => runtime.read("shared", -1, new Float32Array(1))).toThrow("[shared]");
		});

		test("instructions of one part and of many see each other's results", () => {
			const n = 64;
			const vector = (offset: number) => operand("optimizer", offset, [n, 1]);
			const chain: Instruction[] = [];
			// x0 = input; x(i+1) = xi + xi, in turn by one thread and by all.
			for (let i = 0; i < 12; i++) {
				chain.push(instruction("add", [vector(i * n), vector(i * n)], [vector((i + 1) * n)], {}, i % 3 === 0 ? 1 : 4));
			}
			fill(runtime, "optimizer", new Float32Array(13 * n).fill(1, 0, n));
			const handle = runtime.load(program("update", chain));
			for (let repeat = 0; repeat < 200; repeat++) {
				runtime.write("optimizer", n, new Float32Array(12 * n));
				runtime.runSync(updateJob(handle));
				const last = readAll(runtime, "optimizer", 13 * n).subarray(12 * n);
				expect(last.every((value) => value === 4096)).toBe(true);
			}
			runtime.forget(handle);
		});

		test("a second job is refused while one runs, and the first is not harmed", async () => {
			const update = runtime.load(total(2));
			const running = step(runtime, 2);
			expect(() => runtime.runSync(updateJob(update))).toThrow("one job at a time");
			await expect(runtime.run(updateJob(update))).rejects.toThrow("one job at a time");
			await running;
		});

		test("peak is a sensible number of GFLOP/s", async () => {
			const peak = await runtime.peak(0.02);
			expect(peak).toBeGreaterThan(0.1);
			expect(peak).toBeLessThan(100_000);
		});
	});

	describe(`what ${title} refuses`, () => {
		let runtime: Runtime;
		beforeAll(async () => {
			runtime = (await open(name, { threads: 1, isa })) as Runtime;
			for (const space of ["parameters", "inputs", "outputs", "shared"] as const) runtime.reserve(space, 16);
		});
		afterAll(() => runtime.close());

		const inside = operand("outputs", 0, [4, 4]);
		const add = (space: Parameters<typeof operand>[0], offset = 0, ld = 4) =>
			instruction("add", [operand(space, offset, [4, 4], ld), inside], [inside]);
		const programs: [string, Program, string][] = [
			["an arena that is too small", program("body", [add("arena")], { arenaWords: 15 }), "beyond the end"],
			[
				"constants that are not there",
				program("body", [add("constants")], { constants: new Int32Array(15) }),
				"beyond the end",
			],
			["rows that overlap", program("body", [add("outputs", 0, 3)]), "malformed"],
			["a negative offset", program("body", [add("outputs", -4)]), "beyond the end"],
			["state in a body", program("body", [add("state")]), "cannot use"],
			["all slices in a body", program("body", [add("slices")]), "cannot use"],
			["one slice's gradients in an update", program("update", [add("gradients")]), "cannot use"],
			["parts in a body", program("body", [{ ...add("outputs"), parts: 2 }]), "cannot use"],
			["no parts at all", program("update", [{ ...add("outputs"), parts: 0 }]), "malformed"],
			["an operand that is missing", program("body", [instruction("add", [inside, null], [inside])]), "do not fit"],
			["a result that is missing", program("body", [instruction("gelu", [inside], [null])]), "do not fit"],
		];
		test.each(programs)("%s", (_, wrong, message) => {
			expect(() => runtime.load(wrong)).toThrow(message);
		});

		test("jobs beyond their spaces, of unknown programs, or out of order", () => {
			const body = runtime.load(program("body", [add("inputs")]));
			const update = runtime.load(program("update", [add("shared")]));
			const unknown = { id: 77, program: body.program };
			const job = slicedJob(body, 2, 0);
			const wrong: [Job, string][] = [
				[slicedJob(body, 2, 1), "beyond the end"],
				[{ ...job, gradientWords: 8 }, "beyond the end"],
				[updateJob(body), "unknown program"],
				[slicedJob(update, 1, 0), "unknown program"],
				[updateJob(unknown), "unknown program"],
				[{ ...job, slices: 1 }, "slices out of range"],
				[{ ...job, microBatches: [...job.microBatches].reverse() }, "not in order"],
				[{ ...job, slices: -1 }, "malformed"],
			];
			for (const [each, message] of wrong) expect(() => runtime.runSync(each)).toThrow(message);
			expect(() => runtime.runSync(job)).not.toThrow();
			runtime.forget(body);
			expect(() => runtime.runSync(job)).toThrow("unknown program");
		});
	});
}
