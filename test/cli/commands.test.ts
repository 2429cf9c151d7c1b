import { describe, expect, test } from "vitest";
import type { DoctorReport } from "../../src/cli/doctor.ts";
import type { EvaluateRequest } from "../../src/cli/evaluate.ts";
import type { GenerateRequest } from "../../src/cli/generate.ts";
import type { InspectReport } from "../../src/cli/inspect.ts";
import { rivulet } from "./fake.ts";

describe("generate", () => {
	let request: GenerateRequest;
	const generate = async (asked: GenerateRequest) => {
		request = asked;
		for (const piece of [" upon", " a time"]) asked.onText(piece);
		return { text: " upon a time", tokens: 3, seconds: 0.5, position: 4, ended: "tokens" as const };
	};

	test("writes prompt and text as it comes", async () => {
		const { status, out, err } = await rivulet(["generate", "runs/a", "--prompt", "Once"], { generate });
		expect([status, out, err]).toEqual([0, "Once upon a time\n", ""]);
		expect(request).toMatchObject({
			run: "runs/a",
			tokens: 200,
			temperature: 0.8,
			topK: 0,
			topP: 1,
			seed: 1,
			stop: [],
		});
		expect(request).toMatchObject({ backend: "auto" });
		expect(request.checkpoint).toBeUndefined();
	});

	test("passes every option on", async () => {
		const flags =
			"--tokens 9 --temperature 0 --top-k 4 --top-p 0.9 --seed 7 --state-in a.state --state-out b.state --checkpoint 30";
		await rivulet(
			["generate", "r", ...flags.split(" "), "--stop", "END", "\n\n", "--threads", "1", "--backend", "wasm"],
			{ generate },
		);
		expect(request).toMatchObject({
			tokens: 9,
			temperature: 0,
			topK: 4,
			topP: 0.9,
			seed: 7,
			checkpoint: 30,
			threads: 1,
		});
		expect(request).toMatchObject({ stateIn: "a.state", stateOut: "b.state", stop: ["END", "\n\n"], backend: "wasm" });
	});

	test("with --json writes nothing but one line", async () => {
		const { out } = await rivulet(["generate", "r", "--prompt", "Once", "--json"], { generate });
		expect(JSON.parse(out)).toEqual({
			...{
				run: "r",
				prompt: "Once",
				text: " upon a time",
				tokens: 3,
				seconds: 0.5,
				position: 4,
				ended: "tokens",
				tokensPerSecond: 6,
			},
		});
	});

	test("cut short ends with 130, or quietly when the reader has gone", async () => {
		for (const [reason, expected] of [
			["SIGINT", 130],
			["pipe", 0],
		] as const) {
			const interrupt = new AbortController();
			const cut = async (asked: GenerateRequest) => {
				interrupt.abort(reason);
				return generate(asked);
			};
			expect((await rivulet(["generate", "r"], { generate: cut }, { interrupt })).status).toBe(expected);
		}
	});
});

describe("evaluate", () => {
	let request: EvaluateRequest;
	const evaluate = async (asked: EvaluateRequest) => {
		request = asked;
		asked.onProgress([["tokens", "5"]]);
		if (asked.perLine) asked.onLine({ line: 1, nats: 12.5, tokens: 5, text: "a line" });
		return { natsPerToken: 1.4712, standardError: 0.0031, bitsPerByte: 2.12, tokens: 111540, accuracy: 0.5 };
	};
	const figures = "1.4712 ± 0.0031 nats per token, 2.1200 bits per byte, accuracy 50.00 %, 111,540 tokens\n";

	test("prints nats per token, bits per byte and standard error", async () => {
		const { status, out } = await rivulet(["evaluate", "r"], { evaluate });
		expect([status, out]).toEqual([0, figures]);
		expect(request).toMatchObject({ run: "r", path: [], perLine: false });
	});

	test("per line prints each line's surprisal, and the figures of the whole beside them", async () => {
		const { out, err } = await rivulet(["evaluate", "r", "--data.path", "a", "--data.path", "b", "--per-line"], {
			evaluate,
		});
		expect([out, err]).toEqual(["12.5000\ta line\n", figures]);
		expect(request.path).toEqual(["a", "b"]);
	});

	test("with --json prints JSON lines, the whole last", async () => {
		const { out } = await rivulet(["evaluate", "r", "--per-line", "--json"], { evaluate });
		const lines = out
			.trim()
			.split("\n")
			.map((line) => JSON.parse(line));
		expect(lines).toEqual([
			{ line: 1, nats: 12.5, tokens: 5, text: "a line" },
			{ run: "r", natsPerToken: 1.4712, standardError: 0.0031, bitsPerByte: 2.12, tokens: 111540, accuracy: 0.5 },
		]);
	});
});

