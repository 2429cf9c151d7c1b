import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RivuletError } from "../../src/base/errors.ts";
import { countBytes, StoredTokens, slice, TokenFileWriter } from "../../src/data/token-file.ts";

let folder = "";
let path = "";
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "rivulet-tokens-"));
	path = join(folder, "a.tokens");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const header = { vocabularySize: 300, textHash: "ab".repeat(32), tokenizerHash: "cd".repeat(32) };

function write(ids: number[] | Int32Array, vocabularySize = 300, pieces = 1): void {
	const writer = new TokenFileWriter(path, { ...header, vocabularySize });
	const all = Int32Array.from(ids);
	const size = Math.max(1, Math.ceil(all.length / pieces));
	for (let i = 0; i < all.length; i += size) writer.write(all.subarray(i, i + size));
	writer.commit(1000);
}

describe("token files", () => {
	test.each([
		[300, 2],
		[65536, 2],
		[65537, 4],
		[2 ** 20, 4],
	])("with a vocabulary of %d take %d bytes an id, and read back in any range", (vocabularySize, width) => {
		const ids = [0, 1, vocabularySize - 1, 5, 6, 7, 8];
		write(ids, vocabularySize, 3);
		const tokens = new StoredTokens(path);
		expect(readFileSync(path).length).toBe(128 + width * ids.length);
		expect([tokens.length, tokens.bytes, tokens.vocabularySize]).toEqual([7, 1000, vocabularySize]);
		expect([tokens.textHash, tokens.tokenizerHash]).toEqual([header.textHash, header.tokenizerHash]);
		for (let start = 0; start <= ids.length; start++) {
			for (let count = 0; start + count <= ids.length; count++) {
				const into = new Int32Array(count + 1).fill(-7);
				tokens.read(start, count, into);
				expect([...into]).toEqual([...ids.slice(start, start + count), -7]);
			}
		}
		tokens.close();
	});

	test("larger than the writer's block, written in pieces of any size", () => {
		const ids = Int32Array.from({ length: 1_300_000 }, (_, i) => (i * 7919) % 65536);
		write(ids, 65536, 7);
		const tokens = new StoredTokens(path);
		const into = new Int32Array(ids.length);
		tokens.read(0, ids.length, into);
		expect(Buffer.compare(Buffer.from(into.buffer), Buffer.from(ids.buffer))).toBe(0);
		tokens.close();
	});

	test("nothing stands under the name before commit, or after a failure", () => {
		const writer = new TokenFileWriter(path, header);
		writer.write(Int32Array.of(1, 2));
		expect(readdirSync(folder)).not.toContain("a.tokens");
		writer.abandon();
		expect(readdirSync(folder)).toEqual([]);
	});

	test("cut short, lengthened or changed anywhere in the header, they are refused or keep within their bounds", () => {
		write([1, 2, 3, 4, 5, 6, 7, 8, 299]);
		const good = readFileSync(path);
		const damage = fc.tuple(fc.integer({ min: 0, max: good.length - 1 }), fc.integer({ min: 1, max: 255 }));
		fc.assert(
			fc.property(
				fc.array(damage, { minLength: 1, maxLength: 3 }),
				fc.integer({ min: -20, max: 4 }),
				(damages, change) => {
					const bytes =
						change <= 0
							? Buffer.from(good.subarray(0, good.length + change))
							: Buffer.concat([good, Buffer.alloc(change)]);
					for (const [at, by] of damages) if (at < bytes.length) bytes[at] ^= by;
					writeFileSync(path, bytes);
					try {
						const tokens = new StoredTokens(path);
						const into = new Int32Array(tokens.length);
						tokens.read(0, tokens.length, into);
						tokens.close();
						expect(tokens.length).toBe(9);
						for (const id of into) expect(id < tokens.vocabularySize).toBe(true);
					} catch (error) {
						expect(error).toBeInstanceOf(RivuletError);
						expect((error as RivuletError).code).toBe("tokens-invalid");
					}
				},
			),
			{ numRuns: 300 },
		);
	});

	test("say what is wrong and where", () => {
		write([1, 2, 3]);
		const good = readFileSync(path);
		writeFileSync(path, good.subarray(0, 130));
		expect(() => new StoredTokens(path)).toThrow(
			`${path} is not a whole token file: it has 130 bytes, expected 134 for 3 ids`,
		);
		writeFileSync(path, "");
		expect(() => new StoredTokens(path)).toThrow("does not begin with RIVTOKEN");
		expect(() => new StoredTokens(join(folder, "none"))).toThrow("no such file");
		good.writeUInt16LE(300, 130);
		writeFileSync(path, good);
		expect(() => new StoredTokens(path).read(0, 3, new Int32Array(3))).toThrow("id 1 is 300, outside the vocabulary");
	});

	test("ranges outside are a mistake of the caller", () => {
		write([1, 2, 3]);
		const tokens = new StoredTokens(path);
		for (const [start, count, room] of [
			[-1, 1, 9],
			[2, 2, 9],
			[0, 3, 2],
			[0, -1, 9],
		]) {
			expect(() => tokens.read(start, count, new Int32Array(room))).toThrow("expected a range");
		}
		tokens.close();
		tokens.close();
		expect(() => tokens.read(0, 1, new Int32Array(1))).toThrow("closed");
	});
});

describe("parts", () => {
	test("a slice reads its range and no other; bytes are counted over any range", () => {
		const ids = Array.from({ length: 70_000 }, (_, i) => i % 300);
		write(ids);
		const tokens = new StoredTokens(path);
		const part = slice(tokens, 10, 20, 33);
		const into = new Int32Array(10);
		part.read(2, 8, into);
		expect([...into.subarray(0, 8)]).toEqual(ids.slice(12, 20));
		expect([part.length, part.bytes]).toEqual([10, 33]);
		expect(() => part.read(9, 2, into)).toThrow("expected a range");
		expect(() => part.read(-1, 2, into)).toThrow("expected a range");
		const lengths = Int32Array.from({ length: 300 }, (_, id) => id + 1);
		const sum = ids.slice(5, 69_999).reduce((total, id) => total + id + 1, 0);
		expect(countBytes(tokens, 5, 69_999, lengths)).toBe(sum);
		tokens.close();
	});
});
