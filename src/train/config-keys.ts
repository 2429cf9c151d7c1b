/**
 * The configuration's keys as a flat table: name, type, default and help of each, read off the schema.
 * One spelling: dotted kebab-case ("train.learning-rate") in flags, files, messages and the saved config.json. TypeScript
 * code has the same names in camelCase (config.train.learningRate), and files may use that spelling too.
 */
import { z } from "zod";
import { nearest } from "../base/nearest.ts";
import { type Config, configSchema, type KeyMeta } from "./config.ts";

export interface ConfigKey extends KeyMeta {
	/** Dotted kebab-case: "train.learning-rate". */
	readonly name: string;
	/** Where the value stands in a Config: ["train", "learningRate"]. */
	readonly path: readonly string[];
	readonly schema: z.ZodType;
	/** The accepted values in words: "integer >= 1", "gelu | relu". */
	readonly expects: string;
	/** Undefined where it is derived from other keys. */
	readonly fallback: unknown;
	/** A switch: the flag alone means true. */
	readonly boolean: boolean;
}

export const toKebab = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** JSON Schema of one value, as zod derives it; only the parts that are put into words here. */
interface ValueSchema {
	type?: string | string[];
	enum?: unknown[];
	minimum?: number;
	maximum?: number;
	exclusiveMinimum?: number;
	exclusiveMaximum?: number;
	anyOf?: ValueSchema[];
}

/** The type in words; zod's own bound of 2^53 - 1 on integers goes without saying. */
function inWords(schema: ValueSchema): string {
	if (schema.anyOf) {
		return schema.anyOf.map((part) => (part.type === "null" ? "none" : inWords(part))).join(", or ");
	}
	if (Array.isArray(schema.type)) return inWords({ anyOf: schema.type.map((type) => ({ ...schema, type })) });
	if (schema.enum) return schema.enum.join(" | ");
	if (schema.type === "boolean") return "true | false";
	if (schema.type !== "number" && schema.type !== "integer") return "text";
	const bounds: string[] = [];
	if (schema.minimum !== undefined && schema.minimum > -Number.MAX_SAFE_INTEGER) bounds.push(`>= ${schema.minimum}`);
	if (schema.exclusiveMinimum !== undefined) bounds.push(`> ${schema.exclusiveMinimum}`);
	if (schema.exclusiveMaximum !== undefined) bounds.push(`< ${schema.exclusiveMaximum}`);
	if (schema.maximum !== undefined && schema.maximum < Number.MAX_SAFE_INTEGER) bounds.push(`<= ${schema.maximum}`);
	const type = schema.type === "integer" ? "an integer" : "a number";
	return bounds.length === 0 ? type : `${type} ${bounds.join(" and ")}`;
}

function collect(schema: z.ZodType, path: string[], into: ConfigKey[]): ConfigKey[] {
	const inner = schema instanceof z.ZodPrefault ? (schema.unwrap() as z.ZodType) : schema;
	if (inner instanceof z.ZodObject) {
		for (const [name, child] of Object.entries(inner.shape)) collect(child as z.ZodType, [...path, name], into);
		return into;
	}
	const meta = schema.meta() as unknown as KeyMeta;
	const values = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as ValueSchema;
	into.push({
		...meta,
		name: path.map(toKebab).join("."),
		path,
		schema,
		expects: meta.expects ?? inWords(values),
		fallback: schema.safeParse(undefined).data,
		boolean: values.type === "boolean",
	});
	return into;
}

let table: Map<string, ConfigKey> | undefined;

/** Every key, by name, in the order of the schema. */
export function configKeys(): ReadonlyMap<string, ConfigKey> {
	table ??= new Map(collect(configSchema, [], []).map((key) => [key.name, key]));
	return table;
}

/** The known key nearest to an unknown one, for "did you mean". */
export function nearestKey(name: string): string | undefined {
	return nearest(toKebab(name), configKeys().keys());
}

/** A key's value in a configuration. */
export function configValue(config: Config, key: ConfigKey): unknown {
	return key.path.reduce<unknown>((group, name) => (group as Record<string, unknown>)[name], config);
}

/** A value as it is written in tables and messages. */
export function valueText(value: unknown): string {
	if (value === null || value === undefined) return "none";
	if (Array.isArray(value))
		return value.length === 0
			? "none"
			: value.map((item) => (typeof item === "object" ? JSON.stringify(item) : String(item))).join(",");
	return typeof value === "object" ? "a group of keys" : String(value);
}

/** The configuration as plain nested data in the spelling of files: what config.json holds. */
export function plainConfig(config: Config): Record<string, unknown> {
	const plain: Record<string, unknown> = {};
	for (const key of configKeys().values()) {
		let group = plain;
		for (const part of key.path.slice(0, -1).map(toKebab)) {
			group[part] ??= {};
			group = group[part] as Record<string, unknown>;
		}
		group[toKebab(key.path[key.path.length - 1])] = configValue(config, key);
	}
	return plain;
}

/** Keys whose values differ, of those that decide what a run computes: "train.batch: 32 there, 64 here". */
export function differences(there: Config, here: Config): string[] {
	const found: string[] = [];
	for (const key of configKeys().values()) {
		if (key.resumable) continue;
		const [a, b] = [configValue(there, key), configValue(here, key)];
		if (JSON.stringify(a) !== JSON.stringify(b)) found.push(`${key.name}: ${valueText(a)} there, ${valueText(b)} here`);
	}
	return found;
}
