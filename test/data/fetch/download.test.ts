import {
	existsSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	statSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type DownloadOptions, download, partPath } from "../../../src/data/fetch/download.ts";
import { content, fileAt, type Handler, type Publisher, publish, upTo, whole, withoutRanges } from "./server.ts";

let folder = "";
let path = "";
let publisher: Publisher | undefined;

beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "rivulet-download-"));
	path = join(folder, "data", "tiny.bin");
});
afterEach(async () => {
	await publisher?.close();
	publisher = undefined;
	rmSync(folder, { recursive: true, force: true });
});

/** Download from a server of its own that answers so. */
async function from(handle: Handler, options?: DownloadOptions) {
	await publisher?.close();
	publisher = await publish(handle);
	return await download(fileAt(publisher.url), path, options);
}

const part = () => (existsSync(partPath(path)) ? statSync(partPath(path)).size : 0);
const isWhole = () => readFileSync(path).equals(content) && !existsSync(partPath(path));

test("brings a file, says how far it is, and finds it there the next time without asking anyone", async () => {
	const seen: number[] = [];
	expect(await from(whole, { onProgress: ({ done }) => seen.push(done) })).toBe("fetched");
	expect(isWhole()).toBe(true);
	expect(seen.at(-1)).toBe(content.length);
	expect(seen).toEqual([...seen].sort((a, b) => a - b));
	expect(await from(whole)).toBe("present");
	expect(publisher?.ranges).toEqual([]);
});

describe("after a connection that broke off", () => {
	beforeEach(async () => {
		await expect(from(upTo(70_000, "cut"))).rejects.toMatchObject({
			code: "fetch-cut",
			message: expect.stringContaining("70,000 of 200,000 bytes"),
			hint: expect.stringContaining("tiny.bin.part"),
		});
		expect([part(), existsSync(path)]).toEqual([70_000, false]);
	});

	test("goes on with the rest", async () => {
		const resumed = new Set<number>();
		expect(await from(whole, { onProgress: (progress) => resumed.add(progress.resumed) })).toBe("fetched");
		expect([publisher?.ranges, [...resumed], isWhole()]).toEqual([["bytes=70000-"], [70_000], true]);
	});

	test("begins anew where the server knows no ranges", async () => {
		expect(await from(withoutRanges)).toBe("fetched");
		expect([publisher?.ranges, isWhole()]).toEqual([["bytes=70000-"], true]);
	});

	test.each([
		["another range", 206, { "content-range": "bytes 0-199999/200000" }],
		["none at all", 416, {}],
	])("asks for everything where the server gives %s", async (_, status, headers) => {
		const handle: Handler = (request, response) => {
			if (!request.headers.range) whole(request, response);
			else response.writeHead(status, headers).end();
		};
		expect(await from(handle)).toBe("fetched");
		expect([publisher?.ranges, isWhole()]).toEqual([["bytes=70000-", undefined], true]);
	});

	test("keeps nothing where the halves do not fit", async () => {
		const bytes = readFileSync(partPath(path));
		bytes[5] ^= 1;
		writeFileSync(partPath(path), bytes);
		await expect(from(whole)).rejects.toMatchObject({ code: "fetch-checksum" });
		expect(readdirSync(join(folder, "data"))).toEqual([]);
		expect(await from(whole)).toBe("fetched");
	});
});

test("a part that is whole is checked and named, and nobody is asked", async () => {
	await expect(from(upTo(70_000, "cut"))).rejects.toThrow();
	writeFileSync(partPath(path), content);
	expect(await from(whole)).toBe("fetched");
	expect([publisher?.ranges, isWhole()]).toEqual([[], true]);
});

describe("what is not the file leaves nothing", () => {
	const wrong = Buffer.from(content);
	wrong[199_999] ^= 1;
	test.each<[string, string, Handler]>([
		["other bytes", "fetch-checksum", (_, response) => response.end(wrong)],
		["more, announced", "fetch-size", (_, response) => response.end(Buffer.concat([content, content]))],
		[
			"more, unannounced",
			"fetch-size",
			(_, response) => {
				response.write(content);
				response.end(content);
			},
		],
		["a sign-in page", "fetch-size", (_, response) => response.end("<html>Sign in</html>")],
		["not found", "fetch-status", (_, response) => response.writeHead(404).end("no")],
	])("%s", async (_, code, handle) => {
		await expect(from(handle)).rejects.toMatchObject({ code });
		expect(readdirSync(join(folder, "data"))).toEqual([]);
	});
});

test("another file of that name is refused and stays", async () => {
	await from(whole);
	truncateSync(path, 100);
	await expect(from(whole)).rejects.toMatchObject({
		code: "file-exists",
		message: expect.stringContaining("expected 200,000 bytes, found 100"),
	});
	writeFileSync(path, Buffer.alloc(content.length));
	await expect(from(whole)).rejects.toMatchObject({ code: "file-exists", message: expect.stringContaining("SHA-256") });
	expect(statSync(path).size).toBe(content.length);
});

test("a server that falls silent, before or after its answer, is given up", async () => {
	await expect(from(() => undefined, { patience: 100 })).rejects.toMatchObject({
		code: "fetch-offline",
		message: expect.stringContaining("silent for 0.1 s"),
	});
	await expect(from(upTo(70_000, "silence"), { patience: 100 })).rejects.toMatchObject({ code: "fetch-cut" });
	expect(part()).toBe(70_000);
});

test("stops when told, keeps what arrived, and goes on from there", async () => {
	const controller = new AbortController();
	const onProgress = ({ done }: { done: number }) => done === 70_000 && controller.abort();
	expect(await from(upTo(70_000, "silence"), { signal: controller.signal, onProgress })).toBe("interrupted");
	expect([part(), existsSync(path)]).toEqual([70_000, false]);
	expect(await from(whole)).toBe("fetched");
	expect([publisher?.ranges, isWhole()]).toEqual([["bytes=70000-"], true]);
});

test("nothing is asked for when told to stop before", async () => {
	expect(await from(whole, { signal: AbortSignal.abort() })).toBe("interrupted");
	expect([publisher?.ranges, readdirSync(join(folder, "data"))]).toEqual([[], []]);
});
