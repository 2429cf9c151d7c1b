/**
 * Variable projection (after Open-Athena's VPNLS, arXiv 2603.22339): for given exponents the law is linear in E, A, B >= 0, so only
 * alpha and beta are searched, on a grid that is refined. It needs no starting point and cannot end in another valley.
 */
import type { AdditiveConstants } from "../additive.ts";
import { huber, huberDelta } from "./huber.ts";
import { nnls } from "./nnls.ts";
import type { Runs } from "./runs.ts";

/** Squares of the loss's residuals, or Huber's measure of them. */
export type Measure = "squares" | HuberMeasure;

export interface HuberMeasure {
	readonly delta: number;
	/** Most times that the weights of E, A, B's least squares are renewed; default: until that changes nothing. */
	readonly rounds?: number;
}

export interface ProjectionOptions {
	readonly measure?: Measure;
	/** Exponents searched, both the same. */
	readonly from?: number;
	readonly to?: number;
	/** Distance of the final grid's points. */
	readonly step?: number;
	/** Only around these exponents: for bootstraps. */
	readonly near?: { readonly alpha: number; readonly beta: number };
	/** alpha = beta. */
	readonly tied?: boolean;
	/** One exponent stays: for profiles. */
	readonly fixed?: { readonly alpha?: number; readonly beta?: number };
}

export interface Projection {
	readonly constants: AdditiveConstants;
	/** Sum of squares, or of Huber's measure, of the residuals of L. */
	readonly objective: number;
	/** The best exponents lie on the border of what was searched. */
	readonly onEdge: boolean;
}

export const huberMeasure = { delta: huberDelta } as const;

export function fitProjection(runs: Runs, options: ProjectionOptions = {}): Projection {
	const { from = 0.02, to = 1.5, step = 0.002, near, tied = false, fixed = {} } = options;
	const solve = projector(runs, options.measure ?? "squares");
	const spacings = near ? [0.02] : [0.08, 0.02];
	while (spacings[spacings.length - 1] > step * 1.0001)
		spacings.push(Math.max(step, spacings[spacings.length - 1] / 4));
	let best: (Solved & { alpha: number; beta: number }) | undefined;
	const visit = (alpha: number, beta: number) => {
		const solved = solve(alpha, beta);
		if (best === undefined || solved.objective < best.objective) best = { ...solved, alpha, beta };
	};
	let centre = near;
	for (const spacing of spacings) {
		const alphas = fixed.alpha === undefined ? around(centre?.alpha, spacing) : [fixed.alpha];
		for (const alpha of alphas) {
			const betas = fixed.beta === undefined ? around(centre?.beta, spacing) : [fixed.beta];
			for (const beta of tied ? [alpha] : betas) visit(alpha, beta);
		}
		// The valley is long and narrow: go on until the best point is inside its own neighbourhood.
		for (let round = 0; round < 200; round++) {
			const { alpha, beta } = best as { alpha: number; beta: number };
			for (const nextAlpha of fixed.alpha === undefined ? neighbours(alpha, spacing) : [fixed.alpha]) {
				const betas = fixed.beta === undefined ? neighbours(beta, spacing) : [fixed.beta];
				for (const nextBeta of tied ? [nextAlpha] : betas) visit(nextAlpha, nextBeta);
			}
			if (best?.alpha === alpha && best.beta === beta) break;
		}
		centre = best;
	}
	const { E, A, B, alpha, beta, objective } = best!;
	const edge = (value: number, held?: number) => held === undefined && (value <= from + step || value >= to - step);
	return { constants: { E, A, B, alpha, beta }, objective, onEdge: edge(alpha, fixed.alpha) || edge(beta, fixed.beta) };

	/** Multiples of the spacing: all of the range, or those within four of a centre. */
	function around(middle: number | undefined, spacing: number): number[] {
		const low = middle === undefined ? from : Math.max(from, middle - 4 * spacing);
		const high = middle === undefined ? to : Math.min(to, middle + 4 * spacing);
		return multiples(low, high, spacing);
	}
	function neighbours(value: number, spacing: number): number[] {
		return multiples(Math.max(from, value - 2 * spacing), Math.min(to, value + 2 * spacing), spacing);
	}
}

function multiples(low: number, high: number, spacing: number): number[] {
	// No exponent of zero: its term could not be told from E.
	const first = Math.max(1, Math.round(low / spacing));
	const last = Math.round(high / spacing);
	// Divided by a whole number where it is one: 0.34 rather than 0.34000000000000002.
	const per = 1 / spacing;
	const exact = Math.abs(per - Math.round(per)) < 1e-9;
	return Array.from({ length: last - first + 1 }, (_, i) =>
		exact ? (first + i) / Math.round(per) : (first + i) * spacing,
	);
}

interface Solved {
	readonly E: number;
	readonly A: number;
	readonly B: number;
	readonly objective: number;
}

/** Solves for E, A, B at given exponents. N and D are taken relative to their geometric means, so that columns are of one size. */
function projector(runs: Runs, measure: Measure) {
	const { losses } = runs;
	const count = losses.length;
	const lnN = runs.parameters.map(Math.log);
	const lnD = runs.tokens.map(Math.log);
	const middleN = lnN.reduce((a, b) => a + b, 0) / count;
	const middleD = lnD.reduce((a, b) => a + b, 0) / count;
	const byN = new Float64Array(count);
	const byD = new Float64Array(count);
	const residuals = new Float64Array(count);
	const gram = new Float64Array(9);
	const moments = new Float64Array(3);
	const weigh = (delta: number, i: number) => Math.min(1, delta / Math.max(Math.abs(residuals[i]), 1e-12));

	/** One weighted least-squares problem; leaves the residuals. */
	function leastSquares(delta: number | null): Float64Array {
		gram.fill(0);
		moments.fill(0);
		for (let i = 0; i < count; i++) {
			const weight = delta === null ? 1 : weigh(delta, i);
			const [n, d, loss] = [byN[i], byD[i], losses[i]];
			gram[0] += weight;
			gram[1] += weight * n;
			gram[2] += weight * d;
			gram[4] += weight * n * n;
			gram[5] += weight * n * d;
			gram[8] += weight * d * d;
			moments[0] += weight * loss;
			moments[1] += weight * loss * n;
			moments[2] += weight * loss * d;
		}
		[gram[3], gram[6], gram[7]] = [gram[1], gram[2], gram[5]];
		const x = nnls(gram, moments);
		for (let i = 0; i < count; i++) residuals[i] = x[0] + x[1] * byN[i] + x[2] * byD[i] - losses[i];
		return x;
	}

	return (alpha: number, beta: number): Solved => {
		for (let i = 0; i < count; i++) {
			byN[i] = Math.exp(-alpha * (lnN[i] - middleN));
			byD[i] = Math.exp(-beta * (lnD[i] - middleD));
		}
		let x = leastSquares(null);
		let objective = 0;
		if (measure === "squares") for (const residual of residuals) objective += residual * residual;
		else {
			// Weights that make squares equal Huber's measure, renewed until it falls no more.
			const total = () => residuals.reduce((sum, residual) => sum + huber(residual, measure.delta), 0);
			objective = total();
			for (let round = 0; round < (measure.rounds ?? 300); round++) {
				const next = leastSquares(measure.delta);
				const now = total();
				if (now > objective) break;
				x = next;
				const fallen = objective - now;
				objective = now;
				if (fallen < 1e-9 * now) break;
			}
		}
		return { E: x[0], A: x[1] * Math.exp(alpha * middleN), B: x[2] * Math.exp(beta * middleD), objective };
	};
}
