import { describe, expect, test } from "vitest";
import { judge, meanOf } from "../../src/studies/claims.ts";
import type { CurvePoint, RunResult, SeedResult } from "../../src/studies/results.ts";
import type { Claim, Reading, Rule } from "../../src/studies/study.ts";

function seed(number: number, loss: number, more: Partial<SeedResult> = {}): SeedResult {
	return {
		seed: number,
		path: "",
		ended: "steps",
		parameters: 100,
		batch: 8,
		steps: 40,
		tokens: 4000,
		flops: 1e6,
		seconds: 1,
		tokensPerSecond: 1,
		paperFlops: null,
		wallSeconds: null,
		peakMemory: null,
		loss,
		accuracy: null,
		curve: [],
		...more,
	};
}

function point(step: number, loss: number, more: Partial<CurvePoint> = {}): CurvePoint {
	return {
		step,
		tokens: 100 * step,
		flops: 1000 * step,
		seconds: step,
		loss,
		error: null,
		accuracy: null,
		full: true,
		...more,
	};
}

const run = (label: string, seeds: SeedResult[]): RunResult => ({ label, title: label, group: "main", seeds });
const claim = (rule: Rule, reading: Reading = { run: "a", measure: "loss" }): Claim => ({ text: "", reading, rule });

test("a mean has the standard error of its values, sd / sqrt(n)", () => {
	expect(meanOf([])).toBeNull();
	expect(meanOf([2])).toEqual({ mean: 2, error: null, count: 1 });
	expect(meanOf([1, 2, 3])).toEqual({ mean: 2, error: Math.sqrt(1 / 3), count: 3 });
});

describe("a limit", () => {
	const runs = [run("a", [seed(1, 1.9), seed(2, 2.1), seed(3, 2)])];
	test.each([
		[{ kind: "at-most", value: 2.05 }, "holds"],
		[{ kind: "at-most", value: 1.95 }, "open"],
		[{ kind: "at-most", value: 1.8 }, "does not hold"],
		[{ kind: "at-least", value: 1.5 }, "holds"],
		[{ kind: "at-least", value: 2.5 }, "does not hold"],
		[{ kind: "near", value: 2.1, tolerance: 0.11 }, "holds"],
		[{ kind: "near", value: 2.15, tolerance: 0.05 }, "open"],
		[{ kind: "near", value: 2.5, tolerance: 0.05 }, "does not hold"],
	] as [Rule, string][])("%j: %s", (rule, verdict) => {
		expect(judge(claim(rule), runs)).toMatchObject({ verdict, seeds: 3 });
	});
});

describe("a comparison", () => {
	const below: Rule = { kind: "below", run: "b" };
	test("pairs the seeds, so that what they share cancels", () => {
		const a = run("a", [seed(1, 1), seed(2, 2), seed(3, 3)]);
		const b = run("b", [seed(3, 3.12), seed(1, 1.1), seed(2, 2.11)]);
		const judged = judge(claim(below), [a, b]);
		expect(judged.verdict).toBe("holds");
		expect(judged.ours).toBeCloseTo(-0.11, 10);
		expect(judge(claim({ kind: "below", run: "a" }, { run: "b", measure: "loss" }), [a, b]).verdict).toBe(
			"does not hold",
		);
	});

	test("is open within the noise, and with a single seed", () => {
		const a = run("a", [seed(1, 1), seed(2, 2)]);
		expect(judge(claim(below), [a, run("b", [seed(1, 1.5), seed(2, 1.6)])]).verdict).toBe("open");
		expect(judge(claim(below), [a, run("b", [seed(1, 1.5)])])).toMatchObject({ verdict: "open", seeds: 1 });
	});

	test("with an n-gram model compares every seed with the one figure", () => {
		const a = run("a", [seed(1, 1), seed(2, 1.1)]);
		expect(judge(claim({ kind: "below", run: "ngram" }), [a, run("ngram", [seed(0, 2)])])).toMatchObject({
			verdict: "holds",
			seeds: 2,
		});
	});

	test("is not measured where a run is missing", () => {
		expect(judge(claim(below), [run("a", [seed(1, 1)])])).toMatchObject({ verdict: "not measured", ours: null });
	});
});

describe("a reading on the way", () => {
	const curve = [
		point(10, 3, { accuracy: 1, full: false }),
		point(20, 2, { accuracy: 0.5 }),
		point(40, 1, { accuracy: 0.99 }),
	];
	const runs = [run("a", [seed(1, 1, { curve })])];
	const read = (reading: Partial<Reading>) =>
		judge(claim({ kind: "at-least", value: 0 }, { run: "a", measure: "loss", ...reading }), runs).ours;

	test("of the loss lies between the evaluations around it", () => {
		expect(read({ atTokens: 2000 })).toBe(2);
		expect(read({ atTokens: 3000 })).toBe(1.5);
		expect(read({ atTokens: 5000 })).toBeNull();
		expect(read({ atTokens: 500 })).toBeNull();
	});

	test("is known of a run that has not ended, its result is not", () => {
		const cut = [run("a", [seed(1, 1, { curve, ended: "unfinished" })])];
		expect(
			judge(claim({ kind: "at-most", value: 9 }, { run: "a", measure: "loss", atTokens: 2000 }), cut).verdict,
		).toBe("holds");
		expect(judge(claim({ kind: "at-most", value: 9 }), cut).verdict).toBe("not measured");
		expect(judge(claim({ kind: "at-most", value: 9 }), [run("a", [seed(1, 1, { ended: "failed" })])]).seeds).toBe(0);
	});

	test("of what it took counts to the first evaluation at full noise that is good enough", () => {
		expect(read({ measure: "samples", untilAccuracy: 0.9 })).toBe(40 * 8);
		expect(read({ measure: "flops", untilAccuracy: 0.4 })).toBe(20_000);
		expect(read({ measure: "samples", untilAccuracy: 0.999 })).toBeNull();
	});
});
