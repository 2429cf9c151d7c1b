/**
 * Writes the tables of docs/configuration.md from the configuration's schema: `node scripts/config-docs.mjs` (after a build).
 * What stands between the markers is replaced; the rest of the page is written by hand.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { configTables } from "../dist/train/config-docs.js";

const page = fileURLToPath(new URL("../docs/configuration.md", import.meta.url));
const markers = /(<!-- keys: begin -->\n)[\s\S]*?(<!-- keys: end -->)/;
const text = readFileSync(page, "utf8");
if (!markers.test(text)) throw new Error(`${page}: expected the markers <!-- keys: begin --> and <!-- keys: end -->`);
writeFileSync(
	page,
	text.replace(markers, (_, begin, end) => `${begin}${configTables()}${end}`),
);
