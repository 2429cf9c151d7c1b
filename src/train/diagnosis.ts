/** A loss that is no number or has exploded, explained: where it shows first, and what usually causes it. */
import { RivuletError } from "../base/errors.ts";
import type { Learner } from "./learner.ts";

/**
 * Is this the loss of a run that has left its senses? Twice the loss of guessing, and some, is far beyond any noise.
 * @param outcomes number of classes that are told apart
 */
export function hasDiverged(loss: number, gradientNorm: number, outcomes: number): boolean {
	return !Number.isFinite(loss) || !Number.isFinite(gradientNorm) || loss > 2 * Math.log(outcomes) + 10;
}

export interface FailedStep {
	readonly loss: number;
	readonly gradientNorm: number;
	readonly learningRate: number;
	/** Of its batch. */
	readonly sequences: number;
}

/** The error to stop with. A step whose gradient is no number changes no weight, so the weights tell what went before. */
export function diagnose(
	learner: Learner,
	step: number,
	{ loss, gradientNorm, learningRate, sequences }: FailedStep,
): RivuletError {
	const unsound: string[] = [];
	let largest = { name: "", value: 0 };
	for (const { name } of learner.model.parameters) {
		const gradient = learner.gradient(name, sequences);
		if (!allFinite(gradient)) unsound.push(name);
		for (const value of learner.session.readParameter(name)) {
			if (Math.abs(value) > Math.abs(largest.value)) largest = { name, value };
		}
	}
	const where =
		unsound.length > 0
			? `; the gradient of ${unsound[0]} is not finite (${unsound.length} of ${learner.model.parameters.length} tensors)`
			: "";
	const weights = `; the largest weight is ${largest.value.toPrecision(3)} in ${largest.name}`;
	return new RivuletError(
		"training-diverged",
		`training diverged at step ${step}: loss ${loss}, gradient norm ${gradientNorm}${where}${weights}`,
		{ hint: `${cause(learner, learningRate)}; the checkpoints before it are kept` },
	);
}

/** For weights that must not be saved beside good ones. */
export function unsoundWeight(name: string, step: number, learningRate: number): RivuletError {
	return new RivuletError(
		"training-diverged",
		`training diverged at step ${step}: ${name} has values that are not finite`,
		{ hint: `${tooHigh(learningRate)}; the checkpoints before it are kept` },
	);
}

export function allFinite(values: Float32Array): boolean {
	return values.every((value) => Number.isFinite(value));
}

function cause(learner: Learner, learningRate: number): string {
	if (learningRate > 3e-3) return tooHigh(learningRate);
	if (learner.options.optimizer.clip === 0) return "gradients are not clipped: try --train.clip 1";
	return "try a lower --train.learning-rate or a longer --train.warmup";
}

function tooHigh(learningRate: number): string {
	const lower = Number(Math.min(learningRate / 10, 1e-3).toPrecision(2));
	return `the learning rate ${learningRate} is likely too high: try --train.learning-rate ${lower}`;
}
