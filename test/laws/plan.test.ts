import { expect, test } from "vitest";
import { expectLoss } from "../../src/laws/plan.ts";

const calibration = [
	{ steps: 100, seconds: 1, loss: 2.4 },
	{ steps: 200, seconds: 2, loss: 2.2 },
];

test("the expected loss at the longer run's steps is its own, give or take the seed", () => {
	const { low, middle, high } = expectLoss(calibration, 200);
	expect([low, middle, high].map((v) => Number(v.toFixed(9)))).toEqual([2.18, 2.2, 2.22]);
});

test("further doublings win at most as much each, at least half as much as the one before", () => {
	const { low, middle, high } = expectLoss(calibration, 800);
	expect(low).toBeCloseTo(2.2 - 0.4 - 0.02, 9);
	expect(middle).toBeCloseTo(2.2 - 0.2 * (0.75 + 0.75 ** 2), 9);
	expect(high).toBeCloseTo(2.2 - 0.2 * 0.75 + 0.02, 9);
});

test("a power law of the steps stays inside", () => {
	const law = (steps: number) => 1.2 + 6 * steps ** -0.35;
	const runs = [100, 200].map((steps) => ({ steps, seconds: 1, loss: law(steps) }));
	for (const steps of [100, 400, 1600, 6400, 25600]) {
		const { low, high } = expectLoss(runs, steps);
		expect(law(steps)).toBeGreaterThan(low);
		expect(law(steps)).toBeLessThan(high);
	}
});

test("short runs that have not begun to use their context do not bound a long one by themselves", () => {
	// What a transformer of tiny Shakespeare did: 74 steps to 2.533, 4,594 to 1.557, where the best n-gram model needs 1.67.
	const plateau = [37, 74].map((steps, i) => ({ steps, seconds: 1, loss: [2.653, 2.533][i] }));
	const { low, middle, high } = expectLoss(plateau, 4594, 1.67);
	expect(low).toBeCloseTo(0.65 * 1.67, 9);
	expect(middle).toBeLessThan(expectLoss(plateau, 4594).middle);
	expect(high).toBe(expectLoss(plateau, 4594).high);
	expect(expectLoss(plateau, 148, 1.67)).toEqual(expectLoss(plateau, 148));
});

test("no run comes to less than half of what counting needs", () => {
	const steep = [50, 100].map((steps, i) => ({ steps, seconds: 1, loss: [2.9, 2.5][i] }));
	expect(expectLoss(steep, 6400).low).toBeLessThan(0.2);
	expect(expectLoss(steep, 6400, 1.67).low).toBeCloseTo(0.835, 9);
});
