/** Programs and jobs as the words of the C ABI (native/ABI.md); the native and the wasm backend speak it. */
import { type Space, spaces } from "../op.ts";
import type { Instruction, Job, Operand, Program } from "../program.ts";

/** Index of a kernel by name, negative where the library has none. */
export type KernelIndex = (name: string) => number;

export const spaceNumber = Object.fromEntries(spaces.map((name, index) => [name, index])) as Record<Space, number>;

export function encodeProgram(program: Program, kernelIndex: KernelIndex): Int32Array {
	const { kind, constants, instructions, arenaWords } = program;
	const words: number[] = [];
	for (const instruction of instructions) encodeInstruction(words, instruction, kernelIndex);
	const head = [kind === "update" ? 1 : 0, instructions.length, constants.length, low(arenaWords), high(arenaWords)];
	const result = new Int32Array(head.length + constants.length + words.length);
	result.set(head);
	result.set(constants, head.length);
	result.set(words, head.length + constants.length);
	return result;
}

function encodeInstruction(
	words: number[],
	{ op, inputs, outputs, attributes, parts }: Instruction,
	kernelIndex: KernelIndex,
): void {
	const kernel = kernelIndex(op.name);
	if (kernel < 0) throw new Error(`[encode] the library has no kernel ${op.name}`);
	const start = words.length;
	const kinds = Object.entries(op.attributes);
	words.push(kernel, 0, parts, op.inputs.length, op.outputs.length, kinds.length);
	for (let i = 0; i < op.inputs.length; i++) encodeOperand(words, inputs[i] ?? null);
	for (let i = 0; i < op.outputs.length; i++) encodeOperand(words, outputs[i] ?? null);
	for (const [name, kind] of kinds) words.push(kind === "float" ? floatBits(attributes[name]) : attributes[name]);
	words[start + 1] = words.length - start;
}

function encodeOperand(words: number[], operand: Operand | null): void {
	if (!operand) words.push(0, 0, 0, 0, 0, 0);
	else
		words.push(
			spaceNumber[operand.space],
			low(operand.offset),
			high(operand.offset),
			operand.rows,
			operand.cols,
			operand.ld,
		);
}

export function encodeJob({
	weightsChanged,
	seed,
	step,
	slices,
	gradientWords,
	microBatches,
	updates,
}: Job): Int32Array {
	const words = [weightsChanged ? 1 : 0, Number(BigInt.asIntN(32, seed)), Number(BigInt.asIntN(32, seed >> 32n))];
	words.push(step, slices, gradientWords, microBatches.length, updates.length);
	for (const { program, slice, inputsOffset, outputsOffset, firstSequence } of microBatches) {
		words.push(program.id, slice, inputsOffset, outputsOffset, firstSequence);
	}
	for (const { program, stateOffset } of updates) words.push(program.id, stateOffset);
	return Int32Array.from(words);
}

/** What a negative program id or a non-zero job status means: `Failure` in native/program.h. */
const failures = [
	"",
	"out of memory",
	"malformed words",
	"an unknown kernel",
	"operands that do not fit the kernel",
	"an operand beyond the end of its space",
	"a space that this kind of program cannot use",
	"an unknown program",
	"slices out of range or not in order",
];

export function failure(what: string, status: number): Error {
	return new Error(`[${what}] ${failures[Math.abs(status)] ?? `error ${status}`}`);
}

const floats = new Float32Array(1);
const bits = new Int32Array(floats.buffer);

function floatBits(value: number): number {
	floats[0] = value;
	return bits[0];
}

/** An offset as two words of 31 bits. */
function low(offset: number): number {
	return offset % 2 ** 31;
}

function high(offset: number): number {
	return Math.floor(offset / 2 ** 31);
}
