/** How fast the device is: a large matrix product and a large copy, timed by events on the stream. */
import type { Products } from "./cublaslt.ts";
import { cuda, type Driver } from "./driver.ts";
import type { DeviceOperand, Product } from "./lower-types.ts";

/** Side of the product, and words of each of its matrices. */
const side = 4096;
const words = side * side;

/**
 * GFLOP/s of the product in the runtime's precision (`half`: of operands in half precision), and GB/s of copying, bytes read and written.
 * Operands are noise: a product of zeros draws less power and runs faster than any real one.
 */
export function measureRates(
	driver: Driver,
	products: Products,
	stream: bigint,
	{ seconds, half }: { seconds: number; half: boolean },
): { gflops: number; copy: number } {
	const bytes = 4 * words;
	const base = driver.allocate(3 * bytes, "measuring");
	const start = driver.make("cuEventCreate", "event", cuda.eventDefault);
	const end = driver.make("cuEventCreate", "event", cuda.eventDefault);
	try {
		fillWithNoise(driver, base, 2 * words, stream, half);
		const [a, b, y] = [base, base + BigInt(bytes), base + BigInt(2 * bytes)];
		const addresses = { a, b, y, c: 0n, bias: 0n };
		const product = squareProduct(half);
		const best = (repeats: number, work: () => void) => {
			const until = performance.now() + 500 * seconds;
			let least = Number.POSITIVE_INFINITY;
			const time = new Float32Array(1);
			do {
				driver.call("cuEventRecord", "measuring", start, stream);
				for (let i = 0; i < repeats; i++) work();
				driver.call("cuEventRecord", "measuring", end, stream);
				driver.call("cuEventSynchronize", "measuring", end);
				driver.call("cuEventElapsedTime", "measuring", time, start, end);
				least = Math.min(least, time[0] / repeats);
			} while (performance.now() < until);
			return least;
		};
		const productTime = best(5, () => products.run(product, addresses, stream));
		const copyTime = best(5, () => driver.call("cuMemcpyDtoDAsync", "measuring", y, a, bytes, stream));
		return { gflops: (2 * side ** 3) / productTime / 1e6, copy: (2 * bytes) / copyTime / 1e6 };
	} finally {
		driver.function("cuEventDestroy")(start);
		driver.function("cuEventDestroy")(end);
		driver.function("cuStreamSynchronize")(stream);
		driver.function("cuMemFree")(base);
	}
}

function squareProduct(half: boolean): Product {
	const square = { space: "arena", offset: 0, rows: side, cols: side, ld: side } as const;
	const factor: DeviceOperand = { ...square, dtype: half ? "half" : "f32" };
	return {
		kind: "product",
		a: factor,
		b: factor,
		y: { ...square, dtype: "f32" },
		c: null,
		bias: null,
		transposeA: false,
		transposeB: true,
		batch: 1,
		strideA: 0,
		strideB: 0,
		strideC: 0,
		strideY: 0,
		label: "measuring",
	};
}

/** Numbers around 1 of either sign, the same million of them over and over. */
function fillWithNoise(driver: Driver, address: bigint, count: number, stream: bigint, half: boolean): void {
	const noise = new Float32Array(1 << 20);
	const bits = new Uint16Array(noise.buffer);
	if (half)
		for (let i = 0; i < bits.length; i++) bits[i] = (Math.random() < 0.5 ? 0xbf00 : 0x3f00) | (Math.random() * 256);
	else for (let i = 0; i < noise.length; i++) noise[i] = Math.random() * 2 - 1;
	for (let at = 0; at < count; at += noise.length) {
		const to = address + 4n * BigInt(at);
		driver.call("cuMemcpyHtoDAsync", "measuring", to, noise, noise.byteLength, stream);
	}
	driver.call("cuStreamSynchronize", "measuring", stream);
}
