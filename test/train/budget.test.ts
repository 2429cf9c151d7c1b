import { describe, expect, test } from "vitest";
import { fractionDone, type Limits, secondsLeft, spentBudget } from "../../src/train/budget.ts";

const none: Limits = { steps: null, tokens: null, flops: null, seconds: null };
const spent = { steps: 10, tokens: 1000, flops: 1e6, seconds: 4 };

describe("a budget", () => {
	test("ends the run when it is spent, the first one in order where several are", () => {
		expect(spentBudget({ ...none, steps: 11 }, spent)).toBeUndefined();
		expect(spentBudget({ ...none, steps: 10 }, spent)).toBe("steps");
		expect(spentBudget({ ...none, steps: 11, flops: 1e6 }, spent)).toBe("flops");
		expect(spentBudget({ ...none, seconds: 3.9 }, spent)).toBe("seconds");
		expect(spentBudget(none, spent)).toBeUndefined();
	});

	test("measures how far the run is, by the one nearest its end", () => {
		expect(fractionDone({ ...none, steps: 20, tokens: 1250 }, spent)).toBe(0.8);
		expect(fractionDone({ ...none, steps: 5 }, spent)).toBe(1);
		expect(fractionDone(none, spent)).toBe(0);
	});

	test("in seconds counts for that only when alone, so that the clock does not reach the weights", () => {
		expect(fractionDone({ ...none, steps: 20, seconds: 4.1 }, spent)).toBe(0.5);
		expect(fractionDone({ ...none, seconds: 8 }, spent)).toBe(0.5);
	});

	test("gives the time left at the recent rate, of whichever ends first", () => {
		const recent = { steps: 5, tokens: 500, flops: 5e5, seconds: 1 };
		expect(secondsLeft({ ...none, steps: 110 }, spent, recent)).toBe(20);
		expect(secondsLeft({ ...none, steps: 110, tokens: 2000 }, spent, recent)).toBe(2);
		expect(secondsLeft({ ...none, steps: 110, seconds: 9 }, spent, recent)).toBe(5);
		expect(secondsLeft({ ...none, steps: 5 }, spent, recent)).toBe(0);
		expect(secondsLeft({ ...none, steps: 110 }, spent, { steps: 0, tokens: 0, flops: 0, seconds: 0 })).toBeUndefined();
	});
});
