/** Picking the fastest of several, and remembering it. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Driver } from "../../../../src/engine/backends/cuda/driver.ts";
import { Choices, fastest } from "../../../../src/engine/backends/cuda/tune.ts";
import { FakeDevice } from "./fake.ts";

let folder: string;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "rivulet-choices-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A driver whose clock goes by what was done, and by `host` for everything that is put on its stream; a graph goes by what is in it. */
function clocked(host = 0): { driver: Driver; spend: (milliseconds: number) => void } {
	const device = new FakeDevice();
	let now = 0;
	let captured: number | null = null;
	const marks: number[] = [];
	const libraries = device.libraries;
	const driver = new Driver({
		...libraries,
		driver: {
			...libraries.driver,
			cuEventRecord: () => {
				marks.push(now);
				return 0;
			},
			cuEventElapsedTime: (time: unknown) => {
				(time as Float32Array)[0] = marks[marks.length - 1] - marks[marks.length - 2];
				return 0;
			},
			cuStreamBeginCapture: () => {
				captured = 0;
				return 0;
			},
			cuStreamEndCapture: (_stream: unknown, graph: unknown) => {
				(graph as BigUint64Array)[0] = BigInt(Math.round((captured ?? 0) * 1e9));
				captured = null;
				return 0;
			},
			cuGraphInstantiate: (slot: unknown, graph: unknown) => {
				(slot as BigUint64Array)[0] = graph as bigint;
				return 0;
			},
			cuGraphLaunch: (graph: unknown) => {
				now += host + Number(graph) / 1e9;
				return 0;
			},
		},
	});
	return {
		driver,
		spend: (milliseconds) => {
			if (captured === null) now += Math.max(host, milliseconds);
			else captured += milliseconds;
		},
	};
}

function pick(host: number, costs: (number | null)[]): number {
	const { driver, spend } = clocked(host);
	return fastest(driver, 0n, costs.length, (i) => {
		const cost = costs[i];
		if (cost !== null) spend(cost);
		return cost !== null;
	});
}

test("the fastest that can run is taken, the first of equals", () => {
	expect(pick(0, [3, 1, 2])).toBe(1);
	expect(pick(0, [2, null, 1.99, 2])).toBe(0);
	expect(pick(0, [null, 5, 4])).toBe(2);
});

test("what takes less than putting it on the stream is told apart as well", () => {
	expect(pick(0.01, [0.009, 0.005, 0.007])).toBe(1);
	expect(pick(0.01, [0.005, null, 0.00499, 2])).toBe(0);
	expect(pick(0.01, [3, 0.004, 0.002])).toBe(2);
});

test("a choice is remembered by question and machine, and only where it still makes sense", () => {
	const choices = new Choices(folder, { name: "a" });
	expect(choices.read("product", 8)).toBeUndefined();
	choices.write("product", 8, 5);
	expect(choices.read("product", 8)).toBe(5);
	expect(choices.read("product", 7)).toBeUndefined();
	expect(choices.read("another", 8)).toBeUndefined();
	expect(new Choices(folder, { name: "b" }).read("product", 8)).toBeUndefined();
	for (const damaged of ["", "8 of 8", "-1 of 8", "1.5 of 8", "nonsense"]) {
		writeFileSync(join(folder, readdirSync(folder)[0]), damaged);
		expect(choices.read("product", 8)).toBeUndefined();
	}
});

test("a folder that cannot be written costs nothing", () => {
	writeFileSync(join(folder, "file"), "");
	const choices = new Choices(join(folder, "file", "below"), {});
	choices.write("product", 2, 1);
	expect(choices.read("product", 2)).toBeUndefined();
});
