/** A publisher on loopback: serves some bytes as told, and remembers what it was asked. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { RemoteData, RemoteFile } from "../../../src/data/fetch/catalog.ts";

/** 200,000 bytes that no slip of position leaves alike. */
export const content = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 31 + (i >> 8) * 7) & 255));

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export interface Publisher {
	readonly url: string;
	/** The range header of each request so far. */
	readonly ranges: (string | undefined)[];
	close(): Promise<void>;
}

export async function publish(handle: Handler): Promise<Publisher> {
	const ranges: (string | undefined)[] = [];
	const server = createServer((request, response) => {
		ranges.push(request.headers.range);
		handle(request, response);
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/tiny.bin`;
	const close = () => {
		server.closeAllConnections();
		return new Promise<void>((resolve) => server.close(() => resolve()));
	};
	return { url, ranges, close };
}

/** As good servers do: ranges, or all of it. */
export const whole: Handler = (request, response) => {
	const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
	const rest = content.subarray(from);
	const range = { "content-range": `bytes ${from}-${content.length - 1}/${content.length}` };
	response.writeHead(from > 0 ? 206 : 200, { "content-length": rest.length, ...(from > 0 && range) });
	response.end(rest);
};

/** All of it, whatever was asked for. */
export const withoutRanges: Handler = (_, response) => {
	response.writeHead(200, { "content-length": content.length });
	response.end(content);
};

/** Promises all, sends `bytes`, then `after` happens to the connection. */
export function upTo(bytes: number, after: "cut" | "silence"): Handler {
	return (_, response) => {
		response.writeHead(200, { "content-length": content.length });
		response.write(content.subarray(0, bytes), () => {
			// Let the bytes arrive before the connection goes.
			if (after === "cut") setTimeout(() => response.destroy(), 50);
		});
	};
}

export function fileAt(url: string): RemoteFile {
	const sha256 = createHash("sha256").update(content).digest("hex");
	return { name: "tiny.bin", url, bytes: content.length, sha256 };
}

export function dataAt(url: string): RemoteData {
	return {
		name: "tiny",
		title: "a few bytes",
		files: [fileAt(url)],
		terms: "none",
		preset: ["--preset", "image"],
		path: (folder) => folder,
	};
}
