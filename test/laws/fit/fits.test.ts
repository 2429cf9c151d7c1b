import { expect, test } from "vitest";
import { additiveLoss } from "../../../src/laws/additive.ts";
import { fitHuber, huberObjective } from "../../../src/laws/fit/huber.ts";
import { lbfgs } from "../../../src/laws/fit/lbfgs.ts";
import { nnls } from "../../../src/laws/fit/nnls.ts";
import type { Runs } from "../../../src/laws/fit/runs.ts";
import { fitProjection } from "../../../src/laws/fit/variable-projection.ts";
import { hoffmannRounded } from "../../../src/laws/hoffmann.ts";

/** Runs on a grid of budgets and sizes whose losses are exactly Hoffmann's rounded law. */
function surface(budgets = 8, sizes = 16): Runs {
	const rows = Array.from({ length: budgets * sizes }, (_, i) => {
		const flops = 10 ** (17 + (5 * Math.floor(i / sizes)) / (budgets - 1));
		const best = hoffmannRounded.allocate(flops).parameters;
		const parameters = best * 8 ** ((2 * (i % sizes)) / (sizes - 1) - 1);
		return { parameters, tokens: flops / 6 / parameters, flops };
	});
	return {
		parameters: Float64Array.from(rows, (row) => row.parameters),
		tokens: Float64Array.from(rows, (row) => row.tokens),
		flops: Float64Array.from(rows, (row) => row.flops),
		losses: Float64Array.from(rows, (row) => additiveLoss(hoffmannRounded.constants, row.parameters, row.tokens)),
	};
}

test("L-BFGS finds the minimum of Rosenbrock's valley in ten dimensions", () => {
	const f = (x: Float64Array) => {
		let value = 0;
		const gradient = new Float64Array(x.length);
		for (let i = 0; i + 1 < x.length; i++) {
			const across = x[i + 1] - x[i] * x[i];
			value += 100 * across * across + (1 - x[i]) ** 2;
			gradient[i] += -400 * across * x[i] - 2 * (1 - x[i]);
			gradient[i + 1] += 200 * across;
		}
		return { value, gradient };
	};
	const { point, value, converged } = lbfgs(f, new Float64Array(10).fill(-0.5));
	expect(converged).toBe(true);
	expect(value).toBeLessThan(1e-16);
	for (const x of point) expect(x).toBeCloseTo(1, 7);
});

test("non-negative least squares: inside, on one border, on two", () => {
	const columns = [
		[1, 1, 1, 1],
		[0, 1, 2, 3],
		[1, 0, 1, 0],
	];
	const solve = (y: number[]) => {
		const gram = columns.flatMap((left) => columns.map((right) => left.reduce((sum, v, i) => sum + v * right[i], 0)));
		return [
			...nnls(
				gram,
				columns.map((column) => column.reduce((sum, v, i) => sum + v * y[i], 0)),
			),
		];
	};
	const [one, two, three] = solve([2 + 1.5, 2 + 0.5, 2 + 1 + 1.5, 2 + 1.5]);
	expect([one, two, three].map((v) => Math.round(v * 1e9) / 1e9)).toEqual([2, 0.5, 1.5]);
	// Falling with column 2, whose coefficient must then be zero; the rest is the least squares of the rest.
	const [mean, slope, third] = solve([4, 3, 2, 1]);
	expect(slope).toBe(0);
	expect(mean).toBeCloseTo(2, 12);
	expect(third).toBeCloseTo(1, 12);
	expect(solve([-1, -1, -1, -1])).toEqual([0, 0, 0]);
});

test("Huber's gradient is its slope", () => {
	const f = huberObjective(surface(3, 4));
	const point = [6, 6.1, 0.5, 0.34, 0.29];
	const { gradient } = f(point);
	point.forEach((value, i) => {
		const at = (x: number) => f(point.map((v, j) => (j === i ? x : v))).value;
		expect(gradient[i]).toBeCloseTo((at(value + 1e-6) - at(value - 1e-6)) / 2e-6, 7);
	});
});

test("both fits find the law that made the losses", () => {
	const runs = surface();
	const { constants, onEdge } = fitProjection(runs);
	expect(onEdge).toBe(false);
	expect(constants.alpha).toBeCloseTo(0.34, 9);
	expect(constants.beta).toBeCloseTo(0.28, 9);
	expect(constants.E).toBeCloseTo(1.69, 6);
	expect(constants.A / 406.4).toBeCloseTo(1, 6);
	expect(constants.B / 410.7).toBeCloseTo(1, 6);
	const { point, value } = fitHuber(runs);
	expect(value).toBeLessThan(1e-12);
	expect(point[3]).toBeCloseTo(0.34, 4);
	expect(point[4]).toBeCloseTo(0.28, 4);
});
