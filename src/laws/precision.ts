/** Kumar et al. 2025, "Scaling Laws for Precision": bits as a third dimension beside parameters and tokens. */
import { type LossLaw, lowest, type Situation, smallestWith } from "./law.ts";

export interface PrecisionSituation extends Situation {
	/** Bits in training; default 16. */
	readonly weightBits?: number;
	readonly activationBits?: number;
	readonly cacheBits?: number;
	/** Bits of the weights after training where fewer; default: not quantised. */
	readonly quantizedBits?: number;
}

const constants = { A: 4299, B: 18060, E: 2.7648, alpha: 0.4965 };
/** Part of the network to (gamma, offset) of 1 - exp(-bits / gamma + offset). */
const parts = {
	weightBits: [2.6745, 0.3037],
	activationBits: [2.2102, 1.4072],
	cacheBits: [0.9578, 2.4185],
} as const;
const after = { CT: 0.0598, gammaD: 0.5068, gammaN: 0.3439, gamma: 0.5907 };

/** Share of the parameters that still counts: the product over weights, activations and cache. At least 0. */
export function effectiveShare(situation: Omit<PrecisionSituation, keyof Situation>): number {
	let share = 1;
	for (const [part, [gamma, offset]] of Object.entries(parts)) {
		const bits = situation[part as keyof typeof parts] ?? 16;
		share *= Math.max(0, 1 - Math.exp(-bits / gamma + offset));
	}
	return share;
}

/**
 * Loss added by rounding the weights after training, nats.
 * @param offset the paper prints 1.1277 without saying where it belongs; presumably exp(-P/gamma + offset)
 */
export function quantizationLoss(parameters: number, tokens: number, bits: number, offset = 0): number {
	return after.CT * (tokens ** after.gammaD / parameters ** after.gammaN) * Math.exp(-bits / after.gamma + offset);
}

/** Bits for all three at which a bit stored is worth most. */
export function bestBits(): number {
	const worth = (bits: number) => -effectiveShare({ weightBits: bits, activationBits: bits, cacheBits: bits }) / bits;
	return lowest(worth, 4, 32);
}

/** FLOPs count in proportion to the bits of the weights: 6/16 N D P. */
const flopsPer = (bits: number) => (6 / 16) * bits;

export const precision: LossLaw<PrecisionSituation> = {
	name: "Precision",
	source: "Kumar et al. 2025, arXiv 2411.04330, Table 2",
	formula: "L = A / Neff^alpha + B / D^alpha + E + dPTQ; Neff = N prod (1 - exp(-P/gamma + n))",
	constants: { ...constants, ...after },
	domain:
		"Dolma, 30 to 220 M parameters (checked at 1.7 G), 1.5 to 26 G tokens, 3 to 12 bits. The authors: trends carry over, constants do not.",
	loss(situation) {
		const { parameters, tokens, quantizedBits } = situation;
		const effective = parameters * effectiveShare(situation);
		const rounding = quantizedBits === undefined ? 0 : quantizationLoss(parameters, tokens, quantizedBits);
		return (
			constants.E + constants.A / effective ** constants.alpha + constants.B / tokens ** constants.alpha + rounding
		);
	},
	allocate(flops, rest = {}) {
		const work = flops / flopsPer(rest.weightBits ?? 16);
		const at = (parameters: number) => precision.loss({ ...rest, parameters, tokens: work / parameters });
		const parameters = lowest(at, 1, work);
		return { parameters, tokens: work / parameters, loss: at(parameters) };
	},
	/** Where the weights are quantised after training the loss need not fall with size; the search assumes it does. */
	smallestModel(loss, tokens, rest = {}) {
		return smallestWith((parameters) => precision.loss({ ...rest, parameters, tokens }), loss);
	},
};
