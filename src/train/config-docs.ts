/** The configuration's keys as Markdown tables, for docs/configuration.md. */
import { type ConfigKey, configKeys, valueText } from "./config-keys.ts";

const titles: Readonly<Record<string, string>> = { data: "Data", model: "Model", train: "Training" };

/** One table per group of the schema, in its order. */
export function configTables(): string {
	const groups = new Map<string, string[]>();
	for (const key of configKeys().values()) {
		const title = titles[key.path[0]] ?? "Run";
		groups.set(title, [...(groups.get(title) ?? []), row(key)]);
	}
	const table = ([title, rows]: [string, string[]]) =>
		`### ${title}\n\n| key | meaning | values | default |\n| --- | --- | --- | --- |\n${rows.join("\n")}\n`;
	return [...groups].map(table).join("\n");
}

function row(key: ConfigKey): string {
	const unit = key.unit ? ` (${key.unit})` : "";
	const cells = [`\`${key.name}\``, `${key.description}${unit}`, key.expects, key.derived ?? valueText(key.fallback)];
	return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}
