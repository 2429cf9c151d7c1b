/**
 * Matrix products by cuBLASLt. The engine's matrices are row-major and cuBLASLt's column-major, so what is asked for is
 * y^T = op(b)^T op(a)^T: the same words, operands exchanged. An algorithm is picked once per shape, the fastest of what the library
 * proposes, and kept.
 */
import type { Precision } from "../../backend.ts";
import { CudaError, type Driver } from "./driver.ts";
import type { Libraries, Prototypes } from "./foreign.ts";
import type { DeviceOperand, Product } from "./lower-types.ts";
import { workspaces } from "./order.ts";
import { type Choices, fastest } from "./tune.ts";

export const cublasLtPrototypes: Prototypes = {
	cublasLtGetVersion: "size_t ()",
	cublasLtCreate: "void*",
	cublasLtDestroy: "void*",
	cublasLtGetStatusString: "const char* (int)",
	cublasLtMatrixLayoutCreate: "void*, int, uint64_t, uint64_t, int64_t",
	cublasLtMatrixLayoutSetAttribute: "void*, int, void*, size_t",
	cublasLtMatrixLayoutDestroy: "void*",
	cublasLtMatmulDescCreate: "void*, int, int",
	cublasLtMatmulDescSetAttribute: "void*, int, void*, size_t",
	cublasLtMatmulDescDestroy: "void*",
	cublasLtMatmulPreferenceCreate: "void*",
	cublasLtMatmulPreferenceSetAttribute: "void*, int, void*, size_t",
	cublasLtMatmulPreferenceDestroy: "void*",
	cublasLtMatmulAlgoGetHeuristic: "void*, void*, void*, void*, void*, void*, void*, int, void*, void*",
	cublasLtMatmul:
		"void*, void*, void*, uint64_t, void*, uint64_t, void*, void*, uint64_t, void*, uint64_t, void*, void*, uint64_t, size_t, void*",
};

/** Numbers of cublasLt.h, cublas_api.h and library_types.h. */
export const lt = {
	real32: 0,
	half: { fp16: 2, bf16: 14 },
	compute32: 68,
	computeFastTf32: 77,
	layoutBatchCount: 5,
	layoutBatchStride: 6,
	transposeA: 3,
	transposeB: 4,
	epilogue: 7,
	biasPointer: 8,
	epilogueBias: 4,
	maxWorkspace: 1,
	/** Of A; B, C and D follow. */
	minAlignment: 5,
	heuristicBytes: 96,
	algorithmBytes: 64,
	heuristicState: 72,
} as const;

/** NVIDIA's advice for Hopper. */
export const workspaceBytes = 32 << 20;

/** Algorithms asked for; results of more bytes than this are not computed aside to time them. */
const mostCandidates = 12;
const mostAside = 1 << 30;

/** Device addresses of a product's operands. */
export interface Addresses {
	readonly a: bigint;
	readonly b: bigint;
	readonly c: bigint;
	readonly y: bigint;
	readonly bias: bigint;
}

/** A product described to cuBLASLt, with its algorithm. */
interface Plan {
	readonly operation: bigint;
	readonly a: bigint;
	readonly b: bigint;
	readonly c: bigint;
	readonly y: bigint;
	readonly algorithm: Uint8Array;
}

/** cuBLASLt on one stream, with the memory it needs. */
export class Products {
	readonly #driver: Driver;
	readonly #libraries: Libraries;
	readonly #precision: Precision;
	/** The type of operands in half precision. */
	readonly #half: number;
	readonly #choices: Choices;
	readonly #handle: bigint;
	readonly #workspace: bigint;
	readonly #plans = new Map<string, Plan>();
	readonly #one = Float32Array.of(1);
	readonly #zero = Float32Array.of(0);
	readonly #slot = new BigUint64Array(1);

	constructor(driver: Driver, precision: Precision, choices: Choices) {
		this.#driver = driver;
		this.#libraries = driver.libraries;
		this.#precision = precision;
		this.#half = lt.half[precision === "fp16" ? "fp16" : "bf16"];
		this.#choices = choices;
		this.#handle = this.#make("cublasLtCreate", "cuBLASLt");
		this.#workspace = driver.allocate(workspaces * workspaceBytes, "matrix products");
	}

