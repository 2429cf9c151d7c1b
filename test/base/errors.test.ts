import { describe, expect, test } from "vitest";
import { RivuletError } from "../../src/base/errors.ts";

describe("RivuletError", () => {
	test("carries code, message, hint, exit status and cause", () => {
		const cause = new Error("below");
		const error = new RivuletError("file-missing", "no file a.txt", { hint: "check the path", exitStatus: 2, cause });
		expect(error).toBeInstanceOf(Error);
		expect(error.name).toBe("RivuletError");
		expect([error.code, error.message, error.hint, error.exitStatus]).toEqual([
			"file-missing",
			"no file a.txt",
			"check the path",
			2,
		]);
		expect(error.cause).toBe(cause);
	});

	test("fails with status 1 and without a hint unless told otherwise", () => {
		const error = new RivuletError("x", "y");
		expect(error.exitStatus).toBe(1);
		expect(error.hint).toBeUndefined();
		expect(error.cause).toBeUndefined();
	});
});
