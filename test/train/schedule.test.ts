import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { drawWindow, lossRate, recallRate, Schedule, type ScheduleSettings } from "../../src/train/schedule.ts";

const settings = (values: Partial<ScheduleSettings>): ScheduleSettings => ({
	schedule: "constant",
	learningRate: 1e-3,
	minLearningRate: 1e-4,
	warmup: 0,
	scheduleTarget: null,
	...values,
});

describe("warm-up", () => {
	test("is linear and ends at the rate, on its last step", () => {
		const schedule = new Schedule(settings({ warmup: 4 }));
		expect([1, 2, 3, 4, 5, 100].map((step) => schedule.rate(step, 0))).toEqual([
			0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 1e-3, 1e-3,
		]);
	});
});

describe("cosine", () => {
	test("goes from the highest to the lowest rate, half way at half time", () => {
		const schedule = new Schedule(settings({ schedule: "cosine" }));
		expect(schedule.rate(1, 0)).toBeCloseTo(1e-3, 12);
		expect(schedule.rate(1, 0.5)).toBeCloseTo(5.5e-4, 12);
		expect(schedule.rate(1, 1)).toBeCloseTo(1e-4, 12);
		expect(schedule.rate(1, 2)).toBeCloseTo(1e-4, 12);
	});

	test("pays no attention to the loss", () => {
		const schedule = new Schedule(settings({ schedule: "cosine" }));
		schedule.observe(0.01);
		schedule.grow(256, 4096);
		expect(schedule.rate(1, 0)).toBeCloseTo(1e-3, 12);
	});
});

describe("loss", () => {
	// The large language model's recipe: target 3.3, highest 6e-4, lowest 6e-5.
	const large = settings({ schedule: "loss", learningRate: 6e-4, minLearningRate: 6e-5, scheduleTarget: 3.3 });

	test("is clip(high (1 - exp(target - loss)), low, high)", () => {
		expect(lossRate(4.3, 3.3, 6e-5, 6e-4)).toBeCloseTo(6e-4 * (1 - Math.exp(-1)), 15);
		expect(lossRate(3.3, 3.3, 6e-5, 6e-4)).toBe(6e-5);
		expect(lossRate(2, 3.3, 6e-5, 6e-4)).toBe(6e-5);
	});

	test("starts at the highest rate and may rise again with the loss", () => {
		const schedule = new Schedule(large);
		expect(schedule.rate(1, 0)).toBe(6e-4);
		schedule.observe(3.5);
		const low = schedule.rate(2, 0);
		schedule.observe(4);
		expect(low).toBeCloseTo(6e-4 * (1 - Math.exp(-0.2)), 15);
		expect(schedule.rate(3, 0)).toBeGreaterThan(low);
	});
});

describe("recall", () => {
	const recall = settings({ schedule: "recall", learningRate: 5e-4, minLearningRate: 0 });

	test("keeps lr0 until full length, whatever the loss", () => {
		const schedule = new Schedule(recall);
		schedule.observe(0.1, false);
		expect(schedule.rate(1, 0)).toBe(5e-4);
	});

	test("lowers lr0 by 1 - 0.5 noise / full at each doubling", () => {
		const schedule = new Schedule(recall);
		let expected = 5e-4;
		for (const noise of [256, 512, 1024, 2048, 4096]) {
			schedule.grow(noise, 4096);
			expected *= 1 - (0.5 * noise) / 4096;
			expect(schedule.rate(1, 0)).toBeCloseTo(expected, 15);
		}
	});

	test("follows lr0 (1 - exp(-loss)) at full length and never rises", () => {
		const schedule = new Schedule(recall);
		schedule.observe(0.5);
		expect(schedule.rate(1, 0)).toBeCloseTo(recallRate(0.5, 5e-4), 15);
		const before = schedule.rate(1, 0);
		schedule.observe(3);
		expect(schedule.rate(1, 0)).toBe(before);
	});

	test("resumes from its state as if never interrupted", () => {
		fc.assert(
			fc.property(fc.array(fc.double({ min: 0, max: 5, noNaN: true }), { minLength: 1 }), fc.nat(20), (losses, cut) => {
				const whole = new Schedule(recall);
				let resumed = new Schedule(recall);
				losses.forEach((loss, i) => {
					if (i === cut) resumed = new Schedule(recall, JSON.parse(JSON.stringify(resumed.state)));
					for (const schedule of [whole, resumed]) schedule.observe(loss);
				});
				expect(resumed.rate(1, 0)).toBe(whole.rate(1, 0));
			}),
		);
	});
});

describe("random windows", () => {
	test("depend on seed and step alone and cover the range evenly", () => {
		const range = { from: 16, to: 48 };
		const draws = Array.from({ length: 6600 }, (_, step) => drawWindow(range, 7, step));
		expect(draws[50]).toBe(drawWindow(range, 7, 50));
		expect(new Set(draws).size).toBe(33);
		expect(Math.min(...draws)).toBe(16);
		expect(Math.max(...draws)).toBe(48);
		// The mean of 6600 draws has a standard error of 9.52 / sqrt(6600) = 0.12.
		expect(Math.abs(draws.reduce((a, b) => a + b) / 6600 - 32)).toBeLessThan(0.6);
		expect(draws.slice(0, 20)).not.toEqual(Array.from({ length: 20 }, (_, step) => drawWindow(range, 8, step)));
	});

	test("of one width are that width", () => {
		expect(drawWindow({ from: 5, to: 5 }, 1, 1)).toBe(5);
	});
});
