/** What package.json promises to those who import Rivulet: every entry has a source, types, and something in it. */
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const root = new URL("..", import.meta.url);
const { exports, bin } = JSON.parse(readFileSync(new URL("package.json", root), "utf8"));
const entries = Object.entries<{ types: string; default: string }>(exports).filter(([, to]) => typeof to !== "string");
const source = (built: string) => new URL(built.replace(/^(\.\/)?dist\//, "src/").replace(/\.js$/, ".ts"), root);

test.each(entries)("%s", async (name, { types, default: built }) => {
	expect(types).toBe(built.replace(/\.js$/, ".d.ts"));
	expect(built).toBe(name === "." ? "./dist/index.js" : `./dist/${name.slice(2)}/index.js`);
	const entry = await import(source(built).href);
	expect(Object.keys(entry)).not.toEqual([]);
});

test("the layers that others build on are all there, and the command", () => {
	const layers = ["engine", "models", "data", "train", "stream", "report", "laws", "studies"];
	expect(entries.map(([name]) => name)).toEqual([".", ...layers.map((layer) => `./${layer}`)]);
	expect(existsSync(source(bin.rivulet))).toBe(true);
});
