/** The CUDA runtime on a GPU of the imagination: memory, jobs straight and as graphs, products, growth, errors. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type {
	DeviceOperand,
	Fill,
	Launch,
	Lowered,
	Product,
} from "../../../../src/engine/backends/cuda/lower-types.ts";
import { CudaRuntime } from "../../../../src/engine/backends/cuda/runtime.ts";
import type { Space } from "../../../../src/engine/op.ts";
import type { Job, Program } from "../../../../src/engine/program.ts";
import { program, readAll, slicedJob, updateJob } from "../fixtures.ts";
import { FakeDevice, type FakeKernel } from "./fake.ts";

let folder: string;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "rivulet-cuda-"));
	for (const name of ["common.cuh", "simple.cu", "half.cu", "wrong.cu"])
		writeFileSync(join(folder, name), `// ${name}\n`);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const matrix = (space: Space, offset: number, rows: number, cols: number, ld = cols): DeviceOperand => ({
	space,
	offset,
	rows,
	cols,
	ld,
	dtype: "f32",
});

function launch(kernel: string, operands: DeviceOperand[], more: Partial<Launch> = {}): Launch {
	const args: Launch["args"] = [...operands.map((operand) => ({ kind: "matrix", operand }) as const), { kind: "job" }];
	const size = { grid: [1, 1, 1], block: [32, 1, 1], shared: 0 } as const;
	return { kind: "kernel", kernel, file: "simple", ...size, args, label: `${kernel} of layer 1`, ...more };
}

const address = (parameter: DataView) => parameter.getBigUint64(0, true);

/** y = x + the step of the job. */
const addStep: FakeKernel = ([x, y, job], device) => {
	const [rows, cols, ld] = [8, 12, 16].map((at) => x.getInt32(at, true));
	const step = new Uint32Array(device.bytes(address(job), 16).slice().buffer)[2];
	for (let r = 0; r < rows; r++) {
		const from = device.floats(address(x) + BigInt(4 * r * ld), cols);
		device.floats(address(y) + BigInt(4 * r * y.getInt32(16, true)), cols).set(from.map((value) => value + step));
	}
};

const castToHalf: FakeKernel = ([from, to, count], device) => {
	const n = count.getInt32(0, true);
	const words = new Uint32Array(device.floats(address(from), n).slice().buffer);
	const bytes = device.bytes(address(to), 2 * n);
	words.forEach((word, i) => new DataView(bytes.buffer, bytes.byteOffset).setUint16(2 * i, word >>> 16, true));
};

/** A runtime whose programs lower to what the test says. */
function open(device: FakeDevice, commands: (program: Program) => Partial<Lowered>, check = false): CudaRuntime {
	return new CudaRuntime({
		libraries: device.libraries,
		lower: (one) => ({ commands: [], scratchWords: 0, half: false, ...commands(one) }),
		precision: "fp32",
		cache: join(folder, "cache"),
		sources: `${folder}/`,
		check,
	});
}

/** inputs (2 x 2) + step to outputs (2 x 2, ld 3). */
const adding = launch("addStep", [matrix("inputs", 0, 2, 2), matrix("outputs", 0, 2, 2, 3)]);
const addingProgram = program("body", [], { inputWords: 4, outputWords: 6 });

function prepared(device: FakeDevice, check = false) {
	const runtime = open(device, () => ({ commands: [adding] }), check);
	const handle = runtime.load(addingProgram);
	runtime.reserve("inputs", 8);
	runtime.reserve("outputs", 12);
	const job = (step: number): Job => slicedJob(handle, 1, 4, { step, gradientWords: 16 });
	return { runtime, handle, job };
}

