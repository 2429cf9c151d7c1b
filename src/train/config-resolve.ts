/**
 * From layers of values to one complete, checked Config. Order of precedence: defaults < preset < file < flags.
 * Every complaint names the key, what it expects, what it found and the layer ("--train.batch", "run.yaml") it stood in.
 */
import { readFile } from "node:fs/promises";
import { RivuletError } from "../base/errors.ts";
import { alphaSetting, type Config, type ConfigInput, configSchema, isCopyTask, windowRange } from "./config.ts";
import { type ConfigKey, configKeys, nearestKey, toKebab, valueText } from "./config-keys.ts";
import { findPreset } from "./presets.ts";

/** Values from one place. `flags` values are text and read as the key's type asks. */
export interface Layer {
	/** Where the values stand, for messages: a file's name, "flags", "preset quick". */
	readonly from: string;
	readonly values: unknown;
	readonly text?: boolean;
}

const usage = (code: string, message: string, hint?: string) =>
	new RivuletError(code, message, { hint, exitStatus: 2 });

/** One complete configuration out of layers, later ones winning; the preset that any of them names goes first. */
export function resolveConfig(layers: readonly Layer[]): Config {
	const read = layers.map(readLayer);
	const named = read.map((values) => values.get("preset")).filter((name) => name !== undefined);
	const preset = named[named.length - 1];
	if (typeof preset === "string") {
		read.unshift(readLayer({ from: `preset ${preset}`, values: findPreset(preset) }));
	}
	const values = new Map<string, unknown>();
	for (const layer of read) {
		for (const [name, value] of layer) values.set(name, value);
		// Naming a text asks for text, whatever a preset below says; images are named the same way.
		if (hasPath(layer) && !layer.has("data.task") && values.get("data.task") !== "image")
			values.set("data.task", "text");
	}
	deriveDefaults(values);
	const parsed = configSchema.safeParse(nest(values));
	if (!parsed.success) throw new Error(`[config] ${parsed.error.message}`);
	check(parsed.data);
	return parsed.data;
}

/** What the layers say of one key, undefined where none does; to look ahead before the whole is resolved. */
export function peek(layers: readonly Layer[], name: string): unknown {
	return layers.reduce<unknown>((found, layer) => readLayer(layer).get(name) ?? found, undefined);
}

/** A complete configuration from part of one; for code and tests. */
export function defineConfig(values: ConfigInput): Config {
	return resolveConfig([{ from: "the configuration", values }]);
}

/** A YAML or JSON file as a layer. */
export async function readConfigFile(path: string): Promise<Layer> {
	let text: string;
	try {
		text = await readFile(path, "utf8");
	} catch (cause) {
		throw new RivuletError("config-unreadable", `cannot read the configuration file ${path}`, {
			hint: "name a YAML or JSON file: --config FILE",
			exitStatus: 2,
			cause,
		});
	}
	try {
		// JSON is YAML too, but JSON.parse gives the better message and keeps __proto__ an ordinary key.
		const values = path.endsWith(".json")
			? JSON.parse(text)
			: (await import("yaml")).parse(text, { maxAliasCount: 100 });
		// A run's saved config.json also says the version of its folder.
		if (typeof values?.version === "number") delete values.version;
		return { from: path, values: values ?? {} };
	} catch (cause) {
		const reason = (cause as Error).message.split("\n")[0];
		throw new RivuletError(
			"config-syntax",
			`${path} is not valid ${path.endsWith(".json") ? "JSON" : "YAML"}: ${reason}`,
			{
				exitStatus: 2,
				cause,
			},
		);
	}
}

function hasPath(layer: ReadonlyMap<string, unknown>): boolean {
	const path = layer.get("data.path");
	return Array.isArray(path) ? path.length > 0 : path !== undefined;
}

