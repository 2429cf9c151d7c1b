/** A law fitted to runs by a method of choice: constants, how sure they are, how far the runs lie from them, and whether the runs could tell at all. */
import { type AdditiveConstants, additiveLoss } from "../additive.ts";
import { bootstrap, type Derived, derive } from "./bootstrap.ts";
import { constantsOf, fitHuber } from "./huber.ts";
import { distinct, type Runs } from "./runs.ts";
import { fitProjection } from "./variable-projection.ts";

export type FitMethod = "huber" | "vpnls";

export interface FitOptions {
	readonly method?: FitMethod;
	/** alpha = beta; with vpnls. */
	readonly tied?: boolean;
	/** Samples of the bootstrap; 0: none. */
	readonly bootstrap?: number;
	readonly seed?: number;
	readonly onProgress?: (stage: "fit" | "bootstrap" | "profile", done: number, total: number) => void;
}

export interface Profile {
	readonly exponent: "alpha" | "beta";
	/** The exponent held at each value, and the least objective with it. */
	readonly values: readonly number[];
	readonly objectives: readonly number[];
}

export interface Fit {
	readonly method: FitMethod;
	readonly runs: Runs;
	readonly constants: AdditiveConstants;
	readonly derived: Derived;
	/** huber: sum of Huber's measure of ln L; vpnls: sum of squares of L. */
	readonly objective: number;
	/** ln of the loss expected over the loss found, by run. */
	readonly residuals: Float64Array;
	readonly samples: readonly Derived[];
	readonly profiles: readonly Profile[];
	/** Why these runs cannot tell the law, or parts of it; empty where they can. */
	readonly warnings: readonly string[];
}

export function fitRuns(runs: Runs, options: FitOptions = {}): Fit {
	const { method = "vpnls", tied = false, bootstrap: count = 0, seed, onProgress } = options;
	onProgress?.("fit", 0, 1);
	const whole = method === "huber" ? huberFit(runs) : projectionFit(runs, tied);
	const samples = bootstrap(runs, count, whole.refit, {
		seed,
		onSample: (done) => onProgress?.("bootstrap", done, count),
	});
	const { constants, objective } = whole;
	const profiles = (tied ? [] : (["alpha", "beta"] as const)).map((exponent, i) => {
		onProgress?.("profile", i, 2);
		return profile(exponent, constants, whole.held);
	});
	const residuals = runs.losses.map((loss, i) =>
		Math.log(additiveLoss(constants, runs.parameters[i], runs.tokens[i]) / loss),
	);
	const warnings = [...identifiability(runs, constants), ...whole.warnings, ...flatness(profiles, objective)];
	return { method, runs, constants, derived: derive(constants), objective, residuals, samples, profiles, warnings };
}

/** A fit and the ways to repeat it: on another sample, with an exponent held. */
interface Fitted {
	readonly constants: AdditiveConstants;
	readonly objective: number;
	readonly warnings: readonly string[];
	refit(sample: Runs): AdditiveConstants;
	held(exponent: "alpha" | "beta", value: number): number;
}

function huberFit(runs: Runs): Fitted {
	const { point, value, converged } = fitHuber(runs);
	return {
		constants: constantsOf(point),
		objective: value,
		warnings: converged ? [] : ["the search for the minimum ran out of iterations: the constants may be off"],
		refit: (sample) => constantsOf(fitHuber(sample, point).point),
		held: (exponent, at) => {
			const index = exponent === "alpha" ? 3 : 4;
			const start = point.map((current, i) => (i === index ? at : current));
			return fitHuber(runs, start, [index]).value;
		},
	};
}

function projectionFit(runs: Runs, tied: boolean): Fitted {
	const { constants, objective, onEdge } = fitProjection(runs, { tied });
	return {
		constants,
		objective,
		warnings: onEdge
			? ["the best exponents lie on the border of the grid that was searched: the runs do not tell them"]
			: [],
		refit: (sample) => fitProjection(sample, { tied, near: constants }).constants,
		held: (exponent, at) => fitProjection(runs, { near: constants, fixed: { [exponent]: at }, step: 0.005 }).objective,
	};
}

/** Eleven values from half to one and a half times the best one. */
function profile(exponent: "alpha" | "beta", best: AdditiveConstants, held: Fitted["held"]): Profile {
	const values = Array.from({ length: 11 }, (_, i) => best[exponent] * (0.5 + i / 10));
	return { exponent, values, objectives: values.map((value) => held(exponent, value)) };
}

/** What about the runs themselves keeps them from telling the law. */
export function identifiability({ parameters, tokens }: Runs, constants: AdditiveConstants): string[] {
	const warnings: string[] = [];
	const sizes = distinct(parameters);
	const amounts = distinct(tokens);
	if (sizes < 4) warnings.push(`only ${sizes} different sizes: alpha cannot be told from E and A; add sizes`);
	if (amounts < 4)
		warnings.push(`only ${amounts} different numbers of tokens: beta cannot be told from E and B; vary the tokens`);
	for (const [values, what] of [
		[parameters, "sizes"],
		[tokens, "numbers of tokens"],
	] as const) {
		const spread = Math.max(...values) / Math.min(...values);
		if (spread < 8)
			warnings.push(`the ${what} span a factor of ${spread.toFixed(1)} only: exponents need about 10 and more`);
	}
	if (Math.abs(correlation(parameters, tokens)) > 0.98) {
		warnings.push(
			"parameters and tokens rise together in all runs: their two terms cannot be told apart; vary one at a time",
		);
	}
	for (const name of ["A", "B", "E"] as const) {
		if (!(constants[name] > 1e-9)) warnings.push(`the best ${name} is zero: the runs do not tell that term`);
	}
	return warnings;
}

/** An exponent that may be a fifth smaller or larger at hardly any cost is not known. */
function flatness(profiles: readonly Profile[], objective: number): string[] {
	return profiles.flatMap(({ exponent, values, objectives }) => {
		const [lower, higher] = [objectives[3], objectives[7]];
		if (Math.min(lower, higher) > 1.02 * objective) return [];
		const side = lower < higher ? values[3] : values[7];
		return [`${exponent} is hardly told: ${side.toFixed(3)} fits within 2 % as well; use its interval, not its value`];
	});
}

function correlation(left: Float64Array, right: Float64Array): number {
	const centred = (values: Float64Array) => {
		const logs = values.map(Math.log);
		const mean = logs.reduce((a, b) => a + b, 0) / logs.length;
		return logs.map((value) => value - mean);
	};
	const [x, y] = [centred(left), centred(right)];
	const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, i) => sum + value * b[i], 0);
	return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y) || 1);
}
