import { existsSync } from "node:fs";
import { mkdtemp, open, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { RivuletError } from "../../src/base/errors.ts";
import { encodeSafetensors, type TensorValue } from "../../src/base/safetensors.ts";
import { readSafetensors, SafetensorsFile, writeSafetensors } from "../../src/base/safetensors-file.ts";

let folder: string;
let fresh = 0;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "rivulet-safetensors-"));
});
const nextPath = () => join(folder, `${fresh++}.safetensors`);

/** A file with the given header text, taken as it is, and so many bytes of data. */
async function fileWith(header: unknown, dataBytes: number): Promise<string> {
	const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
	const length = Buffer.alloc(8);
	length.writeBigUInt64LE(BigInt(json.length));
	const path = nextPath();
	await writeFile(path, Buffer.concat([length, json, Buffer.alloc(dataBytes)]));
	return path;
}

const entry = (begin: number, end: number, rest: Record<string, unknown> = {}) => ({
	dtype: "F32",
	shape: [(end - begin) / 4],
	data_offsets: [begin, end],
	...rest,
});

describe("a valid file", () => {
	test("comes back exactly: values of every type, names, metadata", async () => {
		const tensors = new Map<string, TensorValue>([
			["a", { shape: [2, 3], data: new Float32Array([1, -0, Number.NaN, Infinity, 1e-45, 3]) }],
			['ünïcode " name', { shape: [2], data: new Int32Array([-1, 2 ** 31 - 1]) }],
			["ids", { shape: [1, 2], data: new BigInt64Array([-1n, 2n ** 62n]) }],
			["odd", { shape: [3], data: new Uint8Array([1, 2, 255]) }],
			["scalar", { shape: [], data: new Float32Array([7]) }],
			["none", { shape: [0, 4], data: new Float32Array(0) }],
		]);
		const path = nextPath();
		await writeSafetensors(path, tensors, { format: "pt" });
		expect(await readSafetensors(path)).toEqual(tensors);
		const file = await SafetensorsFile.open(path);
		expect(file.header.metadata.get("format")).toBe("pt");
		expect((await file.read("ids")).data).toEqual(new BigInt64Array([-1n, 2n ** 62n]));
		await expect(file.read("missing")).rejects.toMatchObject({ code: "tensor-missing" });
		await file.close();
	});

	test("round trip, for any names and shapes", async () => {
		const tensor = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }).chain((shape) => {
			const length = shape.reduce((a, b) => a * b, 1);
			return fc
				.array(fc.float(), { minLength: length, maxLength: length })
				.map((values): TensorValue => ({ shape, data: Float32Array.from(values) }));
		});
		const name = fc.string({ unit: "grapheme" }).filter((text) => text !== "__metadata__");
		await fc.assert(
			fc.asyncProperty(fc.array(fc.tuple(name, tensor), { maxLength: 5 }), async (list) => {
				const path = join(folder, "roundtrip.safetensors");
				await writeSafetensors(path, new Map(list));
				expect(await readSafetensors(path)).toEqual(new Map(list));
			}),
			{ numRuns: 50 },
		);
	});

	test("in half precision is widened", async () => {
		// binary16: 1, -2, largest, smallest normal, smallest subnormal, largest subnormal, infinity, -0
		const f16 = [0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x03ff, 0x7c00, 0x8000];
		const bf16 = [0x3f80, 0xc000, 0x7f80, 0x0080];
		const header = {
			h: { dtype: "F16", shape: [8], data_offsets: [0, 16] },
			b: { dtype: "BF16", shape: [4], data_offsets: [16, 24] },
		};
		const path = await fileWith(header, 0);
		await writeFile(path, Buffer.from(new Uint16Array([...f16, ...bf16]).buffer), { flag: "a" });
		const tensors = await readSafetensors(path);
		expect([...(tensors.get("h") as TensorValue).data]).toEqual([
			1,
			-2,
			65504,
			2 ** -14,
			2 ** -24,
			1023 * 2 ** -24,
			Infinity,
			-0,
		]);
		expect([...(tensors.get("b") as TensorValue).data]).toEqual([1, -2, Infinity, 2 ** -126]);
	});

	test("of the golden vectors opens", async ({ skip }) => {
		const path = "../shared/golden/lm-forget.safetensors";
		if (!existsSync(path)) skip();
		const tensors = await readSafetensors(path);
		expect(tensors.get("input.ids")?.shape).toEqual([3, 16]);
		expect(tensors.get("expect.loss")?.data[0]).toBeCloseTo(2.683382, 5);
	});
});

