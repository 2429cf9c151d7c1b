/** Hoffmann et al. 2022 ("Chinchilla"), as printed and as its source has it, and the refit of Besiroglu et al. 2024. */
import { additiveLaw } from "./additive.ts";

const domain =
	"MassiveText, 32,000-token vocabulary, one pass; 57 M to 16 G parameters, 1e18 to 1e22 FLOPs. Losses are of that corpus; exponents carry over better.";

export const hoffmannRounded = additiveLaw(
	{ name: "Hoffmann (as printed)", source: "Hoffmann et al. 2022, arXiv 2203.15556, constants as printed", domain },
	{ E: 1.69, A: 406.4, B: 410.7, alpha: 0.34, beta: 0.28 },
);

/** Rounding beta alone moves the best model at 1e23 FLOPs by a quarter; the TeX source has the digits. */
export const hoffmann = additiveLaw(
	{ name: "Hoffmann", source: "Hoffmann et al. 2022, arXiv 2203.15556, unrounded constants of its TeX source", domain },
	{
		E: Math.exp(0.5267228),
		A: Math.exp(6.0073404),
		B: Math.exp(6.0179186),
		alpha: 0.33917084,
		beta: 0.2849083,
	},
);

export const besiroglu = additiveLaw(
	{
		name: "Besiroglu",
		source: "Besiroglu et al. 2024, arXiv 2404.10102: 240 of Hoffmann's runs, read off a figure and fitted again",
		domain,
	},
	{ E: 1.8169, A: 482.01, B: 2085.43, alpha: 0.34781, beta: 0.36585 },
);
