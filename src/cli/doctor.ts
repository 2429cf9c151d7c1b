/** `rivulet doctor`: which backends work on this machine, how fast, and which one will be used. */
import { Command } from "commander";
import { columns, compact } from "../base/format.ts";
import type { Actions } from "./actions.ts";
import type { Io } from "./io.ts";

export interface DoctorReport {
	readonly node: string;
	/** "linux x64" */
	readonly platform: string;
	readonly processor: string;
	readonly cores: number;
	readonly memoryBytes: number;
	readonly backends: readonly BackendReport[];
	/** The one that `--backend auto` takes. */
	readonly chosen: string;
}

export interface BackendReport {
	readonly name: string;
	/** Why it cannot work here, in one line; absent when it can. */
	readonly problem?: string;
	/** What it runs on: "native, AVX-512, 2 threads". */
	readonly description?: string;
	/** Speed of a matrix product, and the measured peak of fused multiply-add it is held against. */
	readonly flopsPerSecond?: number;
	readonly peakFlopsPerSecond?: number;
	/** A GPU's: rate of a product of bf16 operands, and bytes per second read and written by a copy. */
	readonly bf16FlopsPerSecond?: number;
	readonly copyBytesPerSecond?: number;
	/** Memory of its own. */
	readonly memoryBytes?: number;
}

export function doctorCommand(io: Io, { doctor }: Actions, done: (status: number) => void): Command {
	const command = new Command("doctor")
		.description("Say which backends work here and how fast they are.")
		.option("--json", "one line of JSON", false)
		.option("--debug", "show stack traces of errors");
	return command.action(async () => {
		const report = await doctor();
		io.out.write(command.opts().json ? `${JSON.stringify(report)}\n` : `${reportText(report)}\n`);
		done(report.backends.some(({ problem }) => problem === undefined) ? 0 : 1);
	});
}

function reportText(report: DoctorReport): string {
	const machine = `${report.processor}, ${report.cores} cores, ${compact(report.memoryBytes, "B")}`;
	const head = columns([
		["node", report.node],
		["machine", `${report.platform}, ${machine}`],
		["backend auto", report.chosen],
	]);
	return `${head}\n\n${columns(report.backends.map(backendRow))}`;
}

function backendRow(backend: BackendReport): string[] {
	if (backend.problem !== undefined) return [backend.name, "no", backend.problem];
	const { flopsPerSecond: speed, peakFlopsPerSecond: peak } = backend;
	const parts = [backend.description ?? ""];
	if (speed !== undefined) parts.push(`${(speed / 1e9).toFixed(1)} GFLOP/s`);
	if (speed !== undefined && peak !== undefined && Number.isFinite(peak)) {
		parts.push(`${((100 * speed) / peak).toFixed(0)} % of the measured peak of ${(peak / 1e9).toFixed(1)}`);
	}
	const { bf16FlopsPerSecond: bf16, copyBytesPerSecond: copied, memoryBytes: memory } = backend;
	if (bf16 !== undefined) parts.push(`bf16 ${(bf16 / 1e12).toFixed(0)} TFLOP/s`);
	if (copied !== undefined) parts.push(`copies ${(copied / 1e9).toFixed(0)} GB/s`);
	if (memory !== undefined) parts.push(`memory ${compact(memory, "B")}`);
	return [backend.name, "yes", parts.filter(Boolean).join(", ")];
}
