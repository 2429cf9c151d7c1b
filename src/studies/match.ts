/**
 * Baselines of equal size: the width or the number of layers whose count of weights, or of training FLOPs per token, comes nearest
 * to a target. Counts are those of the model's own declaration and graph; nothing is trained.
 */
import { RivuletError } from "../base/errors.ts";
import { createModel, type ModelConfig } from "../models/index.ts";
import { parameterCount } from "../nn/parameters.ts";
import { trainingFlopsPerToken } from "../train/inspect.ts";

/** What may change: the width, in steps that the heads divide, or the number of layers. */
export type Freedom = "width" | "layers";

export interface Match {
	/** The configuration asked about, with its new width or number of layers. */
	readonly config: ModelConfig;
	readonly by: Freedom;
	/** The width or number of layers found. */
	readonly value: number;
	/** Weights, or training FLOPs per token, of `config`. */
	readonly count: number;
	readonly target: number;
	/** What is left over: (count - target) / target. Sizes are whole numbers, so it is seldom zero. */
	readonly difference: number;
}

const most = { width: 1 << 16, layers: 1024 } as const;

/** The configuration like `config` with nearest to `target` weights. @throws RivuletError match-target where that is no count */
export function matchParameters(config: ModelConfig, target: number, by: Freedom = "width"): Match {
	return nearestSize(config, target, by, (candidate) => parameterCount(createModel(candidate).parameters));
}

/**
 * The configuration like `config` with nearest to `target` FLOPs a token, forward and backward, at its own training length.
 * @param target as `rivulet inspect` gives it: `trainingFlopsPerToken` of the model to compare with
 */
export function matchFlops(config: ModelConfig, target: number, by: Freedom = "width"): Match {
	return nearestSize(config, target, by, (candidate) => trainingFlopsPerToken(candidate, candidate.length));
}

/** Counts grow with the size, so a bisection finds the two sizes around the target. */
function nearestSize(
	config: ModelConfig,
	target: number,
	by: Freedom,
	countOf: (candidate: ModelConfig) => number,
): Match {
	if (!(target > 0 && Number.isFinite(target))) {
		throw new RivuletError("match-target", `expected a positive count to match, found ${target}`, { exitStatus: 2 });
	}
	// A minGRU has no heads.
	const step = by === "width" && config.kind !== "mingru" ? config.heads : 1;
	const counts = new Map<number, number>();
	const count = (steps: number) => {
		const known = counts.get(steps) ?? countOf({ ...config, [by]: steps * step });
		counts.set(steps, known);
		return known;
	};
	const last = Math.floor(most[by] / step);
	let above = 1;
	while (count(above) < target && above < last) above = Math.min(2 * above, last);
	let below = Math.max(1, Math.floor(above / 2));
	while (above - below > 1) {
		const middle = (below + above) >> 1;
		if (count(middle) < target) below = middle;
		else above = middle;
	}
	const nearest = target - count(below) <= count(above) - target ? below : above;
	const value = nearest * step;
	return {
		config: { ...config, [by]: value },
		by,
		value,
		count: count(nearest),
		target,
		difference: (count(nearest) - target) / target,
	};
}
