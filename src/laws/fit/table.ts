/** Runs from a CSV table of anyone's: columns by name, every row checked, and said which is wrong. */
import { parse } from "csv-parse/sync";
import { RivuletError } from "../../base/errors.ts";
import { readFileLimited } from "../../base/files.ts";
import { nearest } from "../../base/nearest.ts";
import { flopsPerParameterToken } from "../law.ts";
import type { RepeatedRuns } from "./repeated.ts";
import type { Runs } from "./runs.ts";

/** Which column is what; of parameters, tokens and FLOPs two are enough. */
export interface TableColumns {
	readonly parameters?: string;
	readonly tokens?: string;
	readonly flops?: string;
	readonly loss?: string;
	readonly uniqueTokens?: string;
	/** Only rows with this value in this column. */
	readonly only?: { readonly column: string; readonly value: string };
}

/** Names tried for columns that are not named, compared without case, blanks, "-" and "_". */
const usual = {
	parameters: ["parameters", "params", "n", "modelsize", "nparams"],
	tokens: ["tokens", "d", "trainingtokens", "ntokens"],
	flops: ["flops", "flop", "trainingflop", "trainingflops", "budget", "compute", "c"],
	loss: ["loss", "valloss", "validationloss", "finalloss"],
} as const;

/** Rows under which no law of five constants can be told. */
export const leastRuns = 11;

const mostBytes = 64e6;

/** @throws RivuletError for what is wrong with the table, with row and column */
export function readTable(
	path: string,
	columns: TableColumns = {},
): Runs & Partial<Pick<RepeatedRuns, "uniqueTokens">> {
	const { names, rows: all } = parseTable(readFileLimited(path, mostBytes).toString("utf8"), path);
	const find = (role: keyof typeof usual): number | null => {
		const asked = columns[role];
		if (asked !== undefined) return columnOf(names, asked, path);
		const found = names.findIndex((name) => (usual[role] as readonly string[]).includes(plain(name)));
		return found < 0 ? null : found;
	};
	const at = { parameters: find("parameters"), tokens: find("tokens"), flops: find("flops"), loss: find("loss") };
	if (at.loss === null) throw missing(path, names, "loss");
	if (at.parameters === null && (at.tokens === null || at.flops === null)) throw missing(path, names, "parameters");
	if (at.tokens === null && at.flops === null) throw missing(path, names, "tokens");
	const { only } = columns;
	const onlyAt = only && columnOf(names, only.column, path);
	const rows = all.filter(({ cells }) => onlyAt === undefined || cells[onlyAt] === only?.value);
	const read = (column: number) => Float64Array.from(rows, (row) => number(row, column, names[column], path));
	const product = (left: Float64Array, right: Float64Array, sign: 1 | -1) =>
		left.map((value, i) =>
			sign === 1 ? flopsPerParameterToken * value * right[i] : value / right[i] / flopsPerParameterToken,
		);
	const losses = read(at.loss);
	const flops = at.flops === null ? null : read(at.flops);
	const given = at.tokens === null ? null : read(at.tokens);
	const parameters = at.parameters === null ? product(flops!, given!, -1) : read(at.parameters);
	const tokens = given ?? product(flops!, parameters, -1);
	expectEnough(losses.length, path);
	return {
		parameters,
		tokens,
		losses,
		flops: flops ?? product(parameters, tokens, 1),
		...(columns.uniqueTokens === undefined ? {} : { uniqueTokens: read(columnOf(names, columns.uniqueTokens, path)) }),
	};
}

interface Row {
	readonly line: number;
	readonly cells: readonly string[];
}

function parseTable(text: string, path: string): { names: string[]; rows: Row[] } {
	let records: { record: string[]; info: { lines: number } }[];
	try {
		records = parse(text, { bom: true, info: true, skip_empty_lines: true, trim: true });
	} catch (cause) {
		throw new RivuletError(
			"table-syntax",
			`${path}: expected a table of comma-separated values: ${(cause as Error).message}`,
			{
				hint: "Every row needs as many cells as the first, which names the columns.",
				cause,
			},
		);
	}
	const [head, ...rest] = records;
	if (head === undefined) throw new RivuletError("table-empty", `${path}: expected a table, found an empty file`);
	return { names: head.record, rows: rest.map(({ record, info }) => ({ line: info.lines, cells: record })) };
}

function columnOf(names: readonly string[], asked: string, path: string): number {
	const found = names.indexOf(asked);
	if (found >= 0) return found;
	const close = nearest(asked, names);
	throw new RivuletError("table-column", `${path}: expected a column "${asked}", found ${listed(names)}`, {
		exitStatus: 2,
		hint: close === undefined ? "Name one of these." : `Did you mean "${close}"?`,
	});
}

function missing(path: string, names: readonly string[], role: keyof typeof usual): RivuletError {
	const close = usual[role].flatMap((name) => nearest(name, names) ?? [])[0];
	const example = close ?? names[0];
	return new RivuletError(
		"table-column",
		`${path}: cannot tell which column holds the ${role}; found ${listed(names)}`,
		{
			exitStatus: 2,
			hint: `Name it: --${role} "${example}"${role === "parameters" || role === "tokens" ? " (of parameters, tokens and flops two are enough)" : ""}.`,
		},
	);
}

function number({ line, cells }: Row, column: number, name: string, path: string): number {
	const text = cells[column];
	const value = text === "" ? Number.NaN : Number(text);
	if (Number.isFinite(value) && value > 0) return value;
	throw new RivuletError(
		"table-value",
		`${path}, line ${line}, column "${name}": expected a number above zero, found "${text}"`,
		{
			hint: "Correct the row or take it out: a run that failed says nothing about the law.",
		},
	);
}

/** @throws RivuletError for fewer runs than a law can be told from */
export function expectEnough(count: number, path: string): void {
	if (count >= leastRuns) return;
	throw new RivuletError(
		"table-short",
		`${path}: expected at least ${leastRuns} runs to fit a law of five constants to, found ${count}`,
		{
			hint: "Add runs of other sizes and other numbers of tokens.",
		},
	);
}

const plain = (name: string) => name.toLowerCase().replace(/[\s_-]/g, "");
const listed = (names: readonly string[]) => names.map((name) => `"${name}"`).join(", ");
