/** The published laws side by side at one budget: what each would train, and what the natural law says of more text. */
import { besiroglu, hoffmann } from "./hoffmann.ts";
import { kaplan } from "./kaplan.ts";
import { muennighoff } from "./muennighoff.ts";
import { natural } from "./natural.ts";

const short = (value: number | null) => (value === null ? "-" : value.toExponential(2));

/** Rows of cells: law, parameters, tokens, loss of its own corpus. */
export function comparison(flops: number, uniqueTokens: number): string[][] {
	const rows = [hoffmann, besiroglu, kaplan].map((law) => ({ name: law.name, ...law.allocate(flops) }));
	const repeated = muennighoff.allocate(flops, { uniqueTokens });
	const { low, high } = natural.exponents();
	const measured = natural.exponents(besiroglu.constants.beta);
	const range = (from: number, to: number) => `x${(2 ** from).toFixed(2)} to x${(2 ** to).toFixed(2)}`;
	return [
		["law", "parameters", "tokens", "loss"],
		...[...rows, { name: `Muennighoff, ${(repeated.tokens / uniqueTokens).toFixed(1)} passes`, ...repeated }].map(
			({ name, parameters, tokens, loss }) => [
				name,
				short(parameters),
				short(tokens),
				loss === null ? "-" : loss.toFixed(2),
			],
		),
		["natural law, twice the text", range(low, high), "x2", "-"],
		["  with Besiroglu's beta", range(measured.low, measured.high), "x2", "-"],
	];
}
