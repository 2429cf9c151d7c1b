/** Numbers of 16 bits as the emulator makes and reads them, against a search through all of them. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Precision } from "../../../../src/engine/backend.ts";
import { kernelFolder } from "../../../../src/engine/backends/cuda/kernels.ts";
import type { Argument, Launch } from "../../../../src/engine/backends/cuda/lower-types.ts";
import { fill, program, readAll, updateJob } from "../fixtures.ts";
import { compilerHere, emulatedRuntime } from "./emulator/device.ts";

const source = `#include "common.cuh"
extern "C" __global__ void convert(const float* x, float* half, float* back, float* pair, int n)
{
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        unsigned short bits = halfBits(x[i]);
        half[i] = bits, back[i] = numberOf(bits);
        float2 two = numbersOf(halfPair(1, x[i]));
        pair[i] = two.x == 1 ? two.y : -1;
    }
}
`;

/** What `convert` makes of numbers: bits, and numbers again, alone and in a pair. */
function convert(precision: Precision, x: Float32Array): Record<"bits" | "back" | "pair", Float32Array> {
	const sources = mkdtempSync(join(tmpdir(), "rivulet-halves-"));
	for (const name of ["common.cuh", "half.cu"]) writeFileSync(join(sources, name), readFileSync(kernelFolder + name));
	writeFileSync(join(sources, "halves.cu"), source);
	const n = x.length;
	const place = (offset: number): Argument => {
		return { kind: "pointer", operand: { space: "outputs", offset, rows: 1, cols: n, ld: n, dtype: "f32" } };
	};
	const launch: Launch = {
		...{ kind: "kernel", kernel: "convert", file: "halves", grid: [1, 1, 1], block: [32, 1, 1], shared: 0 },
		...{ args: [...[0, n, 2 * n, 3 * n].map(place), { kind: "int", value: n }], label: "halves" },
	};
	const lower = () => ({ commands: [launch], scratchWords: 0, half: false });
	const runtime = emulatedRuntime({ precision, lower, sources: `${sources}/` });
	const words = new Float32Array(4 * n);
	words.set(x);
	fill(runtime, "outputs", words);
	runtime.runSync(updateJob(runtime.load(program("update", []))));
	const all = readAll(runtime, "outputs", 4 * n);
	rmSync(sources, { recursive: true });
	return { bits: all.subarray(n, 2 * n), back: all.subarray(2 * n, 3 * n), pair: all.subarray(3 * n) };
}

/** The number of 16 bits, of which this many are the mantissa. */
function numberOf(bits: number, mantissa: number): number {
	const sign = bits & 0x8000 ? -1 : 1;
	const exponent = (bits & 0x7fff) >> mantissa;
	const fraction = (bits & ((1 << mantissa) - 1)) / 2 ** mantissa;
	const largest = 2 ** (15 - mantissa) - 1;
	if (exponent === largest) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
	const bias = (largest - 1) / 2;
	return sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias));
}

const all = Array.from({ length: 0x10000 }, (_, bits) => bits);

describe.skipIf(!compilerHere)("halves (skipped where there is no g++)", () => {
	test.each([
		["bf16", 7],
		["fp16", 10],
	] as const)(
		"%s: every one comes back, and what lies between two goes to the nearer, or to the even",
		(precision, mantissa) => {
			const numbers = all.map((bits) => numberOf(bits, mantissa));
			const finite = all.filter((bits) => Number.isFinite(numbers[bits]));
			// Halfway to the next one, and the numbers of fp32 on either side of that; beyond the largest lies infinity.
			const cases = finite.flatMap((bits) => {
				const size = bits & 0x7fff;
				const next = Number.isFinite(numbers[size + 1]) ? numbers[size + 1] : 2 * numbers[size] - numbers[size - 1];
				const middle = ((bits & 0x8000 ? -1 : 1) * (numbers[size] + next)) / 2;
				const toward = (step: number) => {
					const words = new Int32Array(Float32Array.of(middle).buffer);
					words[0] += step;
					return new Float32Array(words.buffer)[0];
				};
				const sign = bits & 0x8000;
				return [
					{ x: middle, expected: sign | (size + (size & 1)) },
					{ x: toward(1), expected: sign | (size + 1) },
					{ x: toward(-1), expected: sign | size },
				];
			});
			const { back } = convert(precision, Float32Array.from(numbers));
			expect([...back]).toEqual(numbers);
			const { bits, pair } = convert(
				precision,
				Float32Array.from(cases, ({ x }) => x),
			);
			const wrong = cases.filter(({ expected }, i) => bits[i] !== expected || pair[i] !== numbers[expected]);
			expect(wrong).toEqual([]);
		},
	);
});
