import { existsSync, readdirSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { writeSafetensors } from "../../src/base/safetensors-file.ts";
import {
	bestCheckpoint,
	type Checkpoint,
	listCheckpoints,
	pruneCheckpoints,
	readCheckpoint,
	restoreReplaced,
	rewindCheckpoints,
	type TrainState,
	writeCheckpoint,
} from "../../src/train/checkpoint.ts";

let folder: string;
beforeEach(async () => {
	folder = join(await mkdtemp(join(tmpdir(), "rivulet-checkpoint-")), "checkpoints");
});

function checkpoint(step: number, state: Partial<TrainState> = {}): Checkpoint {
	const data = Float32Array.from({ length: 6 }, (_, i) => step + i / 7);
	return {
		tensors: new Map([["w", { shape: [2, 3], data }]]),
		optimizer: new Map([["w.m", { shape: [2, 3], data: data.map((value) => -value) }]]),
		state: {
			step,
			tokens: 100 * step,
			flops: 1e9 * step,
			seconds: 0.1 * step,
			seed: 1,
			validationLoss: null,
			best: null,
			schedule: { base: 1e-3, rate: 1 / 3 },
			noise: null,
			...state,
		},
	};
}

const write = async (...steps: number[]) => {
	for (const step of steps) await writeCheckpoint(folder, checkpoint(step));
};

describe("a checkpoint", () => {
	test("comes back to the bit", async () => {
		const saved = checkpoint(7, { validationLoss: 1 / 3, best: { step: 5, loss: 0.1 }, noise: 256 });
		await writeCheckpoint(folder, saved);
		expect(await readCheckpoint(folder, 7)).toEqual(saved);
	});

	test("can be read without the optimiser", async () => {
		await write(1);
		expect((await readCheckpoint(folder, "last", { optimizer: false })).optimizer.size).toBe(0);
	});

	test("of the same step replaces the one before", async () => {
		await write(3);
		await writeCheckpoint(folder, checkpoint(3, { tokens: 5 }));
		expect((await readCheckpoint(folder, 3)).state.tokens).toBe(5);
		expect(readdirSync(folder)).toEqual(["step-3"]);
	});

	test("that had stepped aside when the process died is put back", async () => {
		await write(3);
		await rename(join(folder, "step-3"), join(folder, ".step-3.replaced"));
		restoreReplaced(folder);
		expect(listCheckpoints(folder)).toEqual([3]);
	});

	test("is not written with figures that are no numbers", async () => {
		await expect(writeCheckpoint(folder, checkpoint(1, { validationLoss: Number.NaN }))).rejects.toThrow(
			"validationLoss",
		);
		expect(listCheckpoints(folder)).toEqual([]);
	});
});

describe("a failure while writing", () => {
	test("leaves the older checkpoints and nothing else: full disk", async () => {
		await write(1);
		const full: typeof writeSafetensors = async (path, tensors, metadata) => {
			if (path.includes("optimizer")) throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
			await writeSafetensors(path, tensors, metadata);
		};
		const failed = writeCheckpoint(folder, checkpoint(2), full);
		await expect(failed).rejects.toMatchObject({ code: "disk-full", message: expect.stringContaining("step-2") });
		expect(readdirSync(folder)).toEqual(["step-1"]);
		expect((await readCheckpoint(folder, "last")).state.step).toBe(1);
	});

	test("of the same step leaves the earlier one: full disk", async () => {
		await write(1);
		const full: typeof writeSafetensors = async () => {
			throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
		};
		await expect(writeCheckpoint(folder, checkpoint(1), full)).rejects.toMatchObject({ code: "disk-full" });
		expect((await readCheckpoint(folder, 1)).state.step).toBe(1);
	});

	test("into a folder that cannot be made names it", async () => {
		await mkdir(join(folder, ".."), { recursive: true });
		await writeFile(folder, "a file where the folder should be");
		await expect(writeCheckpoint(folder, checkpoint(1))).rejects.toMatchObject({ code: "file-missing" });
	});
});

describe("last", () => {
	test("is the newest whole one; torn ones are passed over and named", async () => {
		await write(1, 2, 3, 10);
		await truncate(join(folder, "step-10", "model.safetensors"), 60);
		await rm(join(folder, "step-3", "state.json"));
		const skipped: string[] = [];
		expect((await readCheckpoint(folder, "last", { skipped })).state.step).toBe(2);
		expect(skipped).toHaveLength(2);
		expect(skipped[0]).toContain("step-10");
	});

	test("is not a folder that was never renamed", async () => {
		await write(1, 2);
		await rename(join(folder, "step-2"), join(folder, ".step-2.partial"));
		expect((await readCheckpoint(folder, "last")).state.step).toBe(1);
	});

	test("fails with the newest one's complaint when none is whole, and clearly when there is none", async () => {
		await expect(readCheckpoint(folder, "last")).rejects.toMatchObject({ code: "checkpoint-missing" });
		await write(4);
		await writeFile(join(folder, "step-4", "state.json"), '{"step":4}');
		await expect(readCheckpoint(folder, "last")).rejects.toMatchObject({ code: "checkpoint-invalid" });
		await expect(readCheckpoint(folder, 9)).rejects.toThrow("found steps 4");
	});

	test("refuses a state of another step or with unknown fields, and weights that are no floats", async () => {
		await write(4);
		const path = join(folder, "step-4", "state.json");
		const state = JSON.parse(await readFile(path, "utf8"));
		await writeFile(path, JSON.stringify({ ...state, step: 5 }));
		await expect(readCheckpoint(folder, 4)).rejects.toThrow("expected step 4, found 5");
		await writeFile(path, JSON.stringify({ ...state, extra: 1 }));
		await expect(readCheckpoint(folder, 4)).rejects.toMatchObject({ code: "checkpoint-invalid" });
		await writeFile(path, JSON.stringify(state));
		const integers = new Map([["w", { shape: [1], data: Int32Array.of(1) }]]);
		await writeSafetensors(join(folder, "step-4", "model.safetensors"), integers);
		await expect(readCheckpoint(folder, 4)).rejects.toThrow("floating-point");
	});
});

describe("best", () => {
	test("is the lowest validation loss of those that were evaluated", async () => {
		await write(1);
		expect(bestCheckpoint(folder)).toBeUndefined();
		await expect(readCheckpoint(folder, "best")).rejects.toMatchObject({ code: "checkpoint-missing" });
		for (const [step, loss] of [
			[2, 3],
			[3, 1],
			[4, 2],
		]) {
			await writeCheckpoint(folder, checkpoint(step, { validationLoss: loss }));
		}
		expect((await readCheckpoint(folder, "best")).state.step).toBe(3);
	});

	test("prefers a loss at more noise to any at less", async () => {
		await writeCheckpoint(folder, checkpoint(1, { validationLoss: 0.1, noise: 128 }));
		await writeCheckpoint(folder, checkpoint(2, { validationLoss: 2, noise: 256 }));
		await writeCheckpoint(folder, checkpoint(3, { validationLoss: 3, noise: 256 }));
		expect(bestCheckpoint(folder)).toBe(2);
	});
});

test("pruning keeps the newest and the best and clears what interruptions left", async () => {
	for (const step of [1, 2, 3, 4, 5])
		await writeCheckpoint(folder, checkpoint(step, { validationLoss: Math.abs(step - 2) + 1 }));
	await mkdir(join(folder, ".step-9.partial"));
	await writeFile(join(folder, "notes.txt"), "mine");
	pruneCheckpoints(folder, 2);
	expect(readdirSync(folder).sort()).toEqual(["notes.txt", "step-2", "step-4", "step-5"]);
});

test("rewinding removes the future only", async () => {
	await write(1, 2, 3);
	rewindCheckpoints(folder, 2);
	expect(listCheckpoints(folder)).toEqual([1, 2]);
	expect(existsSync(join(folder, "step-3"))).toBe(false);
});
