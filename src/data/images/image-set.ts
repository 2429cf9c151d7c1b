/** Labelled gray images in memory, and what every reader of them checks. */
import { RivuletError } from "../../base/errors.ts";

/** Images of one size: image i is pixels[i * height * width ..], row by row, 0 black to 255 white. */
export interface ImageSet {
	readonly count: number;
	readonly width: number;
	readonly height: number;
	readonly pixels: Uint8Array;
	/** 0 .. classes - 1 */
	readonly labels: Uint8Array;
	readonly classes: number;
}

/** A data set as it comes: its official split. */
export interface ImageData {
	readonly name: string;
	readonly train: ImageSet;
	readonly validation: ImageSet;
}

/** A file that is not what it should be. */
export function badImages(file: string, expected: string, found: string): RivuletError {
	return new RivuletError("images-damaged", `${file}: expected ${expected}, found ${found}`, {
		hint: "the file may be incomplete: fetch it again (rivulet data fetch), or check where it came from",
	});
}

/** @throws RivuletError where a label names no class */
export function checkLabels(file: string, labels: Uint8Array, classes: number): void {
	const index = labels.findIndex((label) => label >= classes);
	if (index >= 0) throw badImages(file, `labels from 0 to ${classes - 1}`, `label ${labels[index]} on image ${index}`);
}

/** Several sets of one size, one after the other. */
export function joinSets(sets: readonly ImageSet[]): ImageSet {
	const [first] = sets;
	const count = sets.reduce((sum, set) => sum + set.count, 0);
	const pixels = new Uint8Array(count * first.width * first.height);
	const labels = new Uint8Array(count);
	let at = 0;
	for (const set of sets) {
		pixels.set(set.pixels, at * first.width * first.height);
		labels.set(set.labels, at);
		at += set.count;
	}
	return { ...first, count, pixels, labels };
}