describe("jobs", () => {
	test("run straight first, are captured the second time and replayed from then on; inputs and step are the new ones", async () => {
		const device = new FakeDevice({ addStep });
		const { runtime, job } = prepared(device);
		for (const step of [1, 2, 3, 4]) {
			runtime.write("inputs", 0, Float32Array.of(10 * step, 20, 30, 40));
			await runtime.run(job(step));
			expect([...readAll(runtime, "outputs", 6)]).toEqual([11 * step, 20 + step, 0, 30 + step, 40 + step, 0]);
		}
		expect(device.count("cuLaunchKernelEx")).toBe(2);
		expect(device.count("cuStreamBeginCapture")).toBe(1);
		expect(device.count("cuGraphLaunch")).toBe(3);
		expect(runtime.lastCapture?.nodes).toBe(2); // zero the gradients, the kernel
	});

	test("a kernel of a graph that follows kernels and products alone is launched before they have ended", async () => {
		const device = new FakeDevice({ addStep });
		const chain = (from: number) =>
			launch("addStep", [matrix("outputs", from, 1, 2), matrix("outputs", from + 2, 1, 2)]);
		const zero: Fill = { kind: "zero", operand: matrix("outputs", 8, 1, 2), label: "zero" };
		const commands = [chain(0), chain(2), zero, chain(4), chain(4)];
		const runtime = open(device, () => ({ commands, dependencies: [[], [0], [], [1, 2], [1, 3]] }));
		const handle = runtime.load(program("update", [], { outputWords: 10 }));
		runtime.reserve("outputs", 10);
		for (const step of [1, 2]) await runtime.run(updateJob(handle, { step }));
		expect(device.early).toEqual([...Array(4).fill(false), ...[false, true, false, true]]);
	});

	test("outputs come along with the job: reading them asks nothing of the device", async () => {
		const device = new FakeDevice({ addStep });
		const { runtime, job } = prepared(device);
		await runtime.run(job(1));
		const before = device.calls.length;
		readAll(runtime, "outputs", 6);
		expect(device.calls.length).toBe(before);
		runtime.write("outputs", 1, Float32Array.of(99));
		expect(readAll(runtime, "outputs", 6)[1]).toBe(99);
	});

	test("every slice has its own gradients, zeroed at the start of a job", () => {
		const device = new FakeDevice({ addStep });
		const written = launch("addStep", [matrix("inputs", 0, 1, 2), matrix("gradients", 1, 1, 2)]);
		const runtime = open(device, () => ({ commands: [written] }));
		const handle = runtime.load(program("body", [], { inputWords: 2 }));
		runtime.reserve("inputs", 4);
		runtime.reserve("slices", 8);
		runtime.write("slices", 0, new Float32Array(8).fill(5));
		runtime.write("inputs", 0, Float32Array.of(1, 2, 3, 4));
		runtime.runSync(slicedJob(handle, 2, 2, { step: 0, gradientWords: 4 }));
		expect([...readAll(runtime, "slices", 8)]).toEqual([0, 1, 2, 0, 0, 3, 4, 0]);
	});

	test("constants, arena and the state's offset are found", () => {
		const device = new FakeDevice({ addStep });
		const commands = [
			launch("addStep", [matrix("constants", 1, 1, 2), matrix("arena", 3, 1, 2)]),
			launch("addStep", [matrix("arena", 3, 1, 2), matrix("state", 0, 1, 2)]),
			{ kind: "zero", operand: matrix("state", 1, 2, 1, 2), label: "" } as const,
		];
		const runtime = open(device, () => ({ commands }));
		const constants = new Int32Array(Float32Array.of(7, 8, 9).buffer);
		const handle = runtime.load(program("update", [], { constants, arenaWords: 5 }));
		runtime.reserve("state", 16);
		runtime.write("state", 0, new Float32Array(16).fill(1));
		runtime.runSync(updateJob(handle, { step: 1, updates: [{ program: handle, stateOffset: 4 }] }));
		expect([...readAll(runtime, "state", 10)]).toEqual([1, 1, 1, 1, 10, 0, 1, 0, 1, 1]);
	});

	test("a second one at the same time is refused", async () => {
		const { runtime, job } = prepared(new FakeDevice({ addStep }));
		const first = runtime.run(job(1));
		await expect(runtime.run(job(2))).rejects.toThrow("one job at a time");
		await first;
	});

	test("one more may be put on its way; each leaves outputs of its own", async () => {
		const device = new FakeDevice({ addStep });
		const { runtime, job } = prepared(device);
		await runtime.run(job(1));
		device.failures.set("cuEventQuery", Array(20).fill(600)); // not ready yet
		const found: number[][] = [];
		const seen = (ended: Promise<void>) => ended.then(() => found.push([...readAll(runtime, "outputs", 2)]));
		const first = await runtime.submit(job(2));
		const ends = [seen(first.ended)];
		runtime.write("inputs", 0, Float32Array.of(10, 20, 30, 40));
		const second = await runtime.submit(job(3));
		ends.push(seen(second.ended));
		await expect(runtime.submit(job(4))).rejects.toThrow("2 jobs at a time");
		await expect(runtime.run(job(4))).rejects.toThrow("one job at a time");
		await expect(runtime.close()).rejects.toThrow("one job at a time");
		await Promise.all(ends);
		expect(found).toEqual([
			[2, 2],
			[13, 23],
		]);
		await runtime.run(job(4));
		expect([...readAll(runtime, "outputs", 2)]).toEqual([14, 24]);
	});

	test("growth keeps contents and voids captured graphs", async () => {
		const device = new FakeDevice({ addStep });
		const { runtime, job } = prepared(device);
		runtime.write("inputs", 0, Float32Array.of(1, 2, 3, 4));
		for (const step of [1, 2]) await runtime.run(job(step));
		runtime.reserve("inputs", 5000);
		for (const step of [3, 4]) {
			await runtime.run(job(step));
			expect([...readAll(runtime, "outputs", 2)]).toEqual([1 + step, 2 + step]);
		}
		expect(device.count("cuStreamBeginCapture")).toBe(2);
		expect(device.count("cuGraphExecDestroy")).toBe(1);
	});

	test("an operand beyond its space is an error, not a stray write", () => {
		const device = new FakeDevice({ addStep });
		const runtime = open(device, () => ({ commands: [launch("addStep", [matrix("inputs", 60, 2, 4)])] }));
		runtime.reserve("inputs", 64);
		const handle = runtime.load(program("update", []));
		expect(() => runtime.runSync(updateJob(handle))).toThrow("[inputs] expected at most 64 words, got 68");
	});

	test("a profile gives every command its time", async () => {
		const device = new FakeDevice({ addStep });
		const { runtime, job } = prepared(device);
		await runtime.run(job(1));
		expect(runtime.profile(job(2))).toEqual([{ command: adding, milliseconds: 2 }]);
		expect(device.count("replay cuEventRecordWithFlags")).toBe(2);
		expect(device.count("cuEventCreate")).toBe(device.count("cuEventDestroy") + 3); // the runtime's own
	});

	test("closing gives everything back", async () => {
		const device = new FakeDevice({ addStep });
		const { runtime, handle, job } = prepared(device);
		for (const step of [1, 2]) await runtime.run(job(step));
		runtime.forget(handle);
		await runtime.close();
		// Blocks of arguments are the process's: the driver's slots and the launcher's table.
		expect(device.blocks).toBe(2);
		await expect(runtime.run(job(3))).rejects.toThrow("closed");
	});
});