describe("a hostile file", () => {
	const cases: [string, unknown, number, RegExp][] = [
		["an array", "[]", 0, /begin with \{/],
		["no JSON", "{", 0, /not valid JSON/],
		["spaces first", " {}", 0, /begin with \{/],
		["depth", `{"a":${"[".repeat(100_000)}`, 0, /nests more than/],
		[
			"a name twice",
			'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\\u0061":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
			1,
			/"a" twice/,
		],
		["a field twice", '{"a":{"dtype":"U8","dtype":"F32","shape":[1],"data_offsets":[0,1]}}', 1, /"dtype" twice/],
		["an entry of the wrong kind", { a: 5 }, 0, /tensor "a": expected an object/],
		["an unknown dtype", { a: entry(0, 4, { dtype: "F8" }) }, 4, /tensor "a": expected dtype .* found "F8"/],
		["a dtype from the prototype", { a: entry(0, 4, { dtype: "toString" }) }, 4, /expected dtype/],
		["a negative shape", { a: entry(0, 4, { shape: [-1] }) }, 4, /tensor "a": expected a shape/],
		["a fractional shape", { a: entry(0, 4, { shape: [0.5, 2] }) }, 4, /expected a shape/],
		["a huge shape", { a: entry(0, 4, { shape: [2 ** 40, 2 ** 40] }) }, 4, /expected 4\.8.*e\+24 bytes/],
		["an infinite shape", '{"a":{"dtype":"F32","shape":[1e999],"data_offsets":[0,4]}}', 4, /expected a shape/],
		["a shape that does not fit its bytes", { a: entry(0, 4, { shape: [2] }) }, 4, /expected 8 bytes .* found 4/],
		["offsets beyond the file", { a: entry(0, 400) }, 4, /within the file's 4 bytes/],
		["offsets in reverse", { a: entry(4, 0, { shape: [0] }) }, 4, /within the file/],
		["offsets that are no integers", { a: entry(0, 4, { data_offsets: [0, "4"] }) }, 4, /expected two offsets/],
		["overlapping tensors", { a: entry(0, 8), b: entry(4, 12) }, 12, /tensor "b" overlaps/],
		["a gap", { a: entry(0, 4), b: entry(8, 12) }, 12, /tensor "b": 4 bytes before it/],
		["bytes left over", { a: entry(0, 4) }, 12, /expected 4 bytes of data, found 12/],
		["metadata that is no text", { __metadata__: { a: 1 } }, 0, /__metadata__/],
	];
	test.each(cases)("with %s is refused", async (_, header, dataBytes, message) => {
		const error = await readSafetensors(await fileWith(header, dataBytes)).catch((error) => error);
		expect(error).toBeInstanceOf(RivuletError);
		expect(error.message).toMatch(message);
	});

	test("that is missing, a folder, empty, cut short, or lies about its header is refused", async () => {
		await expect(readSafetensors(join(folder, "missing"))).rejects.toMatchObject({ code: "file-missing" });
		await expect(readSafetensors(folder)).rejects.toMatchObject({ code: "file-is-folder" });
		const path = nextPath();
		for (const bytes of [[], [1, 2, 3], [255, 255, 255, 255, 255, 255, 255, 255], [9, 0, 0, 0, 0, 0, 0, 0, 123]]) {
			await writeFile(path, Uint8Array.from(bytes));
			await expect(readSafetensors(path)).rejects.toMatchObject({ code: "safetensors-invalid" });
		}
		await writeFile(path, Uint8Array.from([4, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0xff, 0xfe, 0x7d]));
		await expect(readSafetensors(path)).rejects.toThrow("not UTF-8");
	});

	test("with a name like __proto__ gives a tensor of that name and nothing else", async () => {
		const path = await fileWith('{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1);
		expect([...(await readSafetensors(path)).keys()]).toEqual(["__proto__"]);
	});

	test("made by changing a valid one never fails with anything but a RivuletError", async () => {
		const tensors = new Map<string, TensorValue>([
			["w", { shape: [2, 2], data: new Float32Array([1, 2, 3, 4]) }],
			["b", { shape: [3], data: new Int32Array([1, 2, 3]) }],
		]);
		const valid = Buffer.concat(encodeSafetensors(tensors, { format: "pt" }));
		const path = join(folder, "mutated.safetensors");
		const change = fc.record({
			at: fc.nat(valid.length - 1),
			byte: fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('0919-,:{}[]"e.'))),
		});
		await fc.assert(
			fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), fc.nat(valid.length), async (changes, cut) => {
				const bytes = Buffer.from(valid);
				for (const { at, byte } of changes) bytes[at] = byte;
				for (const length of [bytes.length, cut]) {
					await writeFile(path, bytes.subarray(0, length));
					try {
						await readSafetensors(path);
					} catch (error) {
						expect(error).toBeInstanceOf(RivuletError);
					}
				}
			}),
			{ numRuns: 400 },
		);
	});
});

describe("reading", () => {
	test("one small tensor of a large file touches only that", async () => {
		// A sparse file of 3 GB: reading it whole would fail or take very long.
		const big = 3 * 2 ** 30;
		const path = await fileWith({ big: entry(0, big), small: entry(big, big + 8) }, 0);
		const size = (await readFile(path)).length;
		const handle = await open(path, "r+");
		await handle.write(Buffer.from(new Float32Array([5, 6]).buffer), 0, 8, size + big);
		await handle.close();
		const file = await SafetensorsFile.open(path);
		expect([...(await file.read("small")).data]).toEqual([5, 6]);
		await file.close();
		const truncate = await open(path, "r+");
		await truncate.truncate(0);
		await truncate.close();
	});
});

describe("writing", () => {
	test("refuses a shape that does not fit its data, and the reserved name", () => {
		const data = new Float32Array(3);
		expect(() => encodeSafetensors(new Map([["a", { shape: [2], data }]]))).toThrow(
			"[safetensors] a: expected 2 values",
		);
		expect(() => encodeSafetensors(new Map([["__metadata__", { shape: [3], data }]]))).toThrow("__metadata__");
	});

	test("to a full disk fails and says so", async ({ skip }) => {
		if (!existsSync("/dev/full")) skip();
		const tensors = new Map([["a", { shape: [3], data: new Float32Array(3) }]]);
		await expect(writeSafetensors("/dev/full", tensors)).rejects.toMatchObject({ code: "disk-full" });
	});

	test("starts the data at a multiple of 8 bytes", () => {
		for (const name of ["a", "ab", "abc", "abcd", "abcde"]) {
			const [head] = encodeSafetensors(new Map([[name, { shape: [1], data: new Float32Array(1) }]]));
			expect(head.length % 8).toBe(0);
		}
	});
});
