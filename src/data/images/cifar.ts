/**
 * CIFAR-10 in its official binary format: per image a label byte, then 1024 red, 1024 green and 1024 blue bytes. Images become
 * gray by the luma of ITU-R 601, in the fixed-point form that common image libraries use.
 */
import { badImages, checkLabels, type ImageSet } from "./image-set.ts";

const side = 32;
const plane = side * side;
const record = 1 + 3 * plane;
const classes = 10;

/** Names of the classes, in order of their labels. */
export const cifarClasses = [
	"airplane",
	"automobile",
	"bird",
	"cat",
	"deer",
	"dog",
	"frog",
	"horse",
	"ship",
	"truck",
] as const;

/** Bytes of the largest batch there is, with room to spare: what a compressed file may become. */
export const mostCifarBytes = 60_000 * record;

/** @throws RivuletError images-damaged */
export function readCifar(file: string, bytes: Uint8Array): ImageSet {
	if (bytes.length === 0 || bytes.length % record !== 0) {
		throw badImages(file, `a whole number of ${record}-byte images`, `${bytes.length} bytes`);
	}
	const count = bytes.length / record;
	const labels = new Uint8Array(count);
	const pixels = new Uint8Array(count * plane);
	for (let i = 0; i < count; i++) {
		const at = i * record;
		labels[i] = bytes[at];
		for (let p = 0; p < plane; p++) {
			const red = bytes[at + 1 + p];
			const green = bytes[at + 1 + plane + p];
			const blue = bytes[at + 1 + 2 * plane + p];
			pixels[i * plane + p] = (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16;
		}
	}
	checkLabels(file, labels, classes);
	return { count, width: side, height: side, pixels, labels, classes };
}