/** Flatten nested values to dotted names, refusing unknown keys and values of the wrong type. */
function readLayer(layer: Layer): Map<string, unknown> {
	const into = new Map<string, unknown>();
	const keys = configKeys();
	const visit = (value: unknown, prefix: string) => {
		const key = keys.get(prefix);
		if (key) {
			into.set(key.name, readValue(key, value, layer));
			return;
		}
		const isGroup = prefix === "" || [...keys.keys()].some((name) => name.startsWith(`${prefix}.`));
		if (!isGroup) throw unknownKey(prefix, layer);
		if (typeof value !== "object" || value === null || Array.isArray(value)) {
			const what = prefix === "" ? "keys and values" : `${prefix} to be a group of keys`;
			throw usage("config-value", `${layer.from}: expected ${what}, found ${valueText(value)}`);
		}
		for (const [name, child] of Object.entries(value)) {
			if (child === undefined) continue;
			visit(child, (prefix === "" ? "" : `${prefix}.`) + toKebab(name));
		}
	};
	visit(layer.values, "");
	return into;
}

function unknownKey(name: string, layer: Layer): RivuletError {
	const suggestion = nearestKey(name);
	const hint = suggestion ? `did you mean ${suggestion}?` : "rivulet train --help-all lists every key";
	return usage("unknown-key", `${layer.from}: unknown key ${name}`, hint);
}

/** One value checked against its key's type, and read from text where it came as a flag. */
function readValue(key: ConfigKey, value: unknown, layer: Layer): unknown {
	const candidates = layer.text ? readings(value) : [value];
	for (const candidate of candidates) {
		// The value as it was written is kept: the whole schema parses (and transforms) it again at the end.
		if (key.schema.safeParse(candidate).success) return candidate;
	}
	const place = layer.text ? `--${key.name}` : `${layer.from}: ${key.name}`;
	const found = typeof value === "string" ? `"${value}"` : valueText(value);
	throw usage("config-value", `${place}: expected ${key.expects}, found ${found}`);
}

