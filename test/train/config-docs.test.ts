import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { configTables } from "../../src/train/config-docs.ts";
import { configKeys } from "../../src/train/config-keys.ts";

test("every key has a row", () => {
	for (const name of configKeys().keys()) expect(configTables()).toContain(`| \`${name}\` |`);
});

test("docs/configuration.md is up to date (node scripts/config-docs.mjs writes it)", () => {
	const page = readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8");
	const table = /<!-- keys: begin -->\n([\s\S]*?)<!-- keys: end -->/.exec(page)?.[1];
	expect(table).toBe(configTables());
});
