import { expect, test } from "vitest";
import { Curriculum } from "../../src/train/curriculum.ts";

test("doubles under the threshold, up to full, and says when", () => {
	const curriculum = new Curriculum({ start: 128, threshold: 0.3, full: 1000 });
	expect([0.5, 0.3, 0.29, 0.1, 0.1, 0.1].map((loss) => [curriculum.observe(loss), curriculum.noise])).toEqual([
		[false, 128],
		[false, 128],
		[true, 256],
		[true, 512],
		[true, 1000],
		[false, 1000],
	]);
	expect(curriculum.full).toBe(true);
});

test("without a start is full at once", () => {
	const curriculum = new Curriculum({ start: null, threshold: 0.3, full: 64 });
	expect([curriculum.noise, curriculum.full, curriculum.observe(0)]).toEqual([64, true, false]);
});

test("never begins beyond full length, and resumes where it stood", () => {
	expect(new Curriculum({ start: 128, threshold: 0.3, full: 64 }).noise).toBe(64);
	expect(new Curriculum({ start: 128, threshold: 0.3, full: 4096 }, 512).noise).toBe(512);
});

test("does not grow on a loss that is no number", () => {
	const curriculum = new Curriculum({ start: 8, threshold: 0.3, full: 64 });
	expect(curriculum.observe(Number.NaN)).toBe(false);
});
