/** Commands put on a stream: addresses resolved, arguments laid out as the kernels' parameters. Works alike in a capture. */
import type { Products } from "./cublaslt.ts";
import { cuda, type Driver } from "./driver.ts";
import type { Kernels } from "./kernels.ts";
import type { Argument, Command, DeviceOperand, Fill, Launch, Product } from "./lower-types.ts";
import type { DeviceMemory, Frame } from "./memory.ts";

/** Bytes and number of the parameters of one kernel at most. */
const argumentBytes = 4096;
const argumentCount = 256;
/** Bytes of CUlaunchConfig, rounded up, and of its one CUlaunchAttribute behind it. */
const configBytes = 64;
const attributeBytes = 72;

export class Launcher {
	readonly #driver: Driver;
	readonly #memory: DeviceMemory;
	readonly #kernels: Kernels;
	readonly #products: Products;
	readonly #stream: bigint;
	readonly #values: DataView;
	readonly #address: bigint;
	readonly #pointers: BigUint64Array;
	readonly #config: { readonly address: bigint; readonly view: DataView };
	/** Wait after every command and say which one failed; slow. */
	readonly #check: boolean;

	constructor(
		driver: Driver,
		parts: { memory: DeviceMemory; kernels: Kernels; products: Products },
		stream: bigint,
		check: boolean,
	) {
		this.#driver = driver;
		this.#memory = parts.memory;
		this.#kernels = parts.kernels;
		this.#products = parts.products;
		this.#stream = stream;
		this.#check = check;
		const before = argumentBytes + 8 * argumentCount;
		const { address, buffer } = driver.libraries.allocate(before + configBytes + attributeBytes);
		this.#config = { address: address + BigInt(before), view: new DataView(buffer, before) };
		this.#address = address;
		this.#values = new DataView(buffer, 0, argumentBytes);
		this.#pointers = new BigUint64Array(buffer, argumentBytes, argumentCount);
	}

	/** @param early a kernel may be on the device before those it follows have ended: it waits for them itself */
	issue(command: Command, frame: Frame, early = false): void {
		if (command.kind === "kernel") this.#launch(command, frame, early);
		else if (command.kind === "product") this.#product(command, frame);
		else this.#zero(command, frame);
		if (this.#check) this.#memory.synchronize(what(command));
	}

	#launch(launch: Launch, frame: Frame, early: boolean): void {
		if (launch.grid.some((size) => size === 0)) return;
		const fn = this.#kernels.function(launch);
		this.#layOut(launch, frame);
		const { address, view } = this.#config;
		[...launch.grid, ...launch.block, launch.shared].forEach((size, i) => {
			view.setUint32(4 * i, size, true);
		});
		view.setBigUint64(32, this.#stream, true);
		view.setBigUint64(40, address + BigInt(configBytes), true);
		view.setUint32(48, early ? 1 : 0, true);
		view.setUint32(configBytes, cuda.launchProgrammaticSerialization, true);
		view.setInt32(configBytes + 8, 1, true);
		this.#driver.call("cuLaunchKernelEx", what(launch), address, fn, this.#pointers, null);
	}

	#product(product: Product, frame: Frame): void {
		const of = (operand: DeviceOperand | null, stride: number) =>
			operand ? this.#locate(operand, frame, product.batch > 1 ? (product.batch - 1) * stride : 0) : 0n;
		const addresses = {
			a: of(product.a, product.strideA),
			b: of(product.b, product.strideB),
			c: of(product.c, product.strideC),
			y: of(product.y, product.strideY),
			bias: of(product.bias, 0),
		};
		this.#products.run(product, addresses, this.#stream);
	}

