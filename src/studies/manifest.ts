/** study.json: which study an output folder belongs to, so that no two are mixed and a later call needs no flag twice. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { RivuletError } from "../base/errors.ts";
import { makeFolder, writeJson } from "../base/files.ts";
import { readJson } from "../base/json.ts";
import type { ConfigInput } from "../train/config.ts";

const version = 1;

const schema = z.object({
	version: z.literal(version),
	study: z.string(),
	budget: z.enum(["quick", "paper"]),
	seeds: z.int().min(1),
	groups: z.array(z.enum(["main", "ablations"])),
	/** Laid over every run: what the command line said of data and engine. */
	overrides: z.record(z.string(), z.unknown()),
});

/** What study.json says. */
export interface Manifest extends Omit<z.output<typeof schema>, "version" | "overrides"> {
	readonly overrides: ConfigInput;
}

const pathOf = (out: string) => join(out, "study.json");

/** RivuletError "study-missing" where the folder holds no study. */
export function readManifest(out: string): Manifest {
	const path = pathOf(out);
	if (!existsSync(path)) {
		throw new RivuletError("study-missing", `${out} is not the folder of a study: it has no study.json`, {
			hint: "name the folder that rivulet study run wrote",
			exitStatus: 2,
		});
	}
	const parsed = schema.safeParse(readJson(path, { maxSize: 1 << 20 }));
	if (!parsed.success) {
		const issue = parsed.error.issues[0];
		throw new RivuletError("study-invalid", `${path}: ${issue.path.join(".")}: ${issue.message}`, {
			hint: "use the version of rivulet that wrote it, or another folder",
		});
	}
	const { version: _version, ...manifest } = parsed.data;
	return manifest as Manifest;
}

/** The folder's manifest, if it is one of a study. */
export function findManifest(out: string): Manifest | undefined {
	return existsSync(pathOf(out)) ? readManifest(out) : undefined;
}

/**
 * What a folder would be for a study: new or empty, or of the same study and budget already. Seeds and groups may be more than before,
 * and never become fewer; overrides are this call's over those of before. Nothing is written.
 * @throws RivuletError study-differs, study-folder
 */
export function manifestFor(out: string, wanted: Manifest): Manifest {
	const there = findManifest(out);
	if (!there) refuseForeign(out);
	else if (there.study !== wanted.study || there.budget !== wanted.budget) {
		throw new RivuletError(
			"study-differs",
			`${out} holds the study ${there.study} at budget ${there.budget}, not ${wanted.study} at budget ${wanted.budget}`,
			{ hint: "name another folder with --out", exitStatus: 2 },
		);
	}
	return {
		...wanted,
		seeds: Math.max(wanted.seeds, there?.seeds ?? 0),
		groups: [...new Set([...(there?.groups ?? []), ...wanted.groups])],
		overrides: mergeInputs(there?.overrides ?? {}, wanted.overrides),
	};
}

/** Make the folder that of the study. */
export function writeManifest(out: string, manifest: Manifest): void {
	makeFolder(out);
	writeJson(pathOf(out), { version, ...manifest });
}

function refuseForeign(out: string): void {
	if (!existsSync(out)) return;
	let entries: string[] = [];
	try {
		entries = readdirSync(out);
	} catch {
		// A file, or not ours to read: makeFolder says so in plain words.
	}
	if (entries.length === 0) return;
	throw new RivuletError("study-folder", `${out} holds other files and no study (${entries.slice(0, 3).join(", ")})`, {
		hint: "name an empty or new folder with --out",
		exitStatus: 2,
	});
}

/** Values of `over` on top of those of `base`, group by group. */
export function mergeInputs(base: ConfigInput, over: ConfigInput): ConfigInput {
	const merged: Record<string, unknown> = { ...base };
	for (const [key, value] of Object.entries(over)) {
		const group = merged[key];
		const groups = isGroup(group) && isGroup(value);
		merged[key] = groups ? mergeInputs(group as ConfigInput, value as ConfigInput) : value;
	}
	return merged as ConfigInput;
}

const isGroup = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);