	/** Put a product on the stream. */
	run(product: Product, at: Addresses, stream: bigint): void {
		const plan = this.#plan(product, at, stream);
		const { label } = product;
		if (product.bias) {
			this.#set("cublasLtMatmulDescSetAttribute", label, plan.operation, lt.biasPointer, BigUint64Array.of(at.bias));
		}
		const status = this.#multiply(product, plan, at, at.y, stream);
		if (status !== 0) throw this.#error("cublasLtMatmul", describe(product), status);
	}

	/** @returns cuBLASLt's status */
	#multiply(product: Product, plan: Plan, at: Addresses, y: bigint, stream: bigint): number {
		const workspace = this.#workspace + BigInt((product.workspace ?? 0) * workspaceBytes);
		return this.#libraries.cublasLt.cublasLtMatmul(
			...[this.#handle, plan.operation, this.#one, at.b, plan.a, at.a, plan.b],
			...[product.c ? this.#one : this.#zero, product.c ? at.c : y, plan.c, y, plan.y],
			...[plan.algorithm, workspace, workspaceBytes, stream],
		) as number;
	}

	/** Give back what cuBLASLt holds; the workspace goes with the driver's `free`. */
	close(free: (address: bigint) => void): void {
		for (const { operation, a, b, c, y } of this.#plans.values()) {
			this.#libraries.cublasLt.cublasLtMatmulDescDestroy(operation);
			for (const layout of [a, b, c, y]) this.#libraries.cublasLt.cublasLtMatrixLayoutDestroy(layout);
		}
		this.#plans.clear();
		this.#libraries.cublasLt.cublasLtDestroy(this.#handle);
		free(this.#workspace);
	}

	#plan(product: Product, at: Addresses, stream: bigint): Plan {
		const alignments = [at.b, at.a, product.c ? at.c : at.y, at.y].map(alignmentOf);
		const key = JSON.stringify([shapeKey(product), alignments]);
		const known = this.#plans.get(key);
		if (known) return known;
		const operation = this.#operation(product, at.bias);
		const { batch, strideA, strideB, strideC, strideY } = product;
		const a = this.#layout(product.b, batch, strideB, product.label);
		const b = this.#layout(product.a, batch, strideA, product.label);
		const c = this.#layout(product.c ?? product.y, batch, product.c ? strideC : strideY, product.label);
		const y = this.#layout(product.y, batch, strideY, product.label);
		const algorithms = this.#algorithms(product, [operation, a, b, c, y], alignments);
		const plans = algorithms.map((algorithm) => ({ operation, a, b, c, y, algorithm }));
		const plan = plans[this.#choose(key, product, plans, at, stream)];
		this.#plans.set(key, plan);
		return plan;
	}

	#operation(product: Product, bias: bigint): bigint {
		const tf32 = this.#precision !== "fp32" && product.a.dtype === "f32";
		const compute = tf32 ? lt.computeFastTf32 : lt.compute32;
		const operation = this.#make("cublasLtMatmulDescCreate", product.label, compute, lt.real32);
		const set = (attribute: number, value: Int32Array | BigUint64Array) =>
			this.#set("cublasLtMatmulDescSetAttribute", product.label, operation, attribute, value);
		set(lt.transposeA, Int32Array.of(Number(product.transposeB)));
		set(lt.transposeB, Int32Array.of(Number(product.transposeA)));
		if (product.bias) {
			set(lt.epilogue, Int32Array.of(lt.epilogueBias));
			set(lt.biasPointer, BigUint64Array.of(bias));
		}
		return operation;
	}

