/** Questions that every study can ask beside its own: window, alpha, positions, random windows, curriculum. One seed unless said. */
import type { ConfigInput } from "../../train/config.ts";
import type { StudyRun } from "../study.ts";

interface Aside {
	/** Steps, batch and the like: an ablation may take less than the main runs. */
	readonly config?: ConfigInput;
	readonly seeds?: number;
}

function aside(label: string, title: string, model: ConfigInput["model"], { config = {}, seeds = 1 }: Aside): StudyRun {
	return { label, title, group: "ablations", seeds, config: { ...config, model: { ...config.model, ...model } } };
}

/** Fixed windows, in tokens. */
export function windows(widths: readonly number[], options: Aside = {}): StudyRun[] {
	return widths.map((width) => aside(`window-${width}`, `window ${width}`, { window: width }, options));
}

/** A window drawn anew at each step from a range. */
export function randomWindows(range: string, options: Aside = {}): StudyRun {
	return aside(`window-${range.replace("..", "-to-")}`, `random window ${range}`, { window: range }, options);
}

/** The share of the past that accumulate carries along: none, learned, half. */
export function alphas(options: Aside = {}): StudyRun[] {
	const variant = "accumulate";
	return [
		aside("alpha-0", "accumulate, alpha fixed 0 (forget)", { variant, alpha: 0 }, options),
		aside("alpha-learned", "accumulate, alpha learned from 0.5", { variant, alpha: "learned:0.5" }, options),
		aside("alpha-half", "accumulate, alpha fixed 0.5", { variant, alpha: 0.5 }, options),
	];
}

/** Where a token learns its place: its number in the sequence, its number in the window, nowhere. */
export function positions(options: Aside = {}): StudyRun[] {
	return [
		aside("positions-absolute", "positions learned, absolute", { positions: "absolute" }, options),
		aside("positions-window", "positions learned, within the window", { positions: "window" }, options),
		aside("positions-none", "no positions", { positions: "none" }, options),
	];
}
