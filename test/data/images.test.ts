import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RivuletError } from "../../src/base/errors.ts";
import { ImageTask } from "../../src/data/image-task.ts";
import { readCifar } from "../../src/data/images/cifar.ts";
import { readMnist } from "../../src/data/images/idx.ts";
import { openImages } from "../../src/data/images/open-images.ts";
import { readTar } from "../../src/data/images/tar.ts";

const record = 3073;

/** `count` records: label i mod 10, red i, green 2 i, blue 3 i everywhere. */
function cifarBytes(count: number): Buffer {
	const bytes = Buffer.alloc(count * record);
	for (let i = 0; i < count; i++) {
		bytes[i * record] = i % 10;
		for (let plane = 0; plane < 3; plane++) {
			bytes.fill((plane + 1) * i, i * record + 1 + plane * 1024, i * record + 1 + (plane + 1) * 1024);
		}
	}
	return bytes;
}

function idx(dimensions: number[], data: number[]): Buffer {
	const header = Buffer.alloc(4 + 4 * dimensions.length);
	header.writeUInt32BE(0x0800 | dimensions.length, 0);
	dimensions.forEach((size, i) => header.writeUInt32BE(size, 4 + 4 * i));
	return Buffer.concat([header, Buffer.from(data)]);
}

function tarEntry(name: string, content: Buffer): Buffer {
	const header = Buffer.alloc(512);
	header.write(name, 0);
	header.write(content.length.toString(8).padStart(11, "0"), 124);
	header.write("0", 156);
	header.fill(" ", 148, 156);
	const sum = header.reduce((total, byte) => total + byte, 0);
	header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
	return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

function cifarFolder(zip: boolean): string {
	const folder = mkdtempSync(join(tmpdir(), "rivulet-images-"));
	for (const name of [1, 2, 3, 4, 5].map((n) => `data_batch_${n}.bin`).concat("test_batch.bin")) {
		const bytes = cifarBytes(name.startsWith("test") ? 7 : 11);
		writeFileSync(join(folder, zip ? `${name}.gz` : name), zip ? gzipSync(bytes) : bytes);
	}
	return folder;
}

describe("CIFAR-10", () => {
	test.each([true, false])("a folder of batches, gzip %s: luma, labels, order", (zip) => {
		const { train, validation } = openImages(cifarFolder(zip));
		expect([train.count, validation.count, train.width, train.height]).toEqual([55, 7, 32, 32]);
		expect([...train.labels.subarray(0, 12)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0]);
		expect(train.pixels[10 * 1024]).toBe((10 * 19595 + 20 * 38470 + 30 * 7471 + 32768) >> 16);
	});

	test("equal planes keep their value: the luma's factors add up to one", () => {
		const bytes = Buffer.alloc(record, 201);
		bytes[0] = 3;
		expect(new Set(readCifar("a.bin", bytes).pixels)).toEqual(new Set([201]));
	});

	test("the official archive", () => {
		const parts = [1, 2, 3, 4, 5].map((n) => tarEntry(`cifar-10-batches-bin/data_batch_${n}.bin`, cifarBytes(2)));
		parts.push(tarEntry("cifar-10-batches-bin/test_batch.bin", cifarBytes(3)), Buffer.alloc(1024));
		const path = join(mkdtempSync(join(tmpdir(), "rivulet-images-")), "cifar-10-binary.tar.gz");
		writeFileSync(path, gzipSync(Buffer.concat(parts)));
		const { train, validation } = openImages(path);
		expect([train.count, validation.count]).toEqual([10, 3]);
	});

	test("what is damaged is refused by name", () => {
		expect(() => readCifar("a.bin", Buffer.alloc(record + 1))).toThrow(
			/a\.bin: expected a whole number of 3073-byte images/,
		);
		const wrong = cifarBytes(2);
		wrong[record] = 10;
		expect(() => readCifar("a.bin", wrong)).toThrow(/label 10 on image 1/);
		const folder = cifarFolder(false);
		writeFileSync(join(folder, "data_batch_3.bin"), gzipSync(cifarBytes(2)).subarray(0, 40));
		expect(() => openImages(folder)).toThrow(RivuletError);
	});
});

describe("MNIST", () => {
	const images = idx([2, 2, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
	const labels = idx([2], [7, 0]);

	test("images and labels", () => {
		const set = readMnist("i", images, "l", labels);
		expect([set.count, set.height, set.width, set.pixels[6], set.labels[0]]).toEqual([2, 2, 3, 7, 7]);
	});

	test("wrong magic, sizes, labels", () => {
		expect(() => readMnist("i", labels, "l", labels)).toThrow(/magic/);
		expect(() => readMnist("i", images.subarray(0, 20), "l", labels)).toThrow(/2 x 2 x 3 bytes/);
		expect(() => readMnist("i", images, "l", idx([3], [1, 2, 3]))).toThrow(/expected 2 labels, found 3/);
		expect(() => readMnist("i", images, "l", idx([2], [1, 12]))).toThrow(/label 12/);
	});
});

test("any bytes at all are images or a RivuletError", () => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 4000 }), (bytes) => {
			const readers = [() => readCifar("a", bytes), () => readTar("a", bytes), () => readMnist("a", bytes, "b", bytes)];
			for (const read of readers) {
				try {
					read();
				} catch (error) {
					expect(error).toBeInstanceOf(RivuletError);
				}
			}
		}),
	);
});

test("nothing there, and nothing known there", () => {
	expect(() => openImages("/nowhere/at/all")).toThrow(/found nothing there/);
	expect(() => openImages(mkdtempSync(join(tmpdir(), "rivulet-images-")))).toThrow(/neither CIFAR-10/);
});

describe("the task", () => {
	const task = new ImageTask(openImages(cifarFolder(false)));

	test("a batch is a function of (seed, step)", () => {
		expect(task.trainBatch(1, 5, 4)).toEqual(task.trainBatch(1, 5, 4));
		expect(task.trainBatch(1, 5, 4)).not.toEqual(task.trainBatch(1, 6, 4));
		expect(task.trainBatch(1, 5, 4).ids.length).toBe(4 * 1024);
	});

	test("every validation image once, the rest padding", () => {
		const batches = [...task.evaluationBatches(3)];
		expect(batches.map(({ sequences }) => sequences)).toEqual([3, 3, 1]);
		expect(batches.flatMap(({ targets }) => [...targets])).toEqual([0, 1, 2, 3, 4, 5, 6, -1, -1]);
	});
});
