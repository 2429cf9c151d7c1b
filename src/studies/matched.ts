/** Values of a run that follow from another run of the study: the width for equal parameters, the budget for equal FLOPs. */
import { RivuletError } from "../base/errors.ts";
import { createModel } from "../models/index.ts";
import { parameterCount } from "../nn/parameters.ts";
import type { Config, ConfigInput } from "../train/config.ts";
import { modelConfig, openSubject } from "../train/prepare.ts";
import { matchParameters } from "./match.ts";
import { configOf, type PlannedRun, plannedRun } from "./plan.ts";
import { finishedSummary } from "./results.ts";
import type { StudyBudget } from "./study.ts";

/** @throws RivuletError study-reference where the run to be equal to has not been finished */
export async function matchedValues(
	planned: PlannedRun,
	budget: StudyBudget,
	overrides: ConfigInput,
	out: string,
): Promise<ConfigInput> {
	const { parameters, flops } = planned.run.match ?? {};
	if (parameters === undefined && flops === undefined) return {};
	/** The other run with the same seed, and its configuration. */
	const reference = async (label: string) => {
		const run = budget.runs.find((candidate) => candidate.label === label);
		if (!run) throw new Error(`[study] ${planned.run.label} is matched to ${label}, which is no run`);
		const other = plannedRun(run, Math.min(planned.seed, run.seeds ?? planned.seed), out);
		return { other, config: configOf(other, budget, overrides, await matchedValues(other, budget, overrides, out)) };
	};
	const model: ConfigInput["model"] = {};
	const train: ConfigInput["train"] = {};
	if (parameters !== undefined) {
		const { config } = await reference(parameters);
		model.width = await equalWidth(configOf(planned, budget, overrides), config);
	}
	if (flops !== undefined) {
		const { other, config } = await reference(flops);
		const summary = finishedSummary(other.path, config);
		if (!summary) {
			throw new RivuletError(
				"study-reference",
				`${planned.name} is to spend the FLOPs of ${other.name}, which has no end yet`,
				{
					hint: "run that one first, or leave --only out",
				},
			);
		}
		Object.assign(train, { flops: summary.flops, steps: null, tokens: null, seconds: null });
	}
	return { model, train };
}

/** The width at which a model has nearest to as many parameters as another. */
async function equalWidth(config: Config, reference: Config): Promise<number> {
	const subject = await openSubject(reference);
	const target = parameterCount(createModel(modelConfig(reference, subject)).parameters);
	return matchParameters(modelConfig(config, subject), target).value;
}
