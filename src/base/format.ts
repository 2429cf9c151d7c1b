/** Numbers as people read them: thousands, SI prefixes, durations. Always in English form, whatever the locale. */

/** 1234567 as "1,234,567". */
export function grouped(value: number): string {
	return value.toLocaleString("en-US", { maximumFractionDigits: 0 });
}

const prefixes = ["", "k", "M", "G", "T", "P", "E"];

/** Three significant digits and an SI prefix: 1234567 as "1.23 M", with a unit "1.23 MB". */
export function compact(value: number, unit = ""): string {
	if (!Number.isFinite(value)) return "-";
	let power = 0;
	let scaled = value;
	// 999.5 would be rounded to 1000, which belongs to the next prefix.
	while (Math.abs(scaled) >= 999.5 && power < prefixes.length - 1) {
		scaled /= 1000;
		power++;
	}
	const size = Math.abs(scaled);
	const digits = size >= 99.95 || (power === 0 && Number.isInteger(scaled)) ? 0 : size >= 9.995 ? 1 : 2;
	return `${scaled.toFixed(digits)} ${prefixes[power]}${unit}`.trimEnd();
}

/** Seconds as "0.4 s", "12 s", "3 min 05 s", "2 h 04 min", "3 d 01 h". */
export function duration(seconds: number): string {
	if (!Number.isFinite(seconds)) return "-";
	if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
	const whole = Math.round(seconds);
	if (whole < 60) return `${whole} s`;
	const two = (value: number) => String(Math.floor(value)).padStart(2, "0");
	if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
	if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two((whole % 3600) / 60)} min`;
	return `${Math.floor(whole / 86400)} d ${two((whole % 86400) / 3600)} h`;
}

/** Rows of cells as aligned columns, two spaces apart; columns named in `right` are aligned to the right. */
export function columns(rows: readonly (readonly string[])[], right: readonly number[] = []): string {
	const widths: number[] = [];
	for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
	const line = (row: readonly string[]) =>
		row.map((cell, i) => (right.includes(i) ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join("  ");
	return rows.map((row) => line(row).trimEnd()).join("\n");
}
