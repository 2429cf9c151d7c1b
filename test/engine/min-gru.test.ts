/** The minGRU's scan against the form in which the paper computes it: logarithms and a cumulative log-sum-exp. */
import { describe, expect, test } from "vitest";
import { RandomSequence } from "../../src/base/random.ts";
import { Graph } from "../../src/engine/graph.ts";
import { minGru } from "../../src/engine/ops/index.ts";
import { normal } from "./cases.ts";
import { evaluate } from "./evaluate.ts";

const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const logAdd = (a: number, b: number) => (a === b ? a + Math.LN2 : Math.max(a, b) + softplus(-Math.abs(a - b)));
const logG = (x: number) => (x >= 0 ? Math.log(x + 0.5) : -softplus(-x));

/** One column: log h_t = A_t + logcumsumexp(log b_t - A_t), A the cumulative sum of log(1 - z); b_0 = h_0 where there is one. */
function logSpaceScan(gate: number[], candidate: number[], initial: number | null): number[] {
	let sumOfLogs = 0;
	let logSum = initial === null ? Number.NEGATIVE_INFINITY : Math.log(initial);
	return gate.map((k, t) => {
		sumOfLogs -= softplus(k);
		logSum = logAdd(logSum, -softplus(-k) + logG(candidate[t]) - sumOfLogs);
		return Math.exp(sumOfLogs + logSum);
	});
}

describe("minGRU in order equals the scan in log space", () => {
	test.each([
		["short", 5, 1],
		["long", 300, 1],
		["gates nearly open or shut", 60, 12],
	])("%s", (_name, length, spread) => {
		for (const from of [null, 0.7]) {
			const random = new RandomSequence(11, 1, length);
			const draw = () => Array.from({ length }, () => spread * normal(random));
			const [gate, candidate] = [draw(), draw()];
			const g = new Graph();
			const column = (name: string) => g.input(name, [length, 1], "f32");
			const [k, x] = [column("gate"), column("candidate")];
			const h0 = from === null ? null : g.input("initial", [1, 1], "f32");
			const h = minGru(g, k, x, h0, { sequences: 1 });
			const leaves = new Map([
				[k, Float64Array.from(gate)],
				[x, Float64Array.from(candidate)],
			]);
			if (h0) leaves.set(h0, Float64Array.of(0.7));
			const states = evaluate(g, leaves)(h);
			logSpaceScan(gate, candidate, from).forEach((expected, t) => {
				expect(Math.abs(states[t] - expected) / expected).toBeLessThan(1e-10);
			});
		}
	});
});
