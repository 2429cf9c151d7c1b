/** The command line from end to end, in this process: a tiny run trained once, used by every command, and damaged in every way. */
import {
	cpSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	symlinkSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { actions } from "../../src/cli/actions.ts";
import { type Ran, rivulet as run } from "./fake.ts";

let folder = "";
const at = (name: string) => join(folder, name);
const rivulet = (...argv: string[]): Promise<Ran> => run(argv, actions);
const tiny = "--data.length 32 --model.width 16 --model.heads 2 --train.batch 8 --threads 2".split(" ");
const text = (lines: number) =>
	Array.from({ length: lines }, (_, i) => `${i}: the fox and ${i % 7} hens met ${i % 5} owls by the well.\n`).join("");

beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), "rivulet-cli-"));
	process.env.RIVULET_CACHE = at("cache");
	writeFileSync(at("text.txt"), text(300));
	writeFileSync(at("other.txt"), text(20));
	const common = [...tiny, "--data.path", at("text.txt"), "--train.steps", "60", "--train.evaluate-every", "30"];
	const trained = await rivulet("train", ...common, "--model.positions", "window", "--json", "--run", at("run"));
	expect([trained.status, trained.err]).toEqual([0, ""]);
	expect(trained.out.trimEnd().split("\n").length).toBe(1);
	expect(JSON.parse(trained.out)).toMatchObject({ run: at("run"), ended: "steps", steps: 60 });
	const bounded = await rivulet("train", ...common, "--train.steps", "5", "--run", at("bounded"));
	expect(bounded.status).toBe(0);
	const memory = "--data.task copy --data.noise 8 --model.variant accumulate --train.steps 3".split(" ");
	const copy = await rivulet("train", ...tiny.slice(2), ...memory, "--run", at("copy"));
	expect([copy.status, copy.err]).toEqual([0, ""]);
});
afterAll(() => {
	delete process.env.RIVULET_CACHE;
	rmSync(folder, { recursive: true, force: true });
});

const summaryOf = (name: string) => JSON.parse(readFileSync(join(at(name), "summary.json"), "utf8"));
const generate = async (...flags: string[]) => {
	const { status, out, err } = await rivulet("generate", at("run"), "--json", ...flags);
	expect([status, err]).toEqual([0, ""]);
	return JSON.parse(out);
};

describe("generate", () => {
	test("writes the same for a seed, something else for another", async () => {
		const [a, b, c] = [await generate("--seed", "5"), await generate("--seed", "5"), await generate("--seed", "6")];
		expect(a.text).toBe(b.text);
		expect(c.text).not.toBe(a.text);
		expect([a.tokens, a.ended]).toEqual([200, "tokens"]);
	});

	test("goes on from a saved state as if it had never stopped", async () => {
		const flags = ["--temperature", "0", "--prompt", "12: the fox"];
		const whole = await generate(...flags, "--tokens", "90");
		const first = await generate(...flags, "--tokens", "37", "--state-out", at("s"));
		const second = await generate(
			"--temperature",
			"0",
			"--tokens",
			"53",
			"--state-in",
			at("s"),
			"--state-out",
			at("s"),
		);
		expect(first.text + second.text).toBe(whole.text);
		expect(second.position).toBe(whole.position);
	});

	test("ends before a stop string", async () => {
		const whole: string = (await generate()).text;
		const stop = whole.slice(40, 43);
		const cut = await generate("--stop", stop);
		expect([cut.text, cut.ended]).toEqual([whole.slice(0, whole.indexOf(stop)), "stop"]);
	});

	test.each(["wasm", "reference"])("on backend %s as on native at temperature 0", async (backend) => {
		const flags = ["--temperature", "0", "--prompt", "7: the", "--tokens", "60"];
		expect((await generate(...flags, "--backend", backend)).text).toBe((await generate(...flags)).text);
	});

	test("ends with a note where the model's positions end, and goes no further from there", async () => {
		const ended = await rivulet("generate", at("bounded"), "--prompt", "3: the", "--state-out", at("end"));
		expect([ended.status, ended.out.length]).toEqual([0, 32 + 1]);
		expect(ended.err).toMatch(/^note: ended after 26 tokens: .* positions for 32 tokens/);
		const further = await rivulet("generate", at("bounded"), "--state-in", at("end"), "--json");
		expect(JSON.parse(further.out)).toMatchObject({ text: "", tokens: 0, ended: "positions", position: 32 });
	});
});

