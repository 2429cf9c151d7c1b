/**
 * Hoffmann's fit: min over (a, b, e, alpha, beta) of the SUM of Huber(LSE(a - alpha ln N, b - beta ln D, e) - ln L). The mean
 * instead of the sum makes gradients so small that L-BFGS stops early, which is how the published constants came to be off.
 */
import type { AdditiveConstants } from "../additive.ts";
import { type Evaluated, lbfgs, type Minimum } from "./lbfgs.ts";
import type { Runs } from "./runs.ts";

/** Where |residual| turns from squared to linear, in ln L. */
export const huberDelta = 1e-3;

export function huber(residual: number, delta = huberDelta): number {
	const size = Math.abs(residual);
	return size <= delta ? 0.5 * residual * residual : delta * (size - 0.5 * delta);
}

/** Order of the unknowns: a = ln A, b = ln B, e = ln E, alpha, beta. */
export type Point = ArrayLike<number>;

export function pointOf({ A, B, E, alpha, beta }: AdditiveConstants): number[] {
	return [Math.log(A), Math.log(B), Math.log(E), alpha, beta];
}

export function constantsOf(point: Point): AdditiveConstants {
	return { A: Math.exp(point[0]), B: Math.exp(point[1]), E: Math.exp(point[2]), alpha: point[3], beta: point[4] };
}

/** Runs as the objective wants them: logarithms. */
interface Logarithms {
	readonly lnN: Float64Array;
	readonly lnD: Float64Array;
	readonly lnL: Float64Array;
}

const logarithms = ({ parameters, tokens, losses }: Runs): Logarithms => ({
	lnN: parameters.map(Math.log),
	lnD: tokens.map(Math.log),
	lnL: losses.map(Math.log),
});

/** The objective and its gradient. */
export function huberObjective(runs: Runs): (point: Point) => Evaluated {
	const { lnN, lnD, lnL } = logarithms(runs);
	return (point) => {
		const [a, b, e, alpha, beta] = [point[0], point[1], point[2], point[3], point[4]];
		const gradient = new Float64Array(5);
		let value = 0;
		for (let i = 0; i < lnL.length; i++) {
			const model = a - alpha * lnN[i];
			const data = b - beta * lnD[i];
			const top = Math.max(model, data, e);
			const [byModel, byData, byFloor] = [Math.exp(model - top), Math.exp(data - top), Math.exp(e - top)];
			const sum = byModel + byData + byFloor;
			const residual = top + Math.log(sum) - lnL[i];
			value += huber(residual);
			const pull = Math.max(-huberDelta, Math.min(huberDelta, residual)) / sum;
			gradient[0] += pull * byModel;
			gradient[1] += pull * byData;
			gradient[2] += pull * byFloor;
			gradient[3] -= pull * byModel * lnN[i];
			gradient[4] -= pull * byData * lnD[i];
		}
		return { value, gradient };
	};
}

/** Hoffmann's 4,500 starting points. */
export function* startingPoints(): Generator<number[]> {
	const halves = [0, 0.5, 1, 1.5, 2];
	const fives = [0, 5, 10, 15, 20, 25];
	for (const alpha of halves) {
		for (const beta of halves) {
			for (const e of [-1, -0.5, 0, 0.5, 1]) {
				for (const a of fives) for (const b of fives) yield [a, b, e, alpha, beta];
			}
		}
	}
}

/** Starting points tried: the best of the grid. Going down from each of the 4,500 finds no lower minimum on the published tables. */
const descents = 40;

/** The minimum: from the best points of Hoffmann's grid, or from `warm` alone. Which unknowns `hold` names stay as they begin. */
export function fitHuber(runs: Runs, warm?: Point, hold: readonly number[] = []): Minimum {
	const objective = huberObjective(runs);
	const f = hold.length === 0 ? objective : held(objective, hold);
	if (warm) return polish(f, warm);
	const starts = [...startingPoints()].map((point) => ({ point, value: f(point).value }));
	starts.sort((left, right) => left.value - right.value);
	const found = starts.slice(0, descents).map(({ point }) => lbfgs(f, point));
	return polish(f, found.reduce((best, next) => (next.value < best.value ? next : best)).point);
}

/** Again from where it stopped, with a memory that is new: a narrow valley may need it. */
function polish(f: (point: Float64Array) => Evaluated, start: Point): Minimum {
	let best = lbfgs(f, start);
	for (let round = 0; round < 5; round++) {
		const next = lbfgs(f, best.point);
		if (!(next.value < best.value * (1 - 1e-12))) break;
		best = next;
	}
	return best;
}

function held(f: (point: Point) => Evaluated, hold: readonly number[]): (point: Point) => Evaluated {
	return (point) => {
		const { value, gradient } = f(point);
		for (const index of hold) gradient[index] = 0;
		return { value, gradient };
	};
}
