/** Flags: those of a run, generated from the configuration's schema, and the few that other commands share. */
import { type Command, CommanderError, Option } from "commander";
import { RivuletError } from "../base/errors.ts";
import { precisions } from "../train/config.ts";
import { type ConfigKey, configKeys, valueText } from "../train/config-keys.ts";
import { type Layer, readConfigFile } from "../train/config-resolve.ts";

const groups: Readonly<Record<string, string>> = {
	data: "Data:",
	model: "Model:",
	train: "Training:",
};

/** Add every key of the configuration as a flag, `--config`, and `--help-all`; `--help` shows the common ones. */
export function addConfigOptions(command: Command): void {
	command.addOption(new Option("--config <file>", "YAML or JSON file with any of these keys").helpGroup("Run:"));
	for (const key of configKeys().values()) command.addOption(optionOf(key));
	command.addOption(new Option("--help-all", "show every option").helpGroup("Run:"));
	command.on("option:help-all", () => {
		for (const option of command.options) option.hidden = false;
		command.outputHelp();
		throw new CommanderError(0, "commander.helpDisplayed", "");
	});
}

function optionOf(key: ConfigKey): Option {
	const several = key.name === "data.path" || key.name === "data.validation" ? "..." : "";
	const value = key.boolean ? "[true|false]" : `<${placeholder(key)}${several}>`;
	const option = new Option(`--${key.name} ${value}`, helpOf(key));
	return option.hideHelp(!key.common).helpGroup(groups[key.path[0]] ?? "Run:");
}

function placeholder(key: ConfigKey): string {
	if (/^an? (integer|number)/.test(key.expects)) return "n";
	return key.expects.includes(" | ") ? "name" : "value";
}

function helpOf(key: ConfigKey): string {
	const choices = key.expects.includes(" | ") && !key.boolean ? `: ${key.expects}` : "";
	const fallback = key.derived ?? valueText(key.fallback);
	return `${key.description}${choices} (default ${fallback})`;
}

/** What the user set, lowest layer first: the file of `--config`, then flags. */
export async function readLayers(command: Command): Promise<Layer[]> {
	const values = new Map<string, unknown>();
	for (const key of configKeys().values()) {
		const attribute = new Option(`--${key.name}`).attributeName();
		if (command.getOptionValueSource(attribute) === "cli") values.set(key.name, command.getOptionValue(attribute));
	}
	const layers: Layer[] = [{ from: "flags", values: Object.fromEntries(values), text: true }];
	const file = command.getOptionValue("config");
	if (typeof file === "string") layers.unshift(await readConfigFile(file));
	return layers;
}

/** The flag of commands that train many runs. */
export function precisionOption(): Option {
	return new Option("--precision <name>", "of a GPU's matrix products (default auto)").choices(precisions);
}

/** Flags of the commands that read a run. */
export interface RunFlags {
	/** Default: the best one, or the newest where none was evaluated. */
	readonly checkpoint?: "best" | "last" | number;
	readonly threads?: number;
	readonly backend: "auto" | "cuda" | "native" | "wasm" | "reference";
	readonly json: boolean;
}

export function addRunOptions(command: Command): Command {
	return command
		.option("--checkpoint <which>", "best (the default), last, or the number of a step", readCheckpoint)
		.option("--threads <n>", "worker threads (default 1 to generate, all cores to evaluate)", integer("--threads", 1))
		.addOption(
			new Option("--backend <name>", "engine backend")
				.choices(["auto", "cuda", "native", "wasm", "reference"])
				.default("auto"),
		)
		.option("--json", "end with one line of JSON", false)
		.option("--debug", "show stack traces of errors");
}

function readCheckpoint(text: string): "best" | "last" | number {
	return text === "best" || text === "last"
		? text
		: integer("--checkpoint", 0, "best, last, or the number of a step")(text);
}

/** A reader of whole numbers from `minimum`. */
export function integer(
	flag: string,
	minimum: number,
	expected = `an integer >= ${minimum}`,
): (text: string) => number {
	return (text) => {
		const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
		if (!(value >= minimum)) throw badValue(flag, expected, text);
		return value;
	};
}

/** A reader of numbers that `valid` accepts. */
export function decimal(flag: string, expected: string, valid: (value: number) => boolean): (text: string) => number {
	return (text) => {
		const value = text.trim() === "" ? Number.NaN : Number(text);
		if (!Number.isFinite(value) || !valid(value)) throw badValue(flag, expected, text);
		return value;
	};
}

function badValue(flag: string, expected: string, found: string): RivuletError {
	return new RivuletError("option-value", `${flag}: expected ${expected}, found "${found}"`, { exitStatus: 2 });
}
