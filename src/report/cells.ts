/** Cells of tables as text, the same on a page and in Markdown. */
import { shortNumber } from "./charts/ticks.ts";
import type { Cell, Column, Provenance } from "./report.ts";

export function cellText(cell: Cell | undefined, { digits }: Column): string {
	if (cell === null || cell === undefined) return "–";
	if (typeof cell === "string") return cell;
	if (!Number.isFinite(cell)) return Number.isNaN(cell) ? "–" : cell > 0 ? "∞" : "−∞";
	const size = Math.abs(cell);
	if (size >= 1e9 || (size > 0 && size < 1e-4 && digits === undefined)) return shortNumber(cell);
	const format =
		digits === undefined
			? { maximumSignificantDigits: size >= 1e5 ? 12 : 6 }
			: { minimumFractionDigits: digits, maximumFractionDigits: digits };
	return cell.toLocaleString("en-US", format).replace("-", "−");
}

/** Heading of a column, with its unit. */
export function headText({ name, unit }: Column): string {
	return unit === undefined ? name : `${name} (${unit})`;
}

/** Right where said so, or where the column holds numbers only. */
export function isRight(column: Column, index: number, rows: readonly (readonly Cell[])[]): boolean {
	if (column.align !== undefined) return column.align === "right";
	const cells = rows.map((row) => row[index]).filter((cell) => cell !== null);
	return cells.length > 0 && cells.every((cell) => typeof cell === "number");
}

/** Name and value of everything that says how the report was made. */
export function provenanceRows(provenance: Provenance): [string, string][] {
	const versions = Object.entries(provenance.versions).map(([name, version]) => `${name} ${version}`);
	return [
		["command", provenance.command],
		["commit", provenance.commit ?? "not from a repository"],
		["machine", provenance.machine],
		["versions", versions.join(", ")],
		["date", provenance.date],
	];
}
