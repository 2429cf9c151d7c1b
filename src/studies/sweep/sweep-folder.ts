/** sweep.json: what a sweep was asked and the ladder it decided on, so that a later call goes on with exactly that. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { RivuletError } from "../../base/errors.ts";
import { makeFolder, writeJson } from "../../base/files.ts";
import { readJson } from "../../base/json.ts";
import type { ConfigInput } from "../../train/config.ts";
import { architectures } from "./ladder.ts";

const version = 1;
const architecture = z.enum(architectures);
const perWidth = z.record(z.string(), z.number().positive());

const requestSchema = z.object({
	/** Texts to learn from; none: the built-in corpus. */
	path: z.array(z.string()),
	tokenizer: z.enum(["char", "byte", "gpt2", "bpe"]),
	architectures: z.array(architecture).min(1),
	sizes: z.int().min(1),
	dataSizes: z.int().min(1),
	seeds: z.int().min(1),
	budgetMinutes: z.number().positive(),
	/** Of the longest run, where the caller chose. */
	steps: z.int().min(1).nullable(),
});

const schema = z.object({
	version: z.literal(version),
	request: requestSchema,
	/** Tokens of the training part, and different ones. */
	trainTokens: z.number(),
	vocabulary: z.number(),
	ladder: z.object({
		architectures: z.array(architecture),
		widths: z.array(z.number()),
		heldBack: z.number(),
		tokens: z.array(z.number()),
		steps: z.number(),
	}),
	/** Seconds of a step, by architecture and width. */
	speeds: z.partialRecord(architecture, perWidth),
});

/** What a sweep was asked; the same in every call for its folder. */
export type SweepRequest = z.output<typeof requestSchema>;
export type SweepManifest = Omit<z.output<typeof schema>, "version">;

/** What a sweep learns from, as a configuration says it; any text is long enough, for the ladder has its own check. */
export function dataOf({ path, tokenizer }: SweepRequest): ConfigInput["data"] {
	const source = path.length > 0 ? { path: [...path], task: "text" as const } : { task: "tales" as const };
	return { ...source, tokenizer, length: 1 };
}

const pathOf = (out: string) => join(out, "sweep.json");
export const runPath = (out: string, name: string) => join(out, "runs", name);

/** The folder's manifest. @throws RivuletError sweep-missing, sweep-invalid */
export function readSweep(out: string): SweepManifest {
	const path = pathOf(out);
	if (!existsSync(path)) {
		throw new RivuletError("sweep-missing", `${out} is not the folder of a sweep: it has no sweep.json`, {
			hint: "name the folder that rivulet sweep wrote",
			exitStatus: 2,
		});
	}
	const parsed = schema.safeParse(readJson(path, { maxSize: 1 << 20 }));
	if (parsed.success) return parsed.data;
	const issue = parsed.error.issues[0];
	throw new RivuletError("sweep-invalid", `${path}: ${issue.path.join(".")}: ${issue.message}`, {
		hint: "use the version of rivulet that wrote it, or another folder",
	});
}

/**
 * The manifest of a sweep that was begun in this folder with the same request; undefined where the folder is new or empty.
 * @throws RivuletError sweep-differs, sweep-folder
 */
export function findSweep(out: string, request: SweepRequest): SweepManifest | undefined {
	if (existsSync(pathOf(out))) {
		const there = readSweep(out);
		const differing = (Object.keys(request) as (keyof SweepRequest)[]).filter(
			(key) => JSON.stringify(there.request[key]) !== JSON.stringify(request[key]),
		);
		if (differing.length === 0) return there;
		const found = differing.map((key) => `${key}: ${text(there.request[key])} there, ${text(request[key])} here`);
		throw new RivuletError("sweep-differs", `${out} holds another sweep (${found.join("; ")})`, {
			hint: "give the same options to go on with it, or name another folder with --out",
			exitStatus: 2,
		});
	}
	const entries = existsSync(out) ? entriesOf(out) : [];
	if (entries.length === 0) return undefined;
	throw new RivuletError("sweep-folder", `${out} holds other files and no sweep (${entries.slice(0, 3).join(", ")})`, {
		hint: "name an empty or new folder with --out",
		exitStatus: 2,
	});
}

export function writeSweep(out: string, manifest: SweepManifest): void {
	makeFolder(out);
	writeJson(pathOf(out), { version, ...manifest });
}

function entriesOf(out: string): string[] {
	try {
		return readdirSync(out);
	} catch {
		return []; // a file, or not ours to read: makeFolder says so in plain words
	}
}

const text = (value: unknown) => (Array.isArray(value) ? value.join(",") || "none" : String(value ?? "none"));
