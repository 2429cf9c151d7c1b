/** A GPU of the imagination: memory that can be read, streams in order, captures that replay, kernels in TypeScript. Not a test. */
import type { Foreign, Libraries } from "../../../../src/engine/backends/cuda/foreign.ts";

/** Parameters as a kernel finds them: the bytes at each address of kernelParams. */
export type FakeKernel = (parameters: DataView[], device: FakeDevice) => void;

type Bytes = Uint8Array<ArrayBuffer>;

/** Names of calls that do work on a stream: recorded instead while it captures. */
const streamed =
	/^(cuMemcpy\w+Async|cuMemset\w+Async|cuLaunchKernelEx|cublasLtMatmul|cuEventRecord|cuEventRecordWithFlags)$/;

export class FakeDevice {
	/** Every call by name, in order; those on a stream also when a graph replays them, as "replay NAME". */
	readonly calls: string[] = [];
	readonly products: { a: bigint; b: bigint; y: bigint }[] = [];
	readonly kernels: Record<string, FakeKernel>;
	/** Results to answer the named call with, one after the other. */
	readonly failures = new Map<string, number[]>();
	/** Files that were compiled, with their options. */
	readonly compiled: { name: string; options: string[] }[] = [];
	/** Of every launch: may it be on the device before those it follows have ended? */
	readonly early: boolean[] = [];
	totalBytes = 1 << 30;
	readonly #blocks = new Map<bigint, Bytes>();
	readonly #handles: unknown[] = [null];
	#next = 0x10000n;
	#capture: { nodes: FakeNode[]; tail: FakeNode[] } | undefined;

	constructor(kernels: Record<string, FakeKernel> = {}) {
		this.kernels = kernels;
	}

