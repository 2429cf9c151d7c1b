/** Small pictures as PNG data addresses (RFC 2083), so that an SVG can hold pixels without a file beside it. */
import { deflateSync } from "node:zlib";

/**
 * @param channels 1: gray, 4: red, green, blue, opacity; `pixels` has width * height * channels bytes, row by row
 * @param zoom each pixel becomes a square of zoom x zoom: viewers differ in how they enlarge, whole pixels are sharp in all
 */
export function pngAddress(width: number, height: number, channels: 1 | 4, pixels: Uint8Array, zoom = 1): string {
	if (pixels.length !== width * height * channels) {
		throw new Error(`[png] expected ${width * height * channels} bytes, got ${pixels.length}`);
	}
	const columns = width * zoom;
	const stride = 1 + columns * channels; // each row begins with its filter, 0: none
	const rows = Buffer.alloc(stride * height * zoom);
	for (let y = 0; y < height * zoom; y++) {
		for (let x = 0; x < columns; x++) {
			const from = (Math.floor(y / zoom) * width + Math.floor(x / zoom)) * channels;
			for (let c = 0; c < channels; c++) rows[y * stride + 1 + x * channels + c] = pixels[from + c];
		}
	}
	const header = Buffer.alloc(13);
	header.writeUInt32BE(columns, 0);
	header.writeUInt32BE(height * zoom, 4);
	header.set([8, channels === 1 ? 0 : 6, 0, 0, 0], 8);
	const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
	const file = [signature, chunk("IHDR", header), chunk("IDAT", deflateSync(rows, { level: 9 })), chunk("IEND")];
	return `data:image/png;base64,${Buffer.concat(file).toString("base64")}`;
}

function chunk(name: string, content: Uint8Array = new Uint8Array()): Buffer {
	const named = Buffer.concat([Buffer.from(name, "latin1"), content]);
	const result = Buffer.alloc(named.length + 8);
	result.writeUInt32BE(content.length, 0);
	result.set(named, 4);
	result.writeUInt32BE(crc(named), named.length + 4);
	return result;
}

const table = Uint32Array.from({ length: 256 }, (_, start) => {
	let value = start;
	for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
	return value;
});

/** The checksum of PNG chunks (`zlib.crc32` is missing in the first Node 20). */
function crc(bytes: Uint8Array): number {
	let value = 0xffffffff;
	for (const byte of bytes) value = table[(value ^ byte) & 255] ^ (value >>> 8);
	return (value ^ 0xffffffff) >>> 0;
}
