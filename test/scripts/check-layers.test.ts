/** The check of layer order itself: each rule broken once in a small tree, and a tree in order. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";

const script = fileURLToPath(new URL("../../scripts/check-layers.mjs", import.meta.url));
const folders: string[] = [];

afterEach(() => {
	for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** Run the check on a source folder with these files. */
function check(files: Record<string, string>) {
	const folder = mkdtempSync(join(tmpdir(), "layers-"));
	folders.push(folder);
	for (const [path, text] of Object.entries(files)) {
		mkdirSync(dirname(join(folder, path)), { recursive: true });
		writeFileSync(join(folder, path), text);
	}
	const { status, stdout, stderr } = spawnSync(process.execPath, [script, folder], { encoding: "utf8" });
	return { status, stdout, lines: stderr.split("\n").filter((line) => line !== "") };
}

test("a tree in order passes: earlier layers, the own layer, faces, circles of types", () => {
	const result = check({
		"index.ts": 'export * from "./engine/graph.ts";\n',
		"base/errors.ts": "export const a = 1;\n",
		"engine/graph.ts":
			'import type { Op } from "./op.ts";\nimport { a } from "../base/errors.ts";\nexport const b: Op = a;\n',
		"engine/op.ts": 'import { b } from "./graph.ts";\nexport type Op = number;\nexport const c = b;\n',
		"cli/main.ts":
			'import { join } from "node:path";\nimport { c } from "../engine/op.ts";\nexport const d = join(String(c));\n',
	});
	expect(result).toEqual({ status: 0, stdout: "layers: 5 files, in order\n", lines: [] });
});

test.each([
	['import { x } from "../train/t.ts";', "layer engine comes before train and may not import from it"],
	['import type { X } from "../train/t.ts";', "layer engine comes before train"],
	['export { x } from "../train/t.ts";', "layer engine comes before train"],
	['const m = await import("../train/t.ts");', "layer engine comes before train"],
	['type X = import("../train/t.ts").X;', "layer engine comes before train"],
	['import { x } from "../index.ts";', "a face of the package"],
	['import { x } from "../../elsewhere.ts";', "leaves the source folder"],
	['import { x } from "./missing.ts";', "there is no such file"],
	['import { x } from "./e.js";', "there is no such file"],
])("%s is refused with file, line and rule", (statement, rule) => {
	const result = check({
		"index.ts": "export const x = 1;\n",
		"engine/e.ts": `// first line\n${statement}\n`,
		"train/t.ts": "export const x = 1;\nexport type X = number;\n",
	});
	expect(result.status).toBe(1);
	expect(result.lines).toHaveLength(1);
	expect(result.lines[0]).toMatch(/^engine\/e\.ts:2: imports "/);
	expect(result.lines[0]).toContain(rule);
});

test("backends are reached only through their index", () => {
	const result = check({
		"engine/backends/index.ts": 'export { k } from "./native.ts";\n',
		"engine/backends/native.ts": "export const k = 1;\n",
		"models/good.ts": 'import { k } from "../engine/backends/index.ts";\nexport const g = k;\n',
		"models/bad.ts": 'import { k } from "../engine/backends/native.ts";\nexport const g = k;\n',
	});
	expect(result.lines).toEqual([expect.stringMatching(/^models\/bad\.ts:1: .*only the engine reaches into a backend/)]);
});

test("a circle of run-time imports is refused and spelled out", () => {
	const result = check({
		"nn/a.ts": 'import { b } from "./b.ts";\nexport const a = b;\n',
		"nn/b.ts": 'import { c } from "./c.ts";\nexport const b = c;\n',
		"nn/c.ts": 'import { a } from "./a.ts";\nexport const c = a;\n',
	});
	expect(result.status).toBe(1);
	expect(result.lines).toEqual(["nn/a.ts: import cycle: nn/a.ts -> nn/b.ts -> nn/c.ts -> nn/a.ts"]);
});

test("a folder that is no layer is refused", () => {
	expect(check({ "misc/a.ts": "export const a = 1;\n" }).lines).toEqual([
		expect.stringContaining("misc/ is not a layer"),
	]);
});
