/** A report as JSON, for programs: its figures (`data`), and the blocks that the page shows. */
import type { Report } from "./report.ts";

/** Numbers that JSON does not have become null, pixels become base64. */
export function reportJson({ title, summary, data, sections, provenance }: Report): string {
	return `${JSON.stringify({ title, summary, provenance, data, sections }, plain, "\t")}\n`;
}

function plain(_key: string, value: unknown): unknown {
	if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
	if (ArrayBuffer.isView(value)) return Array.from(value as Float32Array);
	if (value instanceof Map) return Object.fromEntries(value);
	return value;
}