	#zero(fill: Fill, frame: Frame): void {
		const { operand } = fill;
		const { rows, cols, ld, dtype } = operand;
		const address = this.#locate(operand, frame, 0);
		const stream = this.#stream;
		const whole = rows === 1 || ld === cols;
		if (!whole && dtype === "half") throw new Error(`[zero] expected rows of halves without gaps, got ${what(fill)}`);
		if (!whole) this.#driver.call("cuMemsetD2D32Async", what(fill), address, 4 * ld, 0, cols, rows, stream);
		else if (dtype === "half") this.#driver.call("cuMemsetD16Async", what(fill), address, 0, rows * cols, stream);
		else this.#driver.call("cuMemsetD32Async", what(fill), address, 0, rows * cols, stream);
	}

	/** Parameters one after the other, each at a multiple of 8 bytes, and the table of their addresses. */
	#layOut({ args, label, kernel }: Launch, frame: Frame): void {
		if (args.length > argumentCount) throw new Error(`[${kernel}] expected at most ${argumentCount} arguments`);
		let at = 0;
		args.forEach((argument, i) => {
			if (at + 24 > argumentBytes) throw new Error(`[${kernel}] expected at most ${argumentBytes} bytes, ${label}`);
			this.#pointers[i] = this.#address + BigInt(at);
			this.#write(argument, at, frame);
			at += argument.kind === "matrix" ? 24 : 8;
		});
	}

	#write(argument: Argument, at: number, frame: Frame): void {
		const view = this.#values;
		const address = (operand: DeviceOperand | null) => (operand ? this.#locate(operand, frame, 0) : 0n);
		if (argument.kind === "int") view.setInt32(at, argument.value, true);
		else if (argument.kind === "float") view.setFloat32(at, argument.value, true);
		else if (argument.kind === "firstSequence") view.setInt32(at, frame.firstSequence, true);
		else if (argument.kind === "job") view.setBigUint64(at, this.#memory.address("job", 0, 4), true);
		else view.setBigUint64(at, address(argument.operand), true);
		if (argument.kind !== "matrix") return;
		const { rows = 0, cols = 0, ld = 0, dtype = "f32" } = argument.operand ?? {};
		[rows, cols, ld, Number(dtype === "half")].forEach((value, i) => {
			view.setInt32(at + 8 + 4 * i, value, true);
		});
	}

	/** Device address of an operand, checked against the end of its space; `more` elements follow the first matrix. */
	#locate({ space, offset, rows, cols, ld, dtype }: DeviceOperand, frame: Frame, more: number): bigint {
		const elements = rows * cols === 0 ? 0 : (rows - 1) * ld + cols + more;
		if (space === "half") {
			return this.#memory.address("half", 0, Math.ceil((offset + elements) / 2)) + 2n * BigInt(offset);
		}
		const words = dtype === "half" ? Math.ceil(elements / 2) : elements;
		if (space === "constants") {
			const { address, words: there } = frame.constants;
			if (offset + words > there) throw new Error(`[constants] expected at most ${there} words, got ${offset + words}`);
			return address + 4n * BigInt(offset);
		}
		const region = space === "gradients" ? "slices" : space;
		const base = space === "scratch" ? 0 : (frame.bases[space] ?? 0);
		return this.#memory.address(region, base + offset, words);
	}
}

/** "gelu, mlp of layer 2: gelu<<<12x1x1, 256>>> (64, 384) (64, 384)" */
export function what(command: Command): string {
	const shape = (operand: DeviceOperand | null) => (operand ? `(${operand.rows}, ${operand.cols})` : "none");
	if (command.kind === "zero") return `zero ${command.operand.space} ${shape(command.operand)} (${command.label})`;
	if (command.kind === "product") return `product (${command.label}) of ${shape(command.a)} and ${shape(command.b)}`;
	const { kernel, grid, block, shared, label, args } = command;
	const shapes = args.flatMap((argument) => ("operand" in argument ? [shape(argument.operand)] : []));
	const size = `<<<${grid.join("x")}, ${block.join("x")}${shared ? `, ${shared}` : ""}>>>`;
	return `${label}: ${kernel}${size} ${shapes.join(" ")}`;
}
