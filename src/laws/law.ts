/** What a scaling law is to Rivulet: one object that says what it claims, where it was measured, and what follows from it. */

/** A model and the data it was trained on. */
export interface Situation {
	/** N */
	readonly parameters: number;
	/** D: tokens seen, repeated ones counted each time. */
	readonly tokens: number;
}

/** What every law says of itself. */
export interface LawCard {
	readonly name: string;
	/** Paper, and whether the constants are as printed. */
	readonly source: string;
	readonly formula: string;
	readonly constants: Readonly<Record<string, number>>;
	/** Where it was measured, and what it does not cover. */
	readonly domain: string;
}

/** The split of a budget that a law recommends. */
export interface Allocation extends Situation {
	/** Expected there, nats per token; null where the law gives none. */
	readonly loss: number | null;
}

/** A law of the loss, in nats per token of its own corpus and tokenizer. */
export interface LossLaw<S extends Situation = Situation> extends LawCard {
	loss(situation: S): number;
	/** Best split of a compute budget, at 6 N D FLOPs unless the law counts otherwise. */
	allocate(flops: number, rest?: Partial<S>): Allocation;
	/** Fewest parameters that reach `loss` with these tokens; null where none do. */
	smallestModel(loss: number, tokens: number, rest?: Partial<S>): number | null;
}

/** FLOPs of training, per parameter and token: 2 forward, 4 backward. */
export const flopsPerParameterToken = 6;

/** The least x in [low, high] with f(x) <= wanted, for f that falls with x; by bisection in ln x. Null where there is none. */
export function smallestWith(f: (x: number) => number, wanted: number, low = 1, high = 1e18): number | null {
	if (!(f(high) <= wanted)) return null;
	if (f(low) <= wanted) return low;
	let [below, above] = [Math.log(low), Math.log(high)];
	while (above - below > 1e-13 * above) {
		const middle = (below + above) / 2;
		if (middle === below || middle === above) break;
		if (f(Math.exp(middle)) <= wanted) above = middle;
		else below = middle;
	}
	return Math.exp(above);
}

/** The x in [low, high] where f, which falls and then rises, is least; by golden sections of ln x. */
export function lowest(f: (x: number) => number, low: number, high: number): number {
	const golden = (Math.sqrt(5) - 1) / 2;
	let [from, to] = [Math.log(low), Math.log(high)];
	let [left, right] = [to - golden * (to - from), from + golden * (to - from)];
	let [atLeft, atRight] = [f(Math.exp(left)), f(Math.exp(right))];
	while (to - from > 1e-9) {
		if (atLeft <= atRight) {
			[to, right, atRight] = [right, left, atLeft];
			left = to - golden * (to - from);
			atLeft = f(Math.exp(left));
		} else {
			[from, left, atLeft] = [left, right, atRight];
			right = from + golden * (to - from);
			atRight = f(Math.exp(right));
		}
	}
	return Math.exp((from + to) / 2);
}
