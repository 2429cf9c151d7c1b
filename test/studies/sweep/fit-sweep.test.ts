import { describe, expect, test } from "vitest";
import { RandomSequence } from "../../../src/base/random.ts";
import { type AdditiveConstants, additiveLoss } from "../../../src/laws/additive.ts";
import {
	type Efficient,
	efficientFromRuns,
	efficientOnSurface,
	growthExponent,
	quantile,
	ratioOnSurfaces,
	sizeForLoss,
} from "../../../src/studies/sweep/efficient.ts";
import { fitSweep, runsOf } from "../../../src/studies/sweep/fit-sweep.ts";
import { type Architecture, ladderTokens } from "../../../src/studies/sweep/ladder.ts";
import type { SweepRunOutcome } from "../../../src/studies/sweep/run-sweep.ts";
import { naturalRange, placeOf, rangeVerdicts } from "../../../src/studies/sweep/verdicts.ts";

const law: AdditiveConstants = { E: 1.2, A: 60, B: 30, alpha: 0.5, beta: 0.3 };
const sizes = [6208, 18_560, 37_056, 61_696, 129_408];
const heldBack = 221_824;
const amounts = ladderTokens(1_003_855, 4);

/** Outcomes as a sweep would have them if the law held, up to some noise. */
function outcomes(kind: Architecture, constants: AdditiveConstants, noise = 0): SweepRunOutcome[] {
	const one = (part: "ladder" | "held back", parameters: number, tokens: number, index: number): SweepRunOutcome => {
		const error = noise * (new RandomSequence(1, kind.length, index).uniform() - 0.5);
		const loss = additiveLoss(constants, parameters, tokens) + error;
		const summary = { parameters, steps: 100, flops: 6 * parameters * tokens, seconds: 1, best: { step: 90, loss } };
		return {
			run: { part, kind, width: parameters, tokens, seed: 1, rate: 0.01 },
			summary: summary as unknown as SweepRunOutcome["summary"],
		};
	};
	const ladder = sizes.flatMap((size, i) => amounts.map((amount, j) => one("ladder", size, amount, 10 * i + j)));
	return [...ladder, one("held back", heldBack, amounts[3], 999)];
}

describe("the smallest good model", () => {
	test("on a surface loses just so much of the best loss", () => {
		for (const { tokens, parameters, best } of efficientOnSurface(law, amounts, 0.02)) {
			expect(best).toBeCloseTo(law.E + law.B / tokens ** law.beta, 12);
			expect(additiveLoss(law, parameters, tokens)).toBeCloseTo(1.02 * best, 12);
		}
	});
	test("grows by the exponent that the law gives where the floor is nothing: beta / alpha", () => {
		const models = efficientOnSurface({ ...law, E: 0 }, amounts, 0.02);
		expect(growthExponent(models)).toBeCloseTo(law.beta / law.alpha, 10);
	});
	test("by the runs lies between the sizes tried, and says where they end", () => {
		const runs = runsOf(outcomes("recurrent", law));
		const models = efficientFromRuns(runs, 0.02);
		expect(models.map(({ tokens }) => tokens)).toEqual(amounts);
		for (const { tokens, parameters, best, edge } of models) {
			expect(best).toBeCloseTo(additiveLoss(law, sizes[4], tokens), 12);
			expect(edge).toBe("largest");
			// A straight line in ln N between two sizes lies above the law's bow.
			expect(additiveLoss(law, parameters, tokens)).toBeLessThan(1.02 * best);
			expect(additiveLoss(law, 0.8 * parameters, tokens)).toBeGreaterThan(1.02 * best);
		}
	});
	test("is the smallest size where that is good enough", () => {
		const flat = runsOf(outcomes("recurrent", { ...law, A: 0.001 }));
		expect(efficientFromRuns(flat, 0.02).map(({ parameters, edge }) => [parameters, edge])).toEqual(
			amounts.map(() => [sizes[0], "smallest"]),
		);
	});
	test("of a size for a loss: on a line in ln N, none where no size has it", () => {
		const curve = [
			{ parameters: 100, loss: 2 },
			{ parameters: 10_000, loss: 1 },
		];
		expect(sizeForLoss(curve, 1.5)).toBeCloseTo(1000, 9);
		expect(sizeForLoss(curve, 3)).toBe(100);
		expect(sizeForLoss(curve, 0.9)).toBeNull();
	});
	test("has no exponent with one amount of text", () => {
		expect(growthExponent([{ tokens: 10, parameters: 10, best: 1, edge: null } satisfies Efficient])).toBeNaN();
	});
});

