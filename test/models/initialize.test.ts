/** First values of weights: the same by many threads as by one, and by one where the others cannot be had. */
import { expect, test } from "vitest";
import { initialValues } from "../../src/nn/initialize.ts";
import { initialize, startWorkers } from "../../src/nn/initialize-many.ts";
import type { ParameterSpec } from "../../src/nn/parameters.ts";

const spec = (name: string, rows: number, cols: number, initial: ParameterSpec["initial"]): ParameterSpec => ({
	...{ name, shape: [rows, cols], fileShape: [rows, cols], decay: true, initial },
});
const normal = { kind: "normal", deviation: 0.02 } as const;
const small = [spec("a", 3, 5, normal), spec("b", 1, 7, { kind: "constant", value: 1 })];
/** An odd number of values, in parts that do not come out even. */
const large = [...small, spec("c", 1501, 1499, normal), spec("d", 3, 3, normal)];
const alone = (specs: readonly ParameterSpec[]) => specs.map((each, i) => initialValues(each, i, 7));

async function together(specs: readonly ParameterSpec[], helpersOf?: Parameters<typeof initialize>[3]) {
	const values: Float32Array[] = [];
	await initialize(specs, 7, (_, each) => values.push(each), helpersOf);
	return values;
}

/** Millions of values: not one by one. */
function expectSame(values: readonly Float32Array[], expected: readonly Float32Array[]): void {
	const bytes = (each: Float32Array) => Buffer.from(each.buffer, each.byteOffset, each.byteLength);
	expect(values.map((each, i) => bytes(each).equals(bytes(expected[i])))).toEqual(expected.map(() => true));
}

test("the same bits by many threads", { timeout: 60_000 }, async ({ skip }) => {
	const built = new URL("../../dist/nn/initialize.js", import.meta.url).href;
	let asked = 0;
	const helpersOf = async () => {
		const helpers = await startWorkers(built);
		return {
			...helpers,
			run: async (tasks: Parameters<typeof helpers.run>[0]) => {
				asked += tasks.length;
				await helpers.run(tasks);
			},
		};
	};
	const probe = await startWorkers(built).catch((error: Error) => error.message);
	if (typeof probe === "string") return skip(probe);
	await probe.close();
	expectSame(await together(large, helpersOf), alone(large));
	expect(asked).toBe(16);
});

test("few values need no help", async () => {
	const values = await together(small, () => Promise.reject(new Error("not needed")));
	expect(values).toEqual(alone(small));
});

test.each([
	["cannot be started", () => Promise.reject(new Error("no threads"))],
	["fail at their work", () => startWorkers("file:///nowhere.js")],
])("helpers that %s", { timeout: 60_000 }, async (_, helpersOf) => {
	expectSame(await together(large, helpersOf), alone(large));
});
