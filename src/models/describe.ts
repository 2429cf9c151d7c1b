/** A model in words, for people. */
import { type ModelConfig, stateWidth } from "./model.ts";

/** "recurrent transformer, forget, window 16, width 384, 6 heads, 1 layer". */
export function describeModel(config: ModelConfig): string {
	const { kind, variant, window, width, heads, layers } = config;
	const range = window.from === window.to ? `${window.from}` : `${window.from}..${window.to}`;
	const mixer = {
		recurrent: ["recurrent transformer", variant, `window ${range}`, `width ${width}`, `${heads} heads`],
		transformer: ["transformer", `width ${width}`, `${heads} heads`],
		mingru: ["minGRU", `width ${width}`, `state of ${stateWidth(config)}`],
	}[kind];
	return [...mixer, `${layers} ${layers === 1 ? "layer" : "layers"}`].join(", ");
}