describe("evaluate, inspect, doctor", () => {
	test("measures what the trainer measured last", async () => {
		const { status, out } = await rivulet("evaluate", at("run"), "--checkpoint", "last", "--json");
		const { validationLoss, standardError, bitsPerByte, accuracy } = summaryOf("run");
		expect(status).toBe(0);
		expect(JSON.parse(out)).toMatchObject({ natsPerToken: validationLoss, standardError, bitsPerByte, accuracy });
	});

	test("the lines' surprisals make up the whole", async () => {
		const path = ["--data.path", at("other.txt")];
		const lines = await rivulet("evaluate", at("run"), ...path, "--per-line", "--json");
		const records = lines.out
			.trimEnd()
			.split("\n")
			.map((line) => JSON.parse(line));
		const whole = records.pop();
		expect(records.map(({ text }) => `${text}\n`).join("")).toBe(text(20));
		const nats = records.reduce((sum, record) => sum + record.nats, 0);
		expect(nats / text(20).length).toBeCloseTo(whole.natsPerToken, 9);
		// The stream carries its state on where the windows of the other measure begin anew.
		const windows = JSON.parse((await rivulet("evaluate", at("run"), ...path, "--json")).out);
		expect(Math.abs(whole.natsPerToken / windows.natsPerToken - 1)).toBeLessThan(0.1);
	});

	test("a memory task is measured on its own", async () => {
		const { status, out } = await rivulet("evaluate", at("copy"), "--json");
		expect([status, JSON.parse(out).tokens]).toEqual([0, 256 * 16]);
	});

	test("a text is measured in windows of any length, where positions have no end", async () => {
		const figures = async (...flags: string[]) =>
			JSON.parse((await rivulet("evaluate", at("run"), "--json", ...flags)).out);
		const [own, longer] = [await figures(), await figures("--data.length", "512")];
		expect([own.length, longer.length, longer.tokens]).toEqual([32, 512, own.tokens]);
		expect(longer.natsPerToken).not.toBe(own.natsPerToken);
		const { status, out } = await rivulet("evaluate", at("copy"), "--data.noise", "4");
		expect([status, out]).toEqual([0, expect.stringMatching(/4,096 tokens in sequences of 36, 4 of noise/)]);
	});

	test("inspect reports what the run holds", async () => {
		const report = JSON.parse((await rivulet("inspect", at("run"), "--json")).out);
		const values = report.tensors.map(({ shape }: { shape: number[] }) => shape.reduce((a, b) => a * b, 1));
		expect(values.reduce((a: number, b: number) => a + b)).toBe(report.parameters);
		expect(report.parameters).toBe(summaryOf("run").parameters);
		expect([report.checkpoints, report.best.step]).toEqual([[30, 60], summaryOf("run").best.step]);
		const { status, out } = await rivulet("inspect", at("run"), "--tensors");
		expect(status).toBe(0);
		for (const word of ["FLOPs per token", "state", "memory in training", "ln_f.weight"]) expect(out).toContain(word);
	});

	test("doctor names every backend", async () => {
		const { backends, chosen } = JSON.parse((await rivulet("doctor", "--json")).out);
		expect(backends.map(({ name }: { name: string }) => name)).toEqual(["cuda", "native", "wasm", "reference"]);
		expect(backends.find(({ name }: { name: string }) => name === chosen).flopsPerSecond).toBeGreaterThan(1e6);
	});
});

/** One clear message, the way out under it, and nothing else. */
function expectRefusal({ status, err }: Ran, expected: number, message: RegExp): void {
	expect(err).toMatch(message);
	expect(status).toBe(expected);
	const [first, hint, ...rest] = err.trimEnd().split("\n");
	expect([first.startsWith("rivulet: "), rest]).toEqual([true, []]);
	expect(err).not.toMatch(/internal error|\n\s+at /);
	expect(hint, `the way out of "${first}"`).toMatch(/^ {2}\S/);
}

describe("data that will not do leaves no run behind", () => {
	test.each<[string, string | Buffer | null, RegExp]>([
		["missing", null, /no such file/],
		["empty", "", /is empty/],
		["invalid UTF-8", Buffer.from([97, 98, 255, 254]), /not UTF-8/],
		["binary", Buffer.from([1, 2, 0, 3]), /not text/],
		["shorter than a window", "x".repeat(30), /one window of data.length 32/],
	])("%s", async (name, content, message) => {
		if (content !== null) writeFileSync(at(name), content);
		expectRefusal(await rivulet("train", ...tiny, "--data.path", at(name), "--run", at("none")), 1, message);
		expect(existsSync(at("none"))).toBe(false);
		const options = content === "" || content === null ? ["--per-line"] : [];
		if (name !== "shorter than a window") {
			const measured = await rivulet("evaluate", at("run"), "--data.path", at(name), ...options);
			expectRefusal(measured, 1, /./);
		}
	});
});

