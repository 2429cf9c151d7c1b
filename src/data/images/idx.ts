/** MNIST's idx files: big-endian magic (type, dimensions), sizes, then bytes. */
import { badImages, checkLabels, type ImageSet } from "./image-set.ts";

const unsignedByte = 0x08;
const classes = 10;
const mostImages = 1 << 20;

/** Dimensions and bytes of one idx file. @throws RivuletError images-damaged */
function readIdx(file: string, bytes: Uint8Array, dimensions: number): { sizes: number[]; data: Uint8Array } {
	const header = 4 + 4 * dimensions;
	const magic = `the magic number of an idx file of bytes in ${dimensions} dimensions`;
	if (bytes.length < header) throw badImages(file, magic, `${bytes.length} bytes in all`);
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const found = view.getUint32(0);
	if (found !== ((unsignedByte << 8) | dimensions)) throw badImages(file, magic, `0x${found.toString(16)}`);
	const sizes = Array.from({ length: dimensions }, (_, i) => view.getUint32(4 + 4 * i));
	const total = sizes.reduce((product, size) => product * size, 1);
	if (sizes[0] > mostImages || total !== bytes.length - header) {
		throw badImages(file, `${sizes.join(" x ")} bytes after the header`, `${bytes.length - header}`);
	}
	return { sizes, data: bytes.subarray(header) };
}

/** An idx file of images and its file of labels. @throws RivuletError images-damaged */
export function readMnist(imageFile: string, images: Uint8Array, labelFile: string, labelBytes: Uint8Array): ImageSet {
	const { sizes, data: pixels } = readIdx(imageFile, images, 3);
	const { sizes: labelSizes, data: labels } = readIdx(labelFile, labelBytes, 1);
	const [count, height, width] = sizes;
	if (count === 0 || height === 0 || width === 0) throw badImages(imageFile, "some images", sizes.join(" x "));
	if (labelSizes[0] !== count) throw badImages(labelFile, `${count} labels`, String(labelSizes[0]));
	checkLabels(labelFile, labels, classes);
	return { count, width, height, pixels, labels, classes };
}