test("inspect shows parameters, work, state and memory", async () => {
	const report: InspectReport = {
		run: "r",
		model: "recurrent transformer",
		parameters: 201344,
		tensors: [{ name: "transformer.wte.weight", shape: [65, 128] }],
		flopsPerToken: { paper: 33280, exact: 420000 },
		trainingFlopsPerToken: 1.26e6,
		stateBytes: 8192,
		memory: [
			{ what: "weights", bytes: 805376 },
			{ what: "activations", bytes: 4e6 },
		],
		spent: {
			...{ steps: 200, tokens: 819200, flops: 1.03e12, seconds: 24.6, paperFlops: 2.7e10, wallSeconds: 31 },
			...{ runtimeBytes: 51.2e6, processBytes: 183e6, tokensPerSecond: 33300 },
		},
		checkpoints: [100, 200],
		best: { step: 200, loss: 1.5 },
	};
	const inspect = async () => report;
	const { out } = await rivulet(["inspect", "r", "--tensors"], { inspect });
	expect(out).toMatchInlineSnapshot(`
		"run                 r
		model               recurrent transformer
		parameters          201,344
		FLOPs per token     420 k forward, 1.26 M in training; 33.3 k as the paper counts
		state               8.19 kB, whatever the position
		memory in training  4.81 MB
		  weights           805 kB
		  activations       4.00 MB
		trained             200 steps, 819 k tokens, 33.3 k tokens/s; 25 s in steps, 31 s in all
		FLOPs spent         1.03 T; 27.0 G as the paper counts
		peak memory         51.2 MB in the runtime, 183 MB in the process
		checkpoints         100, 200
		best                step 200, validation loss 1.5000

		tensor                  shape     values
		transformer.wte.weight  65 x 128   8,320
		"
	`);
	expect(JSON.parse((await rivulet(["inspect", "r", "--json"], { inspect })).out)).toEqual(report);
	const growing = async () => ({ ...report, stateBytes: null, best: null, checkpoints: [] });
	expect((await rivulet(["inspect", "r"], { inspect: growing })).out).toContain("grows with the position");
});

describe("doctor", () => {
	const report: DoctorReport = {
		node: "v20.20.2",
		platform: "linux x64",
		processor: "Xeon",
		cores: 2,
		memoryBytes: 8e9,
		chosen: "wasm",
		backends: [
			{ name: "native", problem: "no C++ compiler was found when it was installed" },
			{ name: "wasm", description: "SIMD, 2 threads", flopsPerSecond: 6e10, peakFlopsPerSecond: 1e11 },
			{ name: "reference" },
		],
	};

	test("says which backends work and how fast", async () => {
		const { status, out } = await rivulet(["doctor"], { doctor: async () => report });
		expect(status).toBe(0);
		expect(out).toMatchInlineSnapshot(`
			"node          v20.20.2
			machine       linux x64, Xeon, 2 cores, 8.00 GB
			backend auto  wasm

			native     no   no C++ compiler was found when it was installed
			wasm       yes  SIMD, 2 threads, 60.0 GFLOP/s, 60 % of the measured peak of 100.0
			reference  yes
			"
		`);
		expect(JSON.parse((await rivulet(["doctor", "--json"], { doctor: async () => report })).out)).toEqual(report);
	});

	test("fails where none works", async () => {
		const none = { ...report, backends: [report.backends[0]] };
		expect((await rivulet(["doctor"], { doctor: async () => none })).status).toBe(1);
	});
});