describe("products", () => {
	const product = (more: Partial<Product>): Product => ({
		...{ kind: "product", c: null, bias: null, transposeA: false, transposeB: false, batch: 1, label: "wo" },
		...{ strideA: 0, strideB: 0, strideC: 0, strideY: 0 },
		...{ a: matrix("inputs", 0, 2, 3), b: matrix("inputs", 6, 3, 4), y: matrix("outputs", 0, 2, 4) },
		...more,
	});

	/** Row-major y of a product over inputs 1, 2, 3, ... */
	function multiplied(one: Product, words: number): number[] {
		const runtime = open(new FakeDevice(), () => ({ commands: [one] }));
		const handle = runtime.load(program("update", [], { outputWords: words }));
		runtime.reserve("inputs", 64);
		runtime.reserve("outputs", 64);
		runtime.write(
			"inputs",
			0,
			Float32Array.from({ length: 64 }, (_, i) => i + 1),
		);
		runtime.runSync(updateJob(handle));
		return [...readAll(runtime, "outputs", words)];
	}

	test("row-major through column-major", () => {
		expect(multiplied(product({}), 8)).toEqual([74, 80, 86, 92, 173, 188, 203, 218]);
	});

	test("transposed operands, wider rows, bias and an added matrix", () => {
		const a = matrix("inputs", 0, 3, 2, 5); // columns 1 6 11 | 2 7 12
		const b = matrix("inputs", 20, 2, 3); // rows 21 22 23 | 24 25 26
		const more = { a, b, transposeA: true, transposeB: true, y: matrix("outputs", 0, 2, 2, 3) };
		const plain = [
			1 * 21 + 6 * 22 + 11 * 23,
			1 * 24 + 6 * 25 + 11 * 26,
			2 * 21 + 7 * 22 + 12 * 23,
			2 * 24 + 7 * 25 + 12 * 26,
		];
		expect(multiplied(product(more), 6)).toEqual([plain[0], plain[1], 0, plain[2], plain[3], 0]);
		const extra = { bias: matrix("inputs", 40, 1, 2), c: matrix("inputs", 50, 2, 2) };
		const sums = [plain[0] + 41 + 51, plain[1] + 42 + 52, 0, plain[2] + 41 + 53, plain[3] + 42 + 54, 0];
		expect(multiplied(product({ ...more, ...extra }), 6)).toEqual(sums);
	});

	test("batched with one shared operand", () => {
		const more = { a: matrix("inputs", 0, 1, 2), b: matrix("inputs", 10, 2, 1), y: matrix("outputs", 0, 1, 1) };
		const y = multiplied(product({ ...more, batch: 3, strideA: 2, strideY: 1 }), 3);
		expect(y).toEqual([1 * 11 + 2 * 12, 3 * 11 + 4 * 12, 5 * 11 + 6 * 12]);
	});

	test("a refused product says which", () => {
		const device = new FakeDevice();
		device.failures.set("cublasLtMatmul", [15]);
		const runtime = open(device, () => ({ commands: [product({})] }));
		runtime.reserve("inputs", 64);
		runtime.reserve("outputs", 64);
		const handle = runtime.load(program("update", []));
		expect(() => runtime.runSync(updateJob(handle))).toThrow(
			"wo: (2, 3) x (3, 4): cublasLtMatmul answered 15, refused",
		);
	});

	test("weights are cast to halves when they changed, and only then", () => {
		const device = new FakeDevice({ addStep, castToHalf });
		const runtime = open(device, () => ({ half: true }));
		runtime.reserve("parameters", 64);
		runtime.write("parameters", 0, Float32Array.of(1, -2));
		const handle = runtime.load(program("update", []));
		const run = (weightsChanged: boolean) => runtime.runSync(updateJob(handle, { weightsChanged }));
		const counts = [true, false, false, true].map((changed) => {
			run(changed);
			return device.calls.filter((call) => /cuLaunchKernelEx$/.test(call)).length;
		});
		expect(counts).toEqual([1, 1, 1, 3]); // captured, then replayed
		runtime.write("parameters", 0, Float32Array.of(3));
		run(false);
		expect(device.count("replay cuLaunchKernelEx")).toBe(2);
	});
});