describe("from the runs' losses", () => {
	const exact = fitSweep(outcomes("recurrent", law), { bootstrap: 0 }).fits[0];
	test("the law that made them is found, with gamma", () => {
		const { alpha, beta, E } = exact.fit.constants;
		expect(alpha).toBeCloseTo(0.5, 6);
		expect(beta).toBeCloseTo(0.3, 6);
		expect(E).toBeCloseTo(1.2, 6);
		expect(exact.gamma.value).toBeCloseTo(growthExponent(efficientOnSurface(law, amounts, 0.02)), 6);
		expect(exact.balance.value).toBeCloseTo(0.6, 6);
		expect(exact.spread).toBeLessThan(1e-6);
		expect(exact.gamma.interval).toBeNull();
	});
	test("the held-back run is predicted though the fit did not see it", () => {
		expect(exact.runs.losses).toHaveLength(20);
		expect(exact.heldBack?.predicted).toBeCloseTo(additiveLoss(law, heldBack, amounts[3]), 6);
		expect(exact.heldBack?.inside).toBeNull();
	});
	test("noise makes intervals that hold the truth, and the held-back run lies within its own", () => {
		const [fit] = fitSweep(outcomes("recurrent", law, 0.01), { bootstrap: 60 }).fits;
		const truth = growthExponent(efficientOnSurface(law, amounts, 0.02));
		expect(fit.gamma.interval?.low).toBeLessThan(truth);
		expect(fit.gamma.interval?.high).toBeGreaterThan(truth);
		expect(fit.heldBack?.inside).toBe(true);
		const { low, high } = fit.heldBack!.interval!;
		expect(high - low).toBeGreaterThan(0.005);
		expect(high - low).toBeLessThan(0.2);
	});
	test("the architecture that needs a quarter of the parameters is found to need fewer", () => {
		const quarter = { ...law, A: law.A / 2 };
		const both = [...outcomes("recurrent", quarter, 0.004), ...outcomes("transformer", law, 0.004)];
		const { comparison } = fitSweep(both, { bootstrap: 40 });
		expect(comparison?.ratio.value).toBeGreaterThan(0.2);
		expect(comparison?.ratio.value).toBeLessThan(0.3);
		expect(comparison?.verdict).toBe("fewer");
		expect([comparison?.lower, comparison?.pairs]).toEqual([20, 20]);
		expect(comparison!.direct.ratio).toBeCloseTo(0.25, 1);
		const turned = both.map(({ run, summary }) => ({
			summary,
			run: { ...run, kind: run.kind === "recurrent" ? ("transformer" as const) : ("recurrent" as const) },
		}));
		expect(fitSweep(turned, { bootstrap: 40 }).comparison?.verdict).toBe("more");
	});
	test("a loss out of the other's reach needs infinitely many", () => {
		expect(ratioOnSurfaces({ ...law, E: 3 }, law, sizes, amounts)).toBe(Number.POSITIVE_INFINITY);
		expect(ratioOnSurfaces(law, law, sizes, amounts)).toBeCloseTo(1, 9);
	});
	test("warnings say what the runs cannot tell", () => {
		const flat = fitSweep(outcomes("recurrent", { ...law, A: 0.001 }), { bootstrap: 0 }).fits[0];
		expect(flat.warnings.join("\n")).toMatch(/the smallest size is good enough already/);
		const late = outcomes("recurrent", law).map(({ run, summary }) => ({ run, summary: { ...summary!, steps: 90 } }));
		expect(fitSweep(late, { bootstrap: 0 }).fits[0].warnings.join("\n")).toMatch(
			/20 of 20 runs have their best loss at their last step/,
		);
	});
	test("a law whose terms work together is told from one whose terms are apart", () => {
		const together = (n: number, d: number) => 1 + ((60 / n ** 0.5) ** 2 + (30 / d ** 0.3) ** 2) ** 0.5;
		const warned = (loss: (n: number, d: number) => number) => {
			const made = outcomes("recurrent", law).map(({ run, summary }) => {
				const best = { step: 90, loss: loss(summary!.parameters, run.tokens) };
				return { run, summary: { ...summary!, best } };
			});
			return fitSweep(made, { bootstrap: 0 }).fits[0].warnings.join("\n");
		};
		expect(warned(together)).toMatch(/does not hold: larger models gain more from more text/);
		expect(warned((n, d) => additiveLoss(law, n, d))).not.toMatch(/does not hold/);
	});
	test("one size, or one amount of text, makes no law", () => {
		const one = outcomes("recurrent", law).filter(({ run }) => run.width === sizes[0]);
		expect(fitSweep(one)).toMatchObject({ fits: [], comparison: null });
	});
});

describe("verdicts", () => {
	test("an interval lies inside a range, partly in it, or outside", () => {
		const range = { low: 0.44, high: 0.72 };
		const place = (low: number, high: number) => placeOf({ value: (low + high) / 2, interval: { low, high } }, range);
		expect([place(0.5, 0.6), place(0.3, 0.5), place(0.1, 0.2), place(0.9, 1)]).toEqual([
			"inside",
			"overlaps",
			"outside",
			"outside",
		]);
		expect(placeOf({ value: 0.5, interval: null }, range)).toBe("inside");
		expect(placeOf({ value: Number.NaN, interval: null }, range)).toBe("unknown");
	});
	test("the natural law's range follows from the fitted beta; a beta it is not made for gives none", () => {
		expect(naturalRange(0.28)).toEqual({ low: 1 - 0.56, high: 0.72 });
		expect(naturalRange(1.2)).toBeNull();
		const [fit] = fitSweep(outcomes("recurrent", law), { bootstrap: 0 }).fits;
		const [own, heaps, paper] = rangeVerdicts(fit, null);
		expect([own.low, own.high]).toEqual([expect.closeTo(0.4, 6), expect.closeTo(0.7, 6)]);
		expect(heaps).toMatchObject({ low: null, surface: "unknown" });
		expect([paper.low, paper.high]).toEqual([0.44, 0.72]);
	});
});

test("quantiles count what is infinite and leave out what is no number", () => {
	expect(quantile([1, 3, Number.NaN], 0.5)).toBe(2);
	expect(quantile([1, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY], 0.5)).toBe(Number.POSITIVE_INFINITY);
	expect(quantile([], 0.5)).toBeNaN();
});
