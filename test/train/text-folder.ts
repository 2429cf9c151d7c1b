/** A folder for the runs of a test file, with a small text to learn and a cache of its own. Not a test. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import type { ConfigInput } from "../../src/train/config.ts";
import { defineConfig } from "../../src/train/config-resolve.ts";

export interface TextFolder {
	/** While the tests run. */
	readonly path: string;
	/** A run of this name on the text, by a small model, with these changes. */
	config(name: string, changes: ConfigInput): ReturnType<typeof defineConfig>;
}

/** There before the first test, gone behind the last. */
export function textFolder(name: string): TextFolder {
	let path = "";
	beforeAll(() => {
		path = mkdtempSync(join(tmpdir(), `rivulet-${name}-`));
		process.env.RIVULET_CACHE = join(path, "cache");
		const lines = Array.from({ length: 200 }, (_, i) => `${i}: the fox and ${i % 7} hens\n`);
		writeFileSync(join(path, "text.txt"), lines.join(""));
	});
	afterAll(() => {
		delete process.env.RIVULET_CACHE;
		rmSync(path, { recursive: true, force: true });
	});
	return {
		get path() {
			return path;
		},
		config: (run, { model, ...changes }) =>
			defineConfig({
				backend: "reference",
				run: join(path, run),
				data: { path: join(path, "text.txt"), length: 16 },
				model: { width: 8, heads: 2, window: 8, ...model },
				...changes,
			}),
	};
}