describe("kernels", () => {
	test("are compiled once, for the device, and then found in the cache; a damaged file is compiled again", async () => {
		const compiledBy = async () => {
			const device = new FakeDevice({ addStep });
			const { runtime, job } = prepared(device);
			await runtime.run(job(1));
			await runtime.close();
			return device.compiled;
		};
		const [first] = await compiledBy();
		expect(first.name).toBe("simple.cu");
		expect(first.options).toContain("--gpu-architecture=sm_90a");
		expect(await compiledBy()).toEqual([]);
		const [file] = readdirSync(join(folder, "cache"));
		writeFileSync(join(folder, "cache", file), "rivulet-cubin-1\nnot what was written");
		expect((await compiledBy()).length).toBe(1);
		expect(await compiledBy()).toEqual([]);
	});

	test("each set of definitions is a module of its own", async () => {
		const device = new FakeDevice({ addStep });
		const commands = [8, 16, 8].map((width) =>
			launch(
				"addStep",
				adding.args.flatMap((a) => ("operand" in a && a.operand ? [a.operand] : [])),
				{ defines: { WIDTH: width } },
			),
		);
		const runtime = open(device, () => ({ commands }));
		runtime.reserve("inputs", 8);
		runtime.reserve("outputs", 8);
		await runtime.run(updateJob(runtime.load(program("update", []))));
		expect(device.compiled.map(({ options }) => options.filter((option) => option.startsWith("-D")))).toEqual([
			["-DWIDTH=8"],
			["-DWIDTH=16"],
		]);
	});

	test("what does not compile is told with the compiler's words", async () => {
		const runtime = open(new FakeDevice({ addStep }), () => ({ commands: [{ ...adding, file: "wrong" }] }));
		const handle = runtime.load(program("update", []));
		await expect(runtime.run(updateJob(handle))).rejects.toThrow(
			/wrong.cu does not compile \(NVRTC error 6\):\nline 3!/,
		);
	});
});