/** What a flag's text may mean, likeliest first: itself, a number, a switch, none, a list. */
function readings(value: unknown): unknown[] {
	if (typeof value !== "string") return [value];
	const found: unknown[] = [value];
	if (/^[-+]?(\d[\d_]*\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(value)) found.push(Number(value.replaceAll("_", "")));
	if (value === "true" || value === "false") found.push(value === "true");
	if (value === "none") found.push(null, []);
	if (value.includes(",")) found.push(value.split(",").map((part) => Number(part)));
	return found;
}

/** Fill in the defaults that depend on other keys (those with `derived` in the schema). */
function deriveDefaults(values: Map<string, unknown>): void {
	const get = (name: string) => values.get(name) ?? configKeys().get(name)?.fallback;
	const fill = (name: string, value: unknown) => {
		if (values.get(name) === undefined) values.set(name, value);
	};
	const task = get("data.task") as Config["data"]["task"];
	const copy = isCopyTask(task);
	fill("data.length", copy ? (get("data.noise") as number) + 32 : task === "image" ? 1024 : 256);
	fill("model.alpha", get("model.variant") === "accumulate" ? "learned:0.5" : 0);
	const otherBudget = ["tokens", "flops", "seconds"].some((name) => typeof get(`train.${name}`) === "number");
	fill("train.steps", otherBudget ? null : 1000);
	fill("train.weight-decay", get("train.optimizer") === "adamw" ? 0.1 : 0);
	fill("train.min-learning-rate", get("train.schedule") === "recall" ? 0 : (get("train.learning-rate") as number) / 10);
	fill("train.evaluate-batches", copy ? 4 : null);
	fill("train.save-every", get("train.evaluate-every"));
}

function largestDivisor(n: number, limit: number): number {
	let divisor = limit;
	while (n % divisor !== 0) divisor--;
	return divisor;
}

/** Nested camelCase data from dotted names; the table's own paths are used, so no name from outside becomes a property. */
function nest(values: ReadonlyMap<string, unknown>): Record<string, unknown> {
	const nested: Record<string, unknown> = {};
	for (const [name, value] of values) {
		const path = (configKeys().get(name) as ConfigKey).path;
		let group = nested;
		for (const part of path.slice(0, -1)) {
			group[part] ??= {};
			group = group[part] as Record<string, unknown>;
		}
		group[path[path.length - 1]] = value;
	}
	return nested;
}

/** What no single key can say: that they fit one another. */
function check({ data, model, train }: Config): void {
	const refuse = (message: string, hint: string) => {
		throw usage("config-conflict", message, hint);
	};
	if (model.kind !== "mingru" && model.width % model.heads !== 0) {
		const near = largestDivisor(model.width, model.heads);
		refuse(`model.heads ${model.heads} does not divide model.width ${model.width}`, `take --model.heads ${near}`);
	}
	const window = windowRange(model.window);
	if (window.from > window.to) refuse(`model.window ${model.window} is empty`, "write the smaller number first");
	if (model.kind !== "recurrent") {
		if (model.variant !== "forget")
			refuse("model.variant accumulate is for model.kind recurrent", "leave one of them out");
		if (model.positions === "window")
			refuse("model.positions window is for model.kind recurrent", "take absolute or none");
		if (model.form === "naive") refuse("model.form naive is for model.kind recurrent", "leave it out");
	}
	if (model.variant === "forget" && (alphaSetting(model.alpha).learned || model.alpha !== 0)) {
		refuse(
			`model.alpha ${model.alpha} needs model.variant accumulate; forget has alpha 0`,
			"add --model.variant accumulate",
		);
	}
	checkData(data, refuse);
	checkTrain(data, train, refuse);
}

type Refuse = (message: string, hint: string) => void;

function checkData(data: Config["data"], refuse: Refuse): void {
	if (data.task === "text" && data.path.length === 0) {
		refuse(
			"data.path is missing: no text to learn from",
			"add --data.path FILE, or take --preset quick for the built-in tales",
		);
	}
	if (data.task === "image" && (data.path.length !== 1 || data.validation.length > 0)) {
		refuse(
			"data.task image takes one data.path, the data set's folder or archive, and its official test split",
			"rivulet data fetch cifar10 brings one; then --data.path FOLDER",
		);
	}
	if (!["text", "image"].includes(data.task) && data.path.length + data.validation.length > 0) {
		refuse(
			`data.task ${data.task} generates its data and reads no data.path or data.validation`,
			"leave one of them out",
		);
	}
	if (data.limit !== null && !["text", "tales"].includes(data.task)) {
		refuse(`data.limit is for texts, and data.task is ${data.task}`, "leave it out");
	}
	if (isCopyTask(data.task) && data.length !== data.noise + 32) {
		refuse(
			`data.length ${data.length} does not fit data.task ${data.task}: 16 symbols, data.noise ${data.noise}, 16 markers`,
			`leave data.length out (it is ${data.noise + 32}), or set data.noise`,
		);
	}
}

function checkTrain(data: Config["data"], train: Config["train"], refuse: Refuse): void {
	if ([train.steps, train.tokens, train.flops, train.seconds].every((budget) => budget === null)) {
		refuse(
			"the run has no end: train.steps, tokens, flops and seconds are all none",
			"set one of them, as --train.steps 1000",
		);
	}
	if (train.minLearningRate > train.learningRate) {
		refuse(
			`train.min-learning-rate ${train.minLearningRate} is above train.learning-rate ${train.learningRate}`,
			"lower it, or leave it out",
		);
	}
	if (train.optimizer === "adam" && train.weightDecay > 0) {
		refuse(`train.weight-decay ${train.weightDecay} needs train.optimizer adamw`, "leave one of them out");
	}
	if (train.schedule === "loss" && train.scheduleTarget === null) {
		refuse("train.schedule loss needs train.schedule-target", "add --train.schedule-target LOSS, the loss to aim for");
	}
	if (train.curriculum.start !== null && !isCopyTask(data.task)) {
		refuse(`train.curriculum.start is for the copy tasks, and data.task is ${data.task}`, "leave it out");
	}
}
