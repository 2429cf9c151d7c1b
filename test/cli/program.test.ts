import { describe, expect, test } from "vitest";
import { RivuletError } from "../../src/base/errors.ts";
import { configKeys } from "../../src/train/config-keys.ts";
import { rivulet } from "./fake.ts";

describe("help", () => {
	test("of the program lists the commands, with examples", async () => {
		for (const argv of [["--help"], ["-h"], []]) {
			const { status, out, err } = await rivulet(argv);
			expect([status, err]).toEqual([0, ""]);
			for (const word of ["train", "generate", "evaluate", "inspect", "doctor", "Examples:"])
				expect(out).toContain(word);
		}
	});

	test("of train is grouped and short, --help-all has every key", async () => {
		const short = (await rivulet(["train", "--help"])).out;
		for (const heading of ["Data:", "Model:", "Training:", "Run:", "Examples:"]) expect(short).toContain(heading);
		expect(short).toContain("--train.learning-rate");
		expect(short).not.toContain("--train.epsilon");
		const all = await rivulet(["train", "--help-all"]);
		expect(all.status).toBe(0);
		for (const name of configKeys().keys()) expect(all.out).toContain(`--${name} `);
	});

	test.each(["generate", "evaluate", "inspect", "doctor"])(
		"of %s says what it does and how to get at a fault",
		async (name) => {
			const { status, out } = await rivulet([name, "--help"]);
			expect(status).toBe(0);
			for (const word of ["--json", "--debug"]) expect(out).toContain(word);
		},
	);

	test("version is the package's", async () => {
		expect((await rivulet(["--version"])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
	});
});

describe("wrong usage ends with status 2, one message and a way out", () => {
	test.each<[string[], string, string]>([
		[["trian"], "unknown command 'trian'", "did you mean train?"],
		[["bananas"], "unknown command 'bananas'", "--help"],
		[["--wrong"], "unknown option '--wrong'", "--help"],
		[
			["train", "--train.learning-rat", "1"],
			"unknown option '--train.learning-rat'",
			"did you mean --train.learning-rate?",
		],
		[
			["train", "--train.learningRate=1"],
			"unknown option '--train.learningRate",
			"did you mean --train.learning-rate?",
		],
		[["train", "--batch", "1"], "unknown option '--batch'", "did you mean --train.batch?"],
		[["train", "--train.batch"], "argument missing", "--help"],
		[["train", "--train.batch", "none"], "--train.batch: expected an integer >= 1", ""],
		[["train", "notes.txt"], "too many arguments", "--help"],
		[["train"], "data.path is missing", "--preset quick"],
		[["train", "--config", "/nowhere.yaml"], "cannot read the configuration file /nowhere.yaml", "--config"],
		[["generate"], "missing required argument 'run'", "--help"],
		[["generate", "r", "--tokens", "0"], '--tokens: expected an integer >= 1, found "0"', ""],
		[["generate", "r", "--temperature", "hot"], "--temperature: expected a number >= 0", ""],
		[["generate", "r", "--top-p", "1.5"], "--top-p: expected a number in (0, 1]", ""],
		[["generate", "r", "--promt", "x"], "unknown option '--promt'", "did you mean --prompt?"],
		[["generate", "r", "--checkpoint", "worst"], "--checkpoint: expected best, last, or the number of a step", ""],
		[["evaluate", "r", "--backend", "vulkan"], "argument 'vulkan' is invalid", "--help"],
		[["evaluate", "r", "--data.pth", "x"], "unknown option '--data.pth'", "did you mean --data.path?"],
	])("%j", async (argv, message, hint) => {
		const { status, out, err } = await rivulet(argv);
		expect(status).toBe(2);
		expect(out).toBe("");
		expect(err).toContain(`rivulet: `);
		expect(err).toContain(message);
		expect(err).toContain(hint);
		expect(err.trim().split("\n").length).toBeLessThanOrEqual(2);
		expect(err).not.toMatch(/\n\s+at /);
	});
});

describe("failures", () => {
	const failing = (error: unknown) => ({
		doctor: async () => {
			throw error;
		},
	});

	test("of a known kind end with their own status, without a stack trace", async () => {
		const error = new RivuletError("disk-full", "the disk is full", { hint: "free some space" });
		const { status, err } = await rivulet(["doctor"], failing(error));
		expect([status, err]).toEqual([1, "rivulet: the disk is full\n  free some space\n"]);
	});

	test("of an unknown kind say so and how to find out more", async () => {
		const { status, err } = await rivulet(["doctor"], failing(new TypeError("x is undefined")));
		expect(status).toBe(1);
		expect(err).toContain("internal error: x is undefined");
		expect(err).toContain("--debug");
		expect(err).not.toMatch(/\n\s+at /);
	});

	test("show the stack and its cause with --debug", async () => {
		const error = new RivuletError("disk-full", "the disk is full", { cause: new Error("ENOSPC") });
		for (const argv of [
			["doctor", "--debug"],
			["--debug", "doctor"],
		]) {
			const { err } = await rivulet(argv, failing(error));
			expect(err).toMatch(/\n\s+at /);
			expect(err).toContain("caused by Error: ENOSPC");
		}
	});

	test("are one JSON line on standard output with --json", async () => {
		const { status, out } = await rivulet(
			["doctor", "--json"],
			failing(new RivuletError("code", "message", { hint: "hint" })),
		);
		expect(status).toBe(1);
		expect(JSON.parse(out)).toEqual({ error: { code: "code", message: "message", hint: "hint" } });
		expect(out.trim().split("\n")).toHaveLength(1);
	});
});