	get libraries(): Libraries {
		return {
			driver: this.#table(this.driverFunctions()),
			nvrtc: this.#table(this.nvrtcFunctions()),
			cublasLt: this.#table(this.cublasLtFunctions()),
			allocate: (bytes) => {
				const address = this.allocate(bytes);
				return { address, buffer: (this.#blocks.get(address) as Bytes).buffer };
			},
			view: (address, bytes) => {
				const block = this.#blocks.get(address);
				if (!block || block.length < bytes) throw new Error(`no block of ${bytes} bytes at ${address}`);
				return block.buffer;
			},
			text: (address) => this.#handles[Number(address)] as string,
			later: async (fn, ...values) => fn(...values),
		};
	}

	/** What the libraries' functions do, and what a launch does once its arguments are copied; a device may know better. */
	protected driverFunctions(): Record<string, Foreign> {
		return driverFunctions(this);
	}

	protected nvrtcFunctions(): Record<string, Foreign> {
		return nvrtcFunctions(this);
	}

	protected cublasLtFunctions(): Record<string, Foreign> {
		return cublasLtFunctions(this);
	}

	launch(fn: unknown, parameters: DataView[], _sizes: number[]): void {
		this.kernels[this.object<{ name: string }>(fn).name](parameters, this);
	}

	protected block(bytes: number): { address: bigint; block: Bytes } {
		const address = this.#next;
		this.#next += BigInt(Math.ceil(bytes / 4096) * 4096 + 4096);
		return { address, block: new Uint8Array(bytes) };
	}

	/** Blocks that are allocated now. */
	get blocks(): number {
		return this.#blocks.size;
	}

	allocate(bytes: number): bigint {
		const { address, block } = this.block(bytes);
		this.#blocks.set(address, block);
		return address;
	}

	free(address: bigint): void {
		if (!this.#blocks.delete(address)) throw new Error(`freed ${address}, which is not allocated`);
	}

	/** Bytes at an address, device or pinned; faults beyond the end of a block as a device does. */
	bytes(address: bigint, length: number): Bytes {
		for (const [base, block] of this.#blocks) {
			const start = Number(address - base);
			if (address >= base && start + length <= block.length) return block.subarray(start, start + length);
		}
		throw new Error(`illegal address ${address} of ${length} bytes`);
	}

	floats(address: bigint, length: number): Float32Array {
		const bytes = this.bytes(address, 4 * length);
		return new Float32Array(bytes.buffer, bytes.byteOffset, length);
	}

	handle(value: unknown): bigint {
		return BigInt(this.#handles.push(value) - 1);
	}

	object<T>(handle: unknown): T {
		return this.#handles[Number(handle)] as T;
	}

	beginCapture(): void {
		this.#capture = { nodes: [], tail: [] };
	}

	endCapture(): (() => void)[] {
		const nodes = this.#capture?.nodes ?? [];
		this.#capture = undefined;
		return anyOrder(nodes).map(({ work }) => work);
	}

	/** Nodes that the next one captured follows. */
	get tail(): FakeNode[] {
		return this.#capture?.tail ?? [];
	}

	set tail(nodes: FakeNode[]) {
		if (this.#capture) this.#capture.tail = nodes;
	}

	count(name: string): number {
		return this.calls.filter((call) => call === name).length;
	}

	#table(functions: Record<string, Foreign>): Record<string, Foreign> {
		return Object.fromEntries(
			Object.entries(functions).map(([name, fn]) => [name, (...values: unknown[]) => this.#call(name, fn, values)]),
		);
	}

	#call(name: string, fn: Foreign, values: unknown[]): unknown {
		this.calls.push(name);
		const failure = this.failures.get(name)?.shift();
		if (failure) return failure;
		if (this.#capture && /^cu(MemAlloc|MemFree|StreamSynchronize|ModuleLoadData)$/.test(name)) return 900;
		if (!this.#capture || !streamed.test(name)) return fn(...values) ?? 0;
		// Arguments of kernels are copied when they are captured.
		const pinned = name === "cuLaunchKernelEx" ? launchOf(this, values) : () => fn(...values);
		const work = () => {
			this.calls.push(`replay ${name}`);
			pinned();
		};
		const node = { work, after: this.#capture.tail };
		this.#capture.nodes.push(node);
		this.#capture.tail = [node];
		return 0;
	}
}

interface FakeNode {
	work(): void;
	after: FakeNode[];
}

/** An order that a device may take, and not the one of capture where there is a choice: the last that can run goes first. */
function anyOrder(nodes: readonly FakeNode[]): FakeNode[] {
	const waiting = [...nodes];
	const done = new Set<FakeNode>();
	while (waiting.length > 0) {
		const able = waiting.filter(({ after }) => after.every((each) => done.has(each)));
		const last = able[able.length - 1];
		waiting.splice(waiting.indexOf(last), 1);
		done.add(last);
	}
	return [...done];
}

function launchOf(device: FakeDevice, values: unknown[]): () => void {
	const [config, fn, pointers] = values as [bigint, bigint, BigUint64Array];
	device.early.push(new DataView(device.bytes(config, 56).slice().buffer).getUint32(48, true) === 1);
	const sizes = [...new Uint32Array(device.bytes(config, 28).slice().buffer)];
	const views = [...pointers].filter((pointer) => pointer !== 0n).map((pointer) => device.bytes(pointer, 24).slice());
	const parameters = views.map(({ buffer }) => new DataView(buffer));
	return () => device.launch(fn, parameters, sizes);
}

const hostBytes = (device: FakeDevice, place: unknown, length: number): Uint8Array => {
	if (typeof place === "bigint") return device.bytes(place, length);
	const { buffer, byteOffset } = place as Uint8Array;
	return new Uint8Array(buffer, byteOffset, length);
};

function put(slot: unknown, value: bigint | number): void {
	(slot as BigUint64Array)[0] = value as bigint;
}

function driverFunctions(device: FakeDevice): Record<string, Foreign> {
	const make = (slot: unknown) => put(slot, device.handle({}));
	const nothing = () => 0;
	const at = (address: unknown, length: unknown) => device.bytes(address as bigint, Number(length));
	const attributes: Record<number, number> = { 16: 132, 75: 9, 76: 0, 97: 227 << 10 };
	return {
		...Object.fromEntries(
			[
				...["cuInit", "cuDevicePrimaryCtxRelease", "cuDevicePrimaryCtxReset", "cuCtxSetCurrent", "cuStreamDestroy"],
				...["cuStreamSynchronize", "cuEventDestroy", "cuEventRecord", "cuEventQuery", "cuEventSynchronize"],
				...["cuGraphUpload", "cuGraphExecDestroy", "cuGraphDestroy", "cuModuleUnload", "cuFuncSetAttribute"],
			].map((name) => [name, nothing]),
		),
		cuDriverGetVersion: (slot) => put(slot, 13000),
		cuDeviceGet: (slot) => put(slot, 0),
		cuDeviceGetName: (bytes) => (bytes as Uint8Array).set(new TextEncoder().encode("Fake H200")) as undefined,
		cuDeviceGetAttribute: (slot, which) => put(slot, attributes[which as number]),
		cuDevicePrimaryCtxRetain: make,
		cuMemGetInfo: (free, total) => {
			put(free, BigInt(device.totalBytes / 2));
			put(total, BigInt(device.totalBytes));
		},
		cuMemAlloc: (slot, bytes) =>
			(bytes as number) > device.totalBytes ? 2 : put(slot, device.allocate(Number(bytes))),
		cuMemFree: (address) => device.free(address as bigint),
		cuMemHostAlloc: (slot, bytes) => put(slot, device.allocate(Number(bytes))),
		cuMemFreeHost: (address) => device.free(address as bigint),
		cuMemcpyHtoDAsync: (to, from, n) => at(to, n).set(hostBytes(device, from, Number(n))) as undefined,
		cuMemcpyDtoHAsync: (to, from, n) => hostBytes(device, to, Number(n)).set(at(from, n)) as undefined,
		cuMemcpyDtoDAsync: (to, from, n) => at(to, n).set(at(from, n)) as undefined,
		cuMemsetD32Async: (to, value, n) => {
			const { buffer, byteOffset } = at(to, 4 * Number(n));
			new Uint32Array(buffer, byteOffset, Number(n)).fill(value as number);
		},
		cuMemsetD16Async: (to, _value, n) => at(to, 2 * Number(n)).fill(0) && 0,
		cuMemsetD2D32Async: (to, pitch, _value, width, height) => {
			for (let r = 0; r < Number(height); r++)
				at((to as bigint) + BigInt(r * Number(pitch)), 4 * Number(width)).fill(0);
		},
		cuEventElapsedTime: (time) => put(time, 2),
		cuEventRecordWithFlags: () => 0,
		cuStreamCreate: make,
		cuEventCreate: make,
		cuStreamBeginCapture: () => device.beginCapture(),
		cuStreamEndCapture: (_stream, slot) => put(slot, device.handle(device.endCapture())),
		cuStreamGetCaptureInfo: (_stream, _status, _id, _graph, list, _edges, count) => {
			const nodes = device.tail;
			const address = device.allocate(8 * Math.max(1, nodes.length));
			const bytes = device.bytes(address, 8 * nodes.length);
			new BigUint64Array(bytes.buffer, 0, nodes.length).set(nodes.map((node) => device.handle(node)));
			put(list, address);
			put(count, BigInt(nodes.length));
		},
		cuStreamUpdateCaptureDependencies: (_stream, nodes, _edges, count) => {
			const given = [...(nodes as BigUint64Array)].slice(0, Number(count));
			device.tail = given.map((node) => device.object<FakeNode>(node));
		},
		cuGraphInstantiate: (slot, graph) => put(slot, device.handle(device.object(graph))),
		cuGraphGetNodes: (graph, _nodes, count) => put(count, BigInt(device.object<unknown[]>(graph).length)),
		cuGraphLaunch: (graph) => {
			for (const work of device.object<(() => void)[]>(graph)) work();
		},
		cuModuleLoadData: make,
		cuModuleGetFunction: (slot, _module, name) =>
			device.kernels[name as string] ? put(slot, device.handle({ name })) : 500,
		cuLaunchKernelEx: (...values) => launchOf(device, values)() as undefined,
		cuGetErrorName: (result, slot) => put(slot, device.handle(`ERROR_${result}`)),
		cuGetErrorString: (_result, slot) => put(slot, device.handle("in words")),
	};
}

function nvrtcFunctions(device: FakeDevice): Record<string, Foreign> {
	return {
		nvrtcVersion: (major, minor) => {
			put(major, 13);
			put(minor, 0);
		},
		nvrtcCreateProgram: (slot, _text, name) => put(slot, device.handle({ name })),
		nvrtcCompileProgram: (program, _count, options) => {
			const { name } = device.object<{ name: string }>(program);
			device.compiled.push({ name, options: options as string[] });
			return name === "wrong.cu" ? 6 : 0;
		},
		nvrtcGetCUBINSize: (_program, slot) => put(slot, 5n),
		nvrtcGetCUBIN: (_program, bytes) => (bytes as Uint8Array).fill(7) && 0,
		nvrtcGetProgramLogSize: (_program, slot) => put(slot, 9n),
		nvrtcGetProgramLog: (_program, bytes) =>
			(bytes as Uint8Array).set(new TextEncoder().encode("line 3!\n")) as undefined,
		nvrtcDestroyProgram: () => 0,
	};
}

function cublasLtFunctions(device: FakeDevice): Record<string, Foreign> {
	const make = (slot: unknown, ...described: unknown[]) => put(slot, device.handle({ described, set: new Map() }));
	const set = (object: unknown, attribute: unknown, value: unknown) => {
		device.object<{ set: Map<unknown, unknown> }>(object).set.set(attribute, (value as BigUint64Array)[0]);
	};
	return {
		cublasLtGetVersion: () => 130000,
		cublasLtCreate: make,
		cublasLtDestroy: () => 0,
		cublasLtGetStatusString: () => "refused",
		cublasLtMatrixLayoutCreate: make,
		cublasLtMatrixLayoutSetAttribute: set,
		cublasLtMatrixLayoutDestroy: () => 0,
		cublasLtMatmulDescCreate: make,
		cublasLtMatmulDescSetAttribute: set,
		cublasLtMatmulDescDestroy: () => 0,
		cublasLtMatmulPreferenceCreate: make,
		cublasLtMatmulPreferenceSetAttribute: set,
		cublasLtMatmulPreferenceDestroy: () => 0,
		cublasLtMatmulAlgoGetHeuristic: (...values) => {
			(values[9] as Int32Array)[0] = 1;
		},
		cublasLtMatmul: (...values) => multiply(device, values),
	};
}

export interface FakeLayout {
	described: [type: number, rows: bigint | number, cols: bigint | number, ld: bigint | number];
	set: Map<number, number | bigint>;
}

/** What cuBLASLt is asked for, done in column-major order on the numbers themselves. */
function multiply(device: FakeDevice, values: unknown[]): void {
	const operation = device.object<FakeLayout>(values[1]);
	const [a, b, c, d] = [values[4], values[6], values[9], values[11]].map((layout) => device.object<FakeLayout>(layout));
	const beta = (values[7] as Float32Array)[0];
	const read = (base: unknown, layout: FakeLayout, n: number, row: number, col: number): bigint => {
		const element = n * Number(layout.set.get(6) ?? 0) + col * Number(layout.described[3]) + row;
		return (base as bigint) + BigInt(4 * element);
	};
	const [transposeA, transposeB] = [Number(operation.set.get(3) ?? 0), Number(operation.set.get(4) ?? 0)];
	const [rows, cols] = [Number(d.described[1]), Number(d.described[2])];
	const inner = Number(a.described[transposeA ? 1 : 2]);
	const bias = operation.set.get(7) === 4 ? device.floats(operation.set.get(8) as bigint, rows) : null;
	for (let n = 0; n < Number(d.set.get(5) ?? 1); n++) {
		for (let r = 0; r < rows; r++) {
			for (let s = 0; s < cols; s++) {
				let sum = bias ? bias[r] : 0;
				for (let k = 0; k < inner; k++) {
					const x = read(values[3], a, n, transposeA ? k : r, transposeA ? r : k);
					const y = read(values[5], b, n, transposeB ? s : k, transposeB ? k : s);
					sum += device.floats(x, 1)[0] * device.floats(y, 1)[0];
				}
				if (beta) sum += beta * device.floats(read(values[8], c, n, r, s), 1)[0];
				device.floats(read(values[10], d, n, r, s), 1)[0] = sum;
			}
		}
	}
}