describe("errors", () => {
	test("a launch that fails names kernel, place and shapes", async () => {
		const device = new FakeDevice({ addStep });
		device.failures.set("cuLaunchKernelEx", [701]);
		const { runtime, job } = prepared(device);
		const error = await runtime.run(job(1)).catch((caught) => caught);
		expect(error.message).toContain("addStep of layer 1: addStep<<<1x1x1, 32x1x1>>> (2, 2) (2, 2)");
		expect(error.message).toContain("cuLaunchKernelEx answered ERROR_701 (701), in words");
		expect(error).toMatchObject({ code: "cuda-failed", lost: true });
	});

	test("a fault found at the end of a job is told; checking finds the command", async () => {
		const late = new FakeDevice({ addStep });
		late.failures.set("cuEventQuery", [600, 700]);
		const { runtime, job } = prepared(late);
		await expect(runtime.run(job(1))).rejects.toThrow("a job ended badly: cuEventQuery answered ERROR_700");
		const device = new FakeDevice({ addStep });
		const checked = prepared(device, true);
		await checked.runtime.run(checked.job(1));
		device.failures.set("cuStreamSynchronize", [700]);
		await expect(checked.runtime.run(checked.job(2))).rejects.toThrow("addStep of layer 1: addStep<<<1x1x1");
	});

	test("a capture that fails leaves the stream usable", async () => {
		const device = new FakeDevice({ addStep });
		const { runtime, job } = prepared(device);
		await runtime.run(job(1));
		device.failures.set("cuLaunchKernelEx", [719]);
		await expect(runtime.run(job(2))).rejects.toThrow("719");
		expect(device.count("cuStreamEndCapture")).toBe(1);
		await runtime.run(job(3));
		expect(readAll(runtime, "outputs", 1)[0]).toBe(3);
	});

	test("exhausted memory says how much was needed and what is free", () => {
		const { runtime } = prepared(new FakeDevice());
		const error = (() => {
			try {
				runtime.reserve("optimizer", 1 << 29);
			} catch (caught) {
				return caught;
			}
		})();
		expect(error).toMatchObject({ code: "cuda-memory" });
		expect((error as Error).message).toBe(
			"expected 2148 MB of memory on the GPU for optimizer, found 537 MB of 1074 MB free",
		);
	});
});
