/** Where an axis has its ticks and what they say: few, round, and short on linear and logarithmic axes alike. */

export type ScaleKind = "linear" | "log";

export interface Tick {
	readonly value: number;
	readonly label: string;
}

/** Lowest and highest of what can be drawn (finite; positive on a log axis), with a margin; a default where nothing can. */
export function domainOf(values: Iterable<number>, scale: ScaleKind, margin = 0.04): [number, number] {
	let low = Number.POSITIVE_INFINITY;
	let high = Number.NEGATIVE_INFINITY;
	for (const value of values) {
		if (!drawable(value, scale)) continue;
		low = Math.min(low, value);
		high = Math.max(high, value);
	}
	if (low > high) return scale === "log" ? [1, 10] : [0, 1];
	if (scale === "log") {
		const space = low === high ? Math.log(2) : margin * Math.log(high / low);
		return [Math.max(low * Math.exp(-space), Number.MIN_VALUE), Math.min(high * Math.exp(space), Number.MAX_VALUE)];
	}
	const space = low === high ? Math.abs(low) * 0.1 || 1 : margin * (high - low);
	// Nothing that is never negative gets a negative axis.
	return [low >= 0 ? Math.max(0, low - space) : low - space, high + space];
}

/** Can an axis show this value? */
export function drawable(value: number, scale: ScaleKind): boolean {
	return Number.isFinite(value) && (scale === "linear" || value > 0);
}

/** About `count` ticks within the domain. */
export function ticksOf([low, high]: readonly [number, number], scale: ScaleKind, count: number): Tick[] {
	if (scale === "linear") return linearTicks(low, high, count);
	const mantissas = Math.log10(high / low) > 3 ? [[1]] : fineMantissas;
	const sets = mantissas.map((set) => decadeTicks(low, high, set));
	const values = sets.find((set) => set.length <= count) ?? sets[sets.length - 1];
	// Within a part of a decade, steps look even enough.
	if (values.length < 3) return linearTicks(low, high, count);
	const stride = Math.ceil(values.length / (count + 1));
	return values.filter((_, i) => i % stride === 0).map((value) => ({ value, label: shortNumber(value, 1e4) }));
}

/** From the finest to the coarsest: what ticks of a log axis begin with. */
const fineMantissas = [[1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]];

function decadeTicks(low: number, high: number, mantissas: readonly number[]): number[] {
	const values: number[] = [];
	for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
		for (const mantissa of mantissas) values.push(Number(`${mantissa}e${power}`));
	}
	return values.filter((value) => value >= low && value <= high);
}

function linearTicks(low: number, high: number, count: number): Tick[] {
	const rough = (high - low) / count;
	const power = 10 ** Math.floor(Math.log10(rough));
	const step = power * ([1, 2, 5].find((mantissa) => mantissa * power >= rough * 0.999) ?? 10);
	const first = Math.ceil(low / step - 1e-9);
	const last = Math.floor(high / step + 1e-9);
	const values = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
	return values.map((value) => ({ value, label: stepLabel(value, step, Math.max(Math.abs(low), Math.abs(high))) }));
}

const prefixes = ["", "k", "M", "G", "T"];

/** A value on an axis whose ticks are `step` apart and whose largest is `largest`: one number of digits and one prefix for all. */
function stepLabel(value: number, step: number, largest: number): string {
	if (value === 0) return "0";
	if (largest >= 1e15 || largest < 1e-3) return shortNumber(Number(value.toPrecision(6)));
	const prefix = largest >= 1e5 ? Math.floor(Math.log10(largest) / 3) : 0;
	const scale = 1000 ** prefix;
	const digits = Math.max(0, -Math.floor(Math.log10(step / scale) + 1e-9));
	return `${minus((value / scale).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }))}${prefix > 0 ? ` ${prefixes[prefix]}` : ""}`;
}

const superscripts = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** 0.01, 300, 20,000 as they are; from `large` on and below 10⁻³ by powers of ten. */
export function shortNumber(value: number, large = 1e5): string {
	const size = Math.abs(value);
	if (size === 0 || (size < large && size >= 1e-3)) {
		return minus(value.toLocaleString("en-US", { maximumSignificantDigits: 4 }));
	}
	if (!Number.isFinite(value)) return "–";
	const [mantissa, exponent] = value.toExponential(2).split("e");
	const power = [...String(Math.abs(Number(exponent)))].map((digit) => superscripts[Number(digit)]).join("");
	const ten = `10${Number(exponent) < 0 ? "⁻" : ""}${power}`;
	const factor = Number(mantissa);
	return factor === 1 ? ten : `${minus(String(factor))}×${ten}`;
}

/** With the typographic minus sign. */
function minus(text: string): string {
	return text.replace("-", "−");
}
