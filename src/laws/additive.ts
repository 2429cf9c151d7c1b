/** The form L(N, D) = E + A / N^alpha + B / D^beta that most laws of the loss share, and what follows from it in closed form. */
import { flopsPerParameterToken, type LawCard, type LossLaw } from "./law.ts";

export interface AdditiveConstants {
	/** Nats per token that no model and no data take away. */
	readonly E: number;
	readonly A: number;
	readonly B: number;
	readonly alpha: number;
	readonly beta: number;
}

/** How the best model and data grow with compute C: N = G (C/6)^a, D = (C/6)^b / G. */
export interface Frontier {
	readonly G: number;
	readonly a: number;
	readonly b: number;
}

export interface AdditiveLaw extends LossLaw {
	readonly constants: AdditiveConstants & Readonly<Record<string, number>>;
	readonly frontier: Frontier;
}

export function frontier({ A, B, alpha, beta }: AdditiveConstants): Frontier {
	const sum = alpha + beta;
	return { G: ((alpha * A) / (beta * B)) ** (1 / sum), a: beta / sum, b: alpha / sum };
}

export function additiveLoss({ E, A, B, alpha, beta }: AdditiveConstants, parameters: number, tokens: number): number {
	return E + A / parameters ** alpha + B / tokens ** beta;
}

/** Parameters at which the loss is `within` (a share, such as 0.02) of E + B / D^beta, that of an unbounded model. */
export function smallestWithin({ E, A, B, alpha, beta }: AdditiveConstants, tokens: number, within: number): number {
	return (A / (within * (E + B / tokens ** beta))) ** (1 / alpha);
}

/** A law of this form from its constants. */
export function additiveLaw(card: Omit<LawCard, "formula" | "constants">, constants: AdditiveConstants): AdditiveLaw {
	const growth = frontier(constants);
	return {
		...card,
		formula: "L(N, D) = E + A / N^alpha + B / D^beta",
		constants: { ...constants },
		frontier: growth,
		loss: ({ parameters, tokens }) => additiveLoss(constants, parameters, tokens),
		allocate(flops) {
			const work = flops / flopsPerParameterToken;
			const parameters = growth.G * work ** growth.a;
			const tokens = work / parameters;
			return { parameters, tokens, loss: additiveLoss(constants, parameters, tokens) };
		},
		smallestModel(loss, tokens) {
			const left = loss - constants.E - constants.B / tokens ** constants.beta;
			return left > 0 ? (constants.A / left) ** (1 / constants.alpha) : null;
		},
	};
}
