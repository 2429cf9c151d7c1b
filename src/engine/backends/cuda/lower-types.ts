/**
 * What a Program becomes on the GPU: a flat list of launches, products and fills, run in order on one stream. Plain data, made by
 * lower.ts, which knows ops and kernels but no addresses, and carried out by the runtime, which knows addresses but no ops.
 */
import type { Precision } from "../../backend.ts";
import type { DType } from "../../graph.ts";
import type { Space } from "../../op.ts";

/**
 * `scratch`: memory of the commands of one program, nothing kept from one program to the next, 256-byte aligned.
 * `half`: all parameters in half precision, element i being parameter word i. The runtime makes it before the first program that reads it,
 * whenever the weights have changed.
 */
export type DeviceSpace = Space | "scratch" | "half";

/**
 * A matrix on the device; every Operand is one. `offset` from the base of the space in words of 32 bits (in `half`: in elements
 * of 16 bits); `rows`, `cols` and `ld` in elements.
 */
export interface DeviceOperand {
	readonly space: DeviceSpace;
	readonly offset: number;
	readonly rows: number;
	readonly cols: number;
	readonly ld: number;
	/** `half`: 16 bits in the format of the runtime's precision, bf16 or fp16. */
	readonly dtype: DType | "half";
}

export type Dimensions = readonly [x: number, y: number, z: number];

/**
 * One parameter of a kernel, in the order of its signature:
 *
 * | kind | C type | bytes |
 * | --- | --- | --- |
 * | matrix | `struct Matrix { float* data; int rows, cols, ld, half; }` by value, `half` 1 for 16 bits; absent: all zero | 24, aligned to 8 |
 * | pointer | address of the operand's first element, for operands whose sizes the kernel has otherwise; absent: null | 8 |
 * | int | `int` | 4 |
 * | float | `float` | 4 |
 * | job | `const JobState*`, `struct JobState { unsigned seedLow, seedHigh, step; float unscale; }`; written before every run | 8 |
 * | firstSequence | `int`: index of the micro-batch's first sequence in the batch (0 in updates) | 4 |
 */
export type Argument =
	| { readonly kind: "matrix"; readonly operand: DeviceOperand | null }
	| { readonly kind: "pointer"; readonly operand: DeviceOperand | null }
	| { readonly kind: "int"; readonly value: number }
	| { readonly kind: "float"; readonly value: number }
	| { readonly kind: "job" }
	| { readonly kind: "firstSequence" };

/** `kernel<<<grid, block, shared>>>(...args)`. */
export interface Launch {
	readonly kind: "kernel";
	/** Name of the `extern "C" __global__` function. */
	readonly kernel: string;
	/** Its file in kernels/, without ".cu". */
	readonly file: string;
	/** Constants that the file is compiled with, as -DNAME=value; each combination is a module of its own. */
	readonly defines?: Readonly<Record<string, number>>;
	readonly grid: Dimensions;
	readonly block: Dimensions;
	/** Dynamic shared memory in bytes; above 48 KiB the runtime asks the driver for it. */
	readonly shared: number;
	readonly args: readonly Argument[];
	/** Op and place in the model, for messages. */
	readonly label: string;
}

/**
 * y = op(a) op(b) (+ bias) (+ c), by cuBLASLt. Row-major: op(a) is m x k, op(b) k x n, y m x n, c like y. Shapes are those of one
 * matrix; with batch > 1 matrix i lies i strides (in elements) further. a and b are both f32 or both half; bias (1 x n), c and y are
 * f32, but y is half where nothing is added and only that is wanted. c may be y itself (accumulate). Operands of f32 are
 * multiplied in fp32 or tf32, by the runtime's precision; sums are in f32.
 */
export interface Product {
	readonly kind: "product";
	readonly a: DeviceOperand;
	readonly b: DeviceOperand;
	readonly y: DeviceOperand;
	readonly c: DeviceOperand | null;
	readonly bias: DeviceOperand | null;
	readonly transposeA: boolean;
	readonly transposeB: boolean;
	readonly batch: number;
	/** In elements, 0 where one matrix serves the whole batch; unread with batch 1. */
	readonly strideA: number;
	readonly strideB: number;
	readonly strideC: number;
	readonly strideY: number;
	/** Which of cuBLASLt's workspaces it may use: products that may run side by side have different ones. */
	readonly workspace?: number;
	readonly label: string;
}

/** All elements zero. */
export interface Fill {
	readonly kind: "zero";
	readonly operand: DeviceOperand;
	readonly label: string;
}

export type Command = Launch | Product | Fill;

/** What lowering may know of the device. */
export interface Target {
	readonly precision: Precision;
	readonly multiprocessors: number;
	/** Most dynamic shared memory of a block, in bytes. */
	readonly sharedMemory: number;
}

export interface Lowered {
	readonly commands: readonly Command[];
	/** For each command those it must wait for; absent where all run in order. */
	readonly dependencies?: readonly (readonly number[])[];
	/** 32-bit words of scratch. */
	readonly scratchWords: number;
	/** Is `half` read? */
	readonly half: boolean;
}
