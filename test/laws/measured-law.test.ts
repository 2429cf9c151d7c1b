import { describe, expect, test } from "vitest";
import { additiveLoss, smallestWithin } from "../../src/laws/additive.ts";
import { type MeasuredLaw, measuredSize } from "../../src/laws/measured-law.ts";

const constants = { E: 1.2, A: 60, B: 30, alpha: 0.5, beta: 0.3 };
const law: MeasuredLaw = {
	...{ constants, within: 0.1, read: 1e7, source: "sweep notes, 20 runs" },
	sizes: { least: 6000, most: 130_000 },
};
const plenty = 1e18;

test("the smallest model within a share of the best loses just that much", () => {
	const size = smallestWithin(constants, 1e6, 0.1);
	expect(additiveLoss(constants, size, 1e6)).toBeCloseTo(1.1 * (1.2 + 30 / 1e6 ** 0.3), 12);
});

describe("the size that a measured law recommends", () => {
	test("is what the text deserves where the budget pays for it", () => {
		const { parameters, reason } = measuredSize(law, 1e6, plenty);
		expect(parameters).toBe(smallestWithin(constants, 1e6, 0.1));
		expect(reason).toMatch(
			/^the law measured here \(sweep notes, 20 runs\) gives 1\d{5} parameters for 10 % of the best/,
		);
		expect(reason).toContain(`a loss of about ${additiveLoss(constants, parameters, 1e6).toFixed(3)}`);
		expect(measuredSize(law, 1e7, plenty).parameters).toBeGreaterThan(parameters);
	});
	test("is smaller where the budget would not let it read as much as the sweep's runs", () => {
		const { parameters, reason } = measuredSize(law, 1e6, 6 * 1e7 * 50_000);
		expect(parameters).toBe(50_000);
		expect(reason).toContain("the budget pays for 50000");
	});
	test("stays near the sizes that were measured", () => {
		const far = measuredSize({ ...law, within: 0.001 }, 1e6, plenty);
		expect([far.parameters, far.reason]).toEqual([
			520_000,
			expect.stringContaining("as far as the measured sizes reach"),
		]);
		const small = measuredSize(law, 1e6, 1);
		expect([small.parameters, small.reason]).toEqual([6000, expect.stringContaining("the smallest that was measured")]);
	});
});
