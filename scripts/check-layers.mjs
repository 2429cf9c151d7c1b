/**
 * Keeps the layers of src/ in order: every file may import only from its own layer and those before it, nobody reaches
 * into a backend from outside the engine, and no two files import each other in a circle. Files directly in src/ are the
 * package's faces: they may import every layer and none may import them. `node scripts/check-layers.mjs [SOURCE-FOLDER]`.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, posix, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const layers = [
	"base",
	"engine",
	"nn",
	"models",
	"data",
	"train",
	"stream",
	"report",
	"laws",
	"studies",
	"serve",
	"cli",
];

const source = resolve(process.argv[2] ?? fileURLToPath(new URL("../src", import.meta.url)));
const files = readdirSync(source, { recursive: true })
	.map((path) => path.replaceAll("\\", "/"))
	.filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"))
	.sort();
const imports = new Map(files.map((file) => [file, importsOf(file)]));
const problems = [...files.flatMap(layerProblems), ...circles()];
for (const problem of problems) console.error(problem);
console.log(`layers: ${files.length} files, ${problems.length === 0 ? "in order" : `${problems.length} problems`}`);
process.exitCode = problems.length === 0 ? 0 : 1;

/** Relative imports of a file: target path within the source folder, line, and whether it is gone after compilation. */
function importsOf(file) {
	const parsed = ts.createSourceFile(file, readFileSync(join(source, file), "utf8"), ts.ScriptTarget.ES2022);
	const found = [];
	const visit = (node) => {
		const specifier = specifierOf(node);
		if (specifier && ts.isStringLiteral(specifier) && specifier.text.startsWith(".")) {
			const target = posix.join(posix.dirname(file), specifier.text);
			const line = parsed.getLineAndCharacterOfPosition(specifier.getStart(parsed)).line + 1;
			found.push({ target, line, text: specifier.text, typeOnly: isTypeOnly(node) });
		}
		ts.forEachChild(node, visit);
	};
	visit(parsed);
	return found;
}

/** What an import or export declaration, an import("...") type or a dynamic import names. */
function specifierOf(node) {
	if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return node.moduleSpecifier;
	if (ts.isImportTypeNode(node)) return node.argument.literal;
	if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) return node.arguments[0];
	return undefined;
}

/** Types are erased, so they cannot make a circle at run time. */
function isTypeOnly(node) {
	if (ts.isImportDeclaration(node)) return node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
	return ts.isImportTypeNode(node) || (ts.isExportDeclaration(node) && node.isTypeOnly);
}

function layerOf(path) {
	return path.includes("/") ? path.slice(0, path.indexOf("/")) : "";
}

function layerProblems(file) {
	const layer = layerOf(file);
	if (layer !== "" && !layers.includes(layer)) {
		return [`${file}: src/${layer}/ is not a layer (${layers.join(", ")})`];
	}
	return imports.get(file).flatMap(({ target, line, text }) => {
		const rule = brokenRule(layer, target);
		return rule === undefined ? [] : [`${file}:${line}: imports "${text}": ${rule}`];
	});
}

/** The rule that an import of `target` from a file in `layer` breaks, in words; undefined when it breaks none. */
function brokenRule(layer, target) {
	if (target.startsWith("../")) return "sources import only sources; this leaves the source folder";
	if (!existsSync(join(source, target))) return "there is no such file (imports name the .ts file itself)";
	const other = layerOf(target);
	if (other === "") return layer === "" ? undefined : "a face of the package; layers do not import it";
	if (layer === "") return undefined;
	if (layers.indexOf(other) > layers.indexOf(layer)) {
		return `layer ${layer} comes before ${other} and may not import from it`;
	}
	if (layer !== "engine" && target.startsWith("engine/backends/") && target !== "engine/backends/index.ts") {
		return "only the engine reaches into a backend; import engine/backends/index.ts or engine/index.ts";
	}
	return undefined;
}

/** One line for each circle of imports that exist at run time, found by depth-first search. */
function circles() {
	const state = new Map();
	const path = [];
	const found = [];
	const visit = (file) => {
		state.set(file, "open");
		path.push(file);
		for (const { target, typeOnly } of imports.get(file)) {
			if (typeOnly || !imports.has(target)) continue;
			if (state.get(target) === "open") {
				const circle = [...path.slice(path.indexOf(target)), target];
				found.push(`${target}: import cycle: ${circle.join(" -> ")}`);
			} else if (!state.has(target)) {
				visit(target);
			}
		}
		path.pop();
		state.set(file, "done");
	};
	for (const file of files) if (!state.has(file)) visit(file);
	return found;
}
