/** From a folder or an archive to labelled images: which format it is, what belongs to it, what is missing. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { RivuletError } from "../../base/errors.ts";
import { mostCifarBytes, readCifar } from "./cifar.ts";
import { readMnist } from "./idx.ts";
import { badImages, type ImageData, joinSets } from "./image-set.ts";
import { readTar } from "./tar.ts";

const cifarBatches = [1, 2, 3, 4, 5].map((number) => `data_batch_${number}.bin`);
const cifarTest = "test_batch.bin";
const mnistFiles = [
	"train-images-idx3-ubyte",
	"train-labels-idx1-ubyte",
	"t10k-images-idx3-ubyte",
	"t10k-labels-idx1-ubyte",
] as const;
/** What `rivulet data fetch cifar10` leaves in a folder. */
const cifarArchive = "cifar-10-binary.tar.gz";
const mostBytes = 6 * mostCifarBytes;

/** Contents of the files that make a data set, by their plain names. */
type Files = ReadonlyMap<string, () => Uint8Array>;

/**
 * CIFAR-10 (a folder of its binary batches, the official .tar.gz, or a folder that has it) or MNIST (a folder of its idx files), each file .gz or not.
 * @throws RivuletError data-missing, images-unknown, images-damaged
 */
export function openImages(path: string): ImageData {
	if (!existsSync(path)) {
		throw new RivuletError("data-missing", `expected images at ${path}, found nothing there`, {
			hint: "rivulet data fetch cifar10 brings them, or give the folder that has them",
		});
	}
	const files = statSync(path).isDirectory() ? folderFiles(path) : archiveFiles(path);
	if (files.has(cifarTest) || cifarBatches.some((name) => files.has(name))) return cifar(path, files);
	if (mnistFiles.some((name) => files.has(name))) return mnist(path, files);
	if (existsSync(join(path, cifarArchive))) return openImages(join(path, cifarArchive));
	throw new RivuletError("images-unknown", `${path} holds neither CIFAR-10's binary batches nor MNIST's idx files`, {
		hint: `expected ${cifarBatches[0]} to 5 and ${cifarTest}, or ${mnistFiles.join(", ")}, each .gz or not`,
	});
}

function cifar(path: string, files: Files): ImageData {
	const train = cifarBatches.map((name) => readCifar(join(path, name), required(path, files, name)));
	const validation = readCifar(join(path, cifarTest), required(path, files, cifarTest));
	return { name: "CIFAR-10, gray", train: joinSets(train), validation };
}

function mnist(path: string, files: Files): ImageData {
	const [trainImages, trainLabels, testImages, testLabels] = mnistFiles.map((name) => required(path, files, name));
	const at = (index: number) => join(path, mnistFiles[index]);
	return {
		name: "MNIST",
		train: readMnist(at(0), trainImages, at(1), trainLabels),
		validation: readMnist(at(2), testImages, at(3), testLabels),
	};
}

function required(path: string, files: Files, name: string): Uint8Array {
	const read = files.get(name);
	if (read) return read();
	throw new RivuletError("data-missing", `${path} has no ${name}, which belongs to this data set`, {
		hint: "fetch the data set again, or copy the missing file there",
	});
}

function folderFiles(folder: string): Files {
	const files = new Map<string, () => Uint8Array>();
	for (const name of readdirSync(folder)) {
		const path = join(folder, name);
		files.set(name.replace(/\.gz$/, ""), () => readWhole(path));
	}
	return files;
}

function archiveFiles(path: string): Files {
	const bytes = readWhole(path);
	if (/\.tar(\.gz)?$|\.tgz$/.test(path)) {
		return new Map([...readTar(path, bytes)].map(([name, content]) => [name, () => content]));
	}
	return new Map([[basename(path).replace(/\.gz$/, ""), () => bytes]]);
}

/** A file, unpacked where it is gzip; never more than a data set can be. */
function readWhole(path: string): Uint8Array {
	if (statSync(path).size > mostBytes) throw badImages(path, `at most ${mostBytes} bytes`, `${statSync(path).size}`);
	const bytes = readFileSync(path);
	if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
	try {
		return gunzipSync(bytes, { maxOutputLength: mostBytes });
	} catch (error) {
		throw badImages(path, `gzip of at most ${mostBytes} bytes`, (error as Error).message);
	}
}
