/** The regular files of a tar archive in memory, as far as CIFAR-10's needs it: ustar headers of 512 bytes, names up to 100 bytes. */
import { badImages } from "./image-set.ts";

const block = 512;

/** File names without their folders, and contents. @throws RivuletError images-damaged */
export function readTar(file: string, bytes: Uint8Array): Map<string, Uint8Array> {
	const files = new Map<string, Uint8Array>();
	for (let at = 0; at + block <= bytes.length; ) {
		const header = bytes.subarray(at, at + block);
		if (header.every((byte) => byte === 0)) break;
		const size = Number.parseInt(field(header, 124, 12), 8);
		if (!Number.isSafeInteger(size) || size < 0 || checksum(header) !== Number.parseInt(field(header, 148, 8), 8)) {
			throw badImages(file, `the header of a tar entry at byte ${at}`, "something else");
		}
		const start = at + block;
		if (start + size > bytes.length)
			throw badImages(file, `${size} bytes of an entry at ${start}`, `${bytes.length - start}`);
		const type = String.fromCharCode(header[156]);
		if (type === "0" || type === "\0") {
			const name = field(header, 0, 100).split("/").pop() as string;
			files.set(name, bytes.subarray(start, start + size));
		}
		at = start + Math.ceil(size / block) * block;
	}
	return files;
}

/** Text up to the first NUL. */
function field(header: Uint8Array, offset: number, length: number): string {
	const text = Buffer.from(header.subarray(offset, offset + length)).toString("latin1");
	return text.split("\0")[0].trim();
}

/** Sum of the header's bytes, its own checksum counted as spaces. */
function checksum(header: Uint8Array): number {
	return header.reduce((sum, byte, i) => sum + (i >= 148 && i < 156 ? 32 : byte), 0);
}
