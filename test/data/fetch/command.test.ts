import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Actions } from "../../../src/cli/actions.ts";
import { dataCommandOf } from "../../../src/cli/data.ts";
import type { Io } from "../../../src/cli/io.ts";
import { remoteData } from "../../../src/data/fetch/catalog.ts";
import { presetNames } from "../../../src/train/presets.ts";
import { rivulet } from "../../cli/fake.ts";
import { content, dataAt, type Handler, type Publisher, publish, upTo, whole } from "./server.ts";

let folder = "";
let publisher: Publisher | undefined;

beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "rivulet-fetch-"));
});
afterEach(async () => {
	await publisher?.close();
	publisher = undefined;
	rmSync(folder, { recursive: true, force: true });
});

/** `rivulet data fetch tiny --out FOLDER` from a server that answers so. */
async function fetchTiny(handle: Handler, flags: string[] = [], interrupt = new AbortController()) {
	await publisher?.close();
	publisher = await publish(handle);
	return await fetchFrom(publisher.url, flags, interrupt);
}

async function fetchFrom(url: string, flags: string[] = [], interrupt = new AbortController()) {
	const text = { out: "", err: "" };
	const stream = (name: "out" | "err") => ({ write: (piece: string) => (text[name] += piece) });
	const io: Io = { out: stream("out"), err: stream("err"), environment: {}, interrupt: () => interrupt.signal };
	let status = -1;
	const command = dataCommandOf([dataAt(url)])(io, {} as Actions, (value) => (status = value));
	await command.parseAsync(["fetch", "tiny", "--out", folder, ...flags], { from: "user" });
	return { status, ...text };
}

test("shows progress, and ends with the command to use it with", async () => {
	const first = await fetchTiny(whole);
	expect([first.status, first.out]).toEqual([0, `rivulet train --preset image --data.path ${folder}\n`]);
	expect(first.err).toMatch(/^tiny\.bin +\S+ kB of 200 kB/);
	expect(first.err).toContain(`fetched ${join(folder, "tiny.bin")}: 200,000 bytes, checked`);
	const second = await fetchTiny(whole);
	expect(second.err).toBe(`found ${join(folder, "tiny.bin")}: there already, checked\n`);
});

test("says all that as JSON", async () => {
	const { status, out } = await fetchTiny(whole, ["--json"]);
	expect(status).toBe(0);
	expect(JSON.parse(out)).toEqual({
		...{ data: "tiny", out: folder, complete: true },
		files: [{ path: join(folder, "tiny.bin"), bytes: 200_000, outcome: "fetched" }],
		train: `rivulet train --preset image --data.path ${folder}`,
	});
});

test("Ctrl-C keeps the part, says how to go on, and the same command does", async () => {
	const interrupt = new AbortController();
	const handle: Handler = (request, response) => {
		upTo(70_000, "silence")(request, response);
		const part = join(folder, "tiny.bin.part");
		const timer = setInterval(() => {
			if (!existsSync(part) || statSync(part).size < 70_000) return;
			clearInterval(timer);
			interrupt.abort("SIGINT");
		}, 5);
	};
	const stopped = await fetchTiny(handle, [], interrupt);
	expect([stopped.status, stopped.out]).toEqual([130, ""]);
	expect(stopped.err).toContain("70,000 of 200,000 bytes are kept in");
	expect(stopped.err).toContain("the same command goes on from there");
	expect((await fetchTiny(whole)).status).toBe(0);
	expect(publisher?.ranges).toEqual(["bytes=70000-"]);
	expect(statSync(join(folder, "tiny.bin")).size).toBe(content.length);
});

test("without a network, and where the file is gone, says what to bring and where to", async () => {
	const gone = await publish(whole);
	await gone.close();
	const there = `${gone.url} (200,000 bytes) as ${join(folder, "tiny.bin")}`;
	await expect(fetchFrom(gone.url)).rejects.toMatchObject({
		code: "fetch-offline",
		message: expect.stringContaining(`cannot reach ${gone.url}: `),
		hint: expect.stringContaining(there),
	});
	await expect(fetchTiny((_, response) => response.writeHead(404).end())).rejects.toMatchObject({
		code: "fetch-status",
		message: expect.stringContaining("answered 404 Not Found"),
		hint: expect.stringContaining(`tiny.bin (200,000 bytes) as ${join(folder, "tiny.bin")}`),
	});
});

test("help names the data sets; an unknown one is refused with their names", async () => {
	const { out } = await rivulet(["data", "fetch", "--help"]);
	for (const word of ["cifar10", "mnist", "shakespeare", "170 MB", "Examples:", "--json", "--debug"]) {
		expect(out).toContain(word);
	}
	const { status, err } = await rivulet(["data", "fetch", "bananas"]);
	expect(status).toBe(2);
	expect(err).toContain("cifar10, mnist, shakespeare");
});

test("the catalog is well formed, and its presets exist", () => {
	for (const { files, preset } of remoteData) {
		expect(presetNames).toContain(preset[1]);
		for (const file of files) {
			expect(new URL(file.url).protocol).toBe("https:");
			expect(file.sha256).toMatch(/^[0-9a-f]{64}$/);
			expect(file.bytes).toBeGreaterThan(0);
		}
	}
});
