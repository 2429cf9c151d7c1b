/** A handful of images in CIFAR-10's binary form, for tests. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RandomSequence } from "../../src/base/random.ts";

/** Five training files and one to test, a few rows each: label, then 3072 bytes that tell it. */
export function tinyImages(folder: string): void {
	mkdirSync(folder, { recursive: true });
	const names = [...Array.from({ length: 5 }, (_, i) => `data_batch_${i + 1}.bin`), "test_batch.bin"];
	for (const [file, name] of names.entries()) {
		const rows = 8;
		const bytes = new Uint8Array(rows * 3073);
		const random = new RandomSequence(7, 7, file);
		for (let row = 0; row < rows; row++) {
			const label = random.below(10);
			bytes[row * 3073] = label;
			for (let i = 1; i <= 3072; i++) bytes[row * 3073 + i] = 25 * label + random.below(20);
		}
		writeFileSync(join(folder, name), bytes);
	}
}