describe("flags that will not do", () => {
	test.each<[string, RegExp]>([
		["train --train.stepz 3", /did you mean --train.steps\?/],
		["train --data.task tales --model.width 16 --model.heads 3", /heads 3 does not divide model.width 16/],
		["train --data.task tales --model.window 8..4", /window 8..4 is empty/],
		["train --data.task tales --model.kind transformer --model.variant accumulate", /accumulate is for/],
		["train --data.task tales --model.kind transformer --model.positions window", /positions window is for/],
		["train --resume FOLDER/nothing", /nothing is not a run/],
		["train --resume auto --run FOLDER/run --model.width 32", /model.width: 16 there, 32 here/],
		["train --data.task tales --run FOLDER/run", /already holds a run/],
		["evaluate FOLDER/run --per-line", /expected --data.path/],
		["evaluate FOLDER/run --per-line --data.path FOLDER/text.txt --data.length 9", /one stream/],
		["evaluate FOLDER/run --data.noise 9", /learned the task text, which has no data.noise/],
		["evaluate FOLDER/copy --data.length 9", /no data.length to choose/],
		["evaluate FOLDER/bounded --data.length 33", /a position for each of 32 tokens, and none for the rest of 33/],
		["evaluate FOLDER/copy --data.noise 9", /a position for each of 40 tokens, and none for the rest of 41/],
		["evaluate FOLDER/copy --data.path FOLDER/text.txt", /learned the task copy/],
		["generate FOLDER/copy", /learned the task copy/],
		["generate FOLDER/nothing", /nothing is not a run/],
		[`generate FOLDER/bounded --prompt ${"x".repeat(50)}`, /positions for 32/],
	])("%s", async (line, message) => {
		const before = JSON.stringify(readdirSync(at("run")));
		const ran = await rivulet(...line.split(" ").map((word) => word.replace("FOLDER", folder)));
		expectRefusal(ran, 2, message);
		expect([ran.out, JSON.stringify(readdirSync(at("run")))]).toEqual(["", before]);
	});

	test("a run folder that is a file, or lies in one", async () => {
		const where = (path: string) => rivulet("train", ...tiny, "--data.path", at("text.txt"), "--run", path);
		expectRefusal(await where(at("other.txt")), 1, /a file of that name/);
		expectRefusal(await where(join(at("other.txt"), "run")), 1, /not a folder/);
		expect(readFileSync(at("other.txt"), "utf8")).toBe(text(20));
	});

	test.skipIf(!existsSync("/dev/full"))("a full disk", async () => {
		mkdirSync(at("full"));
		symlinkSync("/dev/full", join(at("full"), "metrics.jsonl"));
		const flags = [...tiny, "--data.path", at("text.txt"), "--train.steps", "20"];
		expectRefusal(await rivulet("train", ...flags, "--run", at("full")), 1, /metrics\.jsonl: the disk is full/);
		expect(existsSync(join(at("full"), "lock"))).toBe(false);
	});

	test("a prompt with characters that the corpus has not", async () => {
		const ran = await rivulet("generate", at("run"), "--prompt", "the ☃");
		expectRefusal(ran, 1, /"☃" \(U\+2603\)/);
		expect(ran.out).toBe("");
	});

	test("a state of another model, or none at all", async () => {
		await generate("--state-out", at("state"), "--tokens", "3");
		expectRefusal(await rivulet("generate", at("bounded"), "--state-in", at("state")), 1, /state of another model/);
		expectRefusal(await rivulet("generate", at("run"), "--state-in", at("text.txt")), 1, /expected a header/);
		expectRefusal(await rivulet("generate", at("run"), "--state-in", at("nothing")), 1, /no such file/);
	});
});

describe("a damaged run", () => {
	const last = join("checkpoints", "step-60");
	/** A copy of the run with one file spoilt. */
	const spoilt = (name: string, file: string, spoil: (path: string) => void) => {
		cpSync(at("run"), at(name), { recursive: true });
		spoil(join(at(name), file));
		return at(name);
	};

	test("truncated weights: refused by name, passed over when resuming", async () => {
		const path = spoilt("torn", join(last, "model.safetensors"), (file) => truncateSync(file, 700));
		for (const command of ["generate", "evaluate"]) {
			expectRefusal(await rivulet(command, path, "--checkpoint", "60"), 1, /model\.safetensors/);
		}
		const resumed = await rivulet("train", "--resume", "auto", "--run", path);
		expect([resumed.status, resumed.err]).toEqual([0, ""]);
		expect(resumed.out).toContain("passed over a damaged checkpoint");
		const weights = (run: string) => readFileSync(join(run, last, "model.safetensors"));
		expect(weights(path).equals(weights(at("run")))).toBe(true);
	});

	test("moments of another file", async () => {
		const path = spoilt("moments", join(last, "optimizer.safetensors"), (file) =>
			cpSync(join(at("run"), last, "model.safetensors"), file),
		);
		const ran = await rivulet("train", "--resume", "auto", "--run", path, "--train.steps", "70");
		expectRefusal(ran, 1, /expected a tensor first\./);
	});

	test("a hostile tokenizer", async () => {
		const path = spoilt("deep", "tokenizer.json", (file) => writeFileSync(file, "[".repeat(100_000)));
		expectRefusal(await rivulet("generate", path), 1, /tokenizer\.json nests more than/);
	});

	test("another version, no JSON at all", async () => {
		const json = readFileSync(join(at("run"), "config.json"), "utf8");
		const newer = spoilt("newer", "config.json", (file) =>
			writeFileSync(file, json.replace(/"version": 1/, '"version": 99')),
		);
		const broken = spoilt("broken", "config.json", (file) => writeFileSync(file, json.slice(0, 100)));
		for (const argv of [["generate"], ["evaluate"], ["inspect"], ["train", "--resume"]]) {
			expectRefusal(await rivulet(...argv, newer), 1, /expected a run of version 1, found 99/);
			expectRefusal(await rivulet(...argv, broken), 1, /not valid JSON/);
		}
	});
});
