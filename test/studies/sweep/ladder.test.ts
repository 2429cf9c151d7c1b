import { describe, expect, test } from "vitest";
import {
	bestRate,
	heldBackWidth,
	type LadderRequest,
	ladderRuns,
	ladderSeconds,
	ladderTokens,
	ladderWidths,
	makeLadder,
	nextRate,
	rateFor,
	runName,
	stepsFor,
} from "../../../src/studies/sweep/ladder.ts";

test("widths go from 16 to 96 by about equal ratios, and on by 16 where there are more", () => {
	expect(ladderWidths(5)).toEqual([16, 32, 48, 64, 96]);
	expect(ladderWidths(2)).toEqual([16, 96]);
	expect(ladderWidths(1)).toEqual([16]);
	expect(ladderWidths(8)).toEqual([16, 32, 48, 64, 80, 96, 112, 128]);
	expect(heldBackWidth([16, 96])).toBe(128);
	expect(heldBackWidth([16])).toBe(32);
});

test("amounts of text differ by four, by less where the text is short, and are refused where it is shorter still", () => {
	expect(ladderTokens(1_003_855, 4)).toEqual([15_685, 62_741, 250_964, 1_003_855]);
	expect(ladderTokens(32_768, 4)).toEqual([4096, 8192, 16_384, 32_768]);
	expect(() => ladderTokens(10_000, 4)).toThrow(
		"expected a text of at least 13824 training tokens for 4 amounts of text, found 10000",
	);
});

test("a run takes a hundred passes over its text, or the ladder's steps where those are fewer", () => {
	expect(stepsFor(15_685, 5050)).toBe(766);
	expect(stepsFor(1_000_000, 5050)).toBe(5050);
});

test("the rate falls with the root of the width", () => {
	expect(rateFor(16, 0.01, 16)).toBe(0.01);
	expect(rateFor(64, 0.01, 16)).toBe(0.005);
});

describe("the search for a learning rate", () => {
	const search = (loss: (rate: number) => number) => {
		const tried = new Map<number, number>();
		for (let rate = nextRate(tried); rate !== null; rate = nextRate(tried)) tried.set(rate, loss(rate));
		return { tried: [...tried.keys()], best: bestRate(tried) };
	};
	const valley = (lowest: number) => (rate: number) => Math.log(rate / lowest) ** 2;
	test("ends after three where the middle one is best", () => {
		expect(search(valley(0.005))).toEqual({ tried: [0.002, 0.005, 0.0125], best: 0.005 });
	});
	test("goes on beyond an end, twice at most", () => {
		expect(search(valley(0.03))).toEqual({ tried: [0.002, 0.005, 0.0125, 0.03125, 0.07813], best: 0.03125 });
		expect(search(valley(1e-6)).tried).toEqual([0.002, 0.005, 0.0125, 0.0008, 0.00032]);
	});
	test("counts a run that diverged as the worst", () => {
		const { best } = search((rate) => (rate > 0.004 ? Number.POSITIVE_INFINITY : 1));
		expect(best).toBeLessThanOrEqual(0.002);
	});
});

describe("the ladder for a budget", () => {
	const speeds = { recurrent: perWidth(2), transformer: perWidth(1) };
	const request: LadderRequest = {
		architectures: ["recurrent", "transformer"],
		...{ sizes: 5, dataSizes: 4, seeds: 1, tokens: 1_003_855, seconds: 1500 },
	};
	test("takes the most steps that fit", () => {
		const ladder = makeLadder(request, speeds);
		expect(ladderSeconds(ladder, 1, speeds)).toBeLessThanOrEqual(1500);
		expect(ladderSeconds({ ...ladder, steps: ladder.steps + 1 }, 1, speeds)).toBeGreaterThan(1500);
		expect(ladder.tokens.at(-1)).toBe(1_003_855);
		expect(makeLadder({ ...request, seeds: 3 }, speeds).steps).toBeLessThan(ladder.steps);
	});
	test("leaves out text that no run would come to read", () => {
		const { tokens, steps } = makeLadder({ ...request, tokens: 1e9 }, speeds);
		expect(tokens.at(-1)).toBe(steps * 2048);
	});
	test("refuses a budget that pays for nothing, and says what it takes", () => {
		expect(() => makeLadder({ ...request, seconds: 20 }, speeds)).toThrow(
			/expected a budget of at least \d+ minutes .* found 0\.3/,
		);
	});
	test("has every size with every amount, then the run that is held back, each with a name of its own", () => {
		const ladder = makeLadder(request, speeds);
		const runs = ladderRuns("recurrent", ladder, 2, 0.01);
		expect(runs).toHaveLength(5 * 4 * 2 + 1);
		expect(new Set(runs.map(runName)).size).toBe(runs.length);
		expect(runs.at(-1)).toMatchObject({ part: "held back", width: 128, tokens: 1_003_855 });
	});
	function perWidth(factor: number): Record<number, number> {
		return Object.fromEntries([16, 32, 48, 64, 96, 128].map((width) => [width, 1e-6 * factor * width ** 2]));
	}
});
