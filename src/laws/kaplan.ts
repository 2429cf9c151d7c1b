/** Kaplan et al. 2020: the one-dimensional laws, each with its own fit, and the joint one, with another. They must not be mixed. */
import { type LossLaw, smallestWith } from "./law.ts";

/** FLOPs of a PF-day, the unit of compute here. */
export const petaflopDay = 8.64e19;

/** (scale / x)^exponent */
const power = (scale: number, exponent: number) => (x: number) => (scale / x) ** exponent;

/** Loss by parameters alone (data and steps without limit); N without embeddings. */
export const kaplanByParameters = power(8.8e13, 0.076);
/** Loss by tokens alone: large models, stopped early. */
export const kaplanByTokens = power(5.4e13, 0.095);
/** Loss by compute, PF-days, at a fixed batch. */
export const kaplanByCompute = power(1.6e7, 0.057);
/** Loss by the least compute, PF-days, that reaches it. */
export const kaplanByLeastCompute = power(3.1e8, 0.05);

/** Loss after S steps at a batch far under the critical one. */
export function kaplanBySteps(parameters: number, leastSteps: number): number {
	return (6.5e13 / parameters) ** 0.077 + (2.1e3 / leastSteps) ** 0.76;
}

/** Tokens of the batch beyond which more parallel work no longer pays, at this loss. */
export function criticalBatch(loss: number, scale = 2.1e8): number {
	return scale / loss ** (1 / 0.21);
}

const joint = { Nc: 6.4e13, Dc: 1.8e13, alphaN: 0.076, alphaD: 0.103 };

export const kaplan: LossLaw = {
	name: "Kaplan",
	source: "Kaplan et al. 2020, arXiv 2001.08361, joint fit; allocation by its own compute fit",
	formula: "L(N, D) = [(Nc/N)^(alphaN/alphaD) + Dc/D]^alphaD",
	constants: joint,
	domain:
		"WebText2, N without embeddings, 768 to 1.5 G parameters, 22 M to 23 G tokens. Its allocation gives models too much: the learning rate was not matched to the tokens.",
	loss: ({ parameters, tokens }) =>
		((joint.Nc / parameters) ** (joint.alphaN / joint.alphaD) + joint.Dc / tokens) ** joint.alphaD,
	allocate(flops) {
		const days = flops / petaflopDay;
		return { parameters: 1.3e9 * days ** 0.73, tokens: 2e10 * days ** 0.27, loss: kaplanByLeastCompute(days) };
	},
	smallestModel(loss, tokens) {
		return smallestWith((parameters) => kaplan.loss({ parameters, tokens }), loss);
	},
};