	/** A row-major matrix as the column-major one of its transpose. */
	#layout({ rows, cols, ld, dtype }: DeviceOperand, batch: number, stride: number, label: string): bigint {
		const type = dtype === "half" ? this.#half : lt.real32;
		const layout = this.#make("cublasLtMatrixLayoutCreate", label, type, cols, rows, Math.max(ld, cols));
		if (batch > 1) {
			const set = (attribute: number, value: Int32Array | BigInt64Array) =>
				this.#set("cublasLtMatrixLayoutSetAttribute", label, layout, attribute, value);
			set(lt.layoutBatchCount, Int32Array.of(batch));
			set(lt.layoutBatchStride, BigInt64Array.of(BigInt(stride)));
		}
		return layout;
	}

	/** What the library's heuristic proposes, best first by its own estimate. */
	#algorithms(product: Product, described: readonly bigint[], alignments: readonly number[]): Uint8Array[] {
		const what = describe(product);
		const preference = this.#make("cublasLtMatmulPreferenceCreate", what);
		const set = (attribute: number, value: BigUint64Array | Uint32Array) =>
			this.#set("cublasLtMatmulPreferenceSetAttribute", what, preference, attribute, value);
		set(lt.maxWorkspace, BigUint64Array.of(BigInt(workspaceBytes)));
		alignments.forEach((bytes, i) => set(lt.minAlignment + i, Uint32Array.of(bytes)));
		const results = new Uint8Array(lt.heuristicBytes * mostCandidates);
		const count = new Int32Array(1);
		const fn = "cublasLtMatmulAlgoGetHeuristic";
		this.#call(fn, what, this.#handle, ...described, preference, mostCandidates, results, count);
		this.#libraries.cublasLt.cublasLtMatmulPreferenceDestroy(preference);
		const starts = Array.from({ length: Math.min(count[0], mostCandidates) }, (_, i) => i * lt.heuristicBytes);
		const able = starts.filter((start) => new Int32Array(results.buffer, start + lt.heuristicState, 1)[0] === 0);
		if (able.length === 0) {
			throw new CudaError(`[cuda] ${what}: cuBLASLt has no algorithm (${count[0]} found, none that runs)`, 0);
		}
		return able.map((start) => results.slice(start, start + lt.algorithmBytes));
	}

	/** The fastest plan, by this machine's memory or by trying; what is added to its own result is computed aside for that. */
	#choose(key: string, product: Product, plans: readonly Plan[], at: Addresses, stream: bigint): number {
		if (plans.length === 1) return 0;
		const known = this.#choices.read(key, plans.length);
		if (known !== undefined) return known;
		const { y, batch, strideY } = product;
		const bytes = 4 * ((batch - 1) * strideY + (y.rows - 1) * y.ld + y.cols);
		const aside = product.c !== null;
		if (aside && bytes > mostAside) return 0;
		const to = aside ? this.#driver.allocate(bytes, "timing products") : at.y;
		try {
			const run = (i: number) => this.#multiply(product, plans[i], at, to, stream) === 0;
			const choice = fastest(this.#driver, stream, plans.length, run);
			this.#choices.write(key, plans.length, choice);
			return choice;
		} finally {
			if (aside) this.#driver.function("cuMemFree")(to);
		}
	}

	#make(name: string, what: string, ...values: unknown[]): bigint {
		this.#slot[0] = 0n;
		this.#call(name, what, this.#slot, ...values);
		return this.#slot[0];
	}

	#set(name: string, what: string, object: bigint, attribute: number, value: ArrayBufferView): void {
		this.#call(name, what, object, attribute, value, value.byteLength);
	}

	#call(name: string, what: string, ...values: unknown[]): void {
		const status = this.#libraries.cublasLt[name](...values) as number;
		if (status !== 0) throw this.#error(name, what, status);
	}

	#error(name: string, what: string, status: number): CudaError {
		const text = this.#libraries.cublasLt.cublasLtGetStatusString(status) as string;
		return new CudaError(`[cuda] ${what}: ${name} answered ${status}, ${text}`, status);
	}
}

/** Largest power of two, at most 256, that divides an address. */
function alignmentOf(address: bigint): number {
	const low = Number(address & 255n);
	return low === 0 ? 256 : low & -low;
}

function shapeKey({ a, b, c, y, bias, batch, ...rest }: Product): unknown[] {
	const of = (operand: DeviceOperand | null) => operand && [operand.rows, operand.cols, operand.ld, operand.dtype];
	const strides = batch > 1 ? [rest.strideA, rest.strideB, rest.strideC, rest.strideY] : [];
	return [of(a), of(b), of(c), of(y), bias !== null, rest.transposeA, rest.transposeB, batch, strides];
}

/** "wo, layer 1: (64, 384) x (384, 384)^T + c, batch 2" */
export function describe({ label, a, b, c, bias, transposeA, transposeB, batch }: Product): string {
	const of = ({ rows, cols, ld }: DeviceOperand, transposed: boolean) =>
		`(${rows}, ${cols}${ld === cols ? "" : ` ld ${ld}`})${transposed ? "^T" : ""}`;
	const rest = `${bias ? " + bias" : ""}${c ? " + c" : ""}${batch > 1 ? `, batch ${batch}` : ""}`;
	return `${label}: ${of(a, transposeA)} x ${of(b, transposeB)}${rest}`;
}
