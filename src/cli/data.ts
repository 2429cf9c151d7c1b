/** `rivulet data`: brings the data sets that the presets learn from. */
import { join } from "node:path";
import { Argument, Command } from "commander";
import { columns, compact, duration, grouped } from "../base/format.ts";
import { Progress } from "../base/progress.ts";
import { type RemoteData, type RemoteFile, remoteData } from "../data/fetch/catalog.ts";
import { type DownloadProgress, partPath } from "../data/fetch/download.ts";
import type { FetchedFile } from "../data/fetch/fetch-data.ts";
import { quoted } from "../report/provenance.ts";
import { type Io, interruptedStatus } from "./io.ts";
import type { CommandBuilder } from "./program.ts";

const examples = `
Examples:
  rivulet data fetch shakespeare
  rivulet data fetch cifar10 --out images
  rivulet data fetch mnist --json

Ctrl-C keeps what has arrived; the same command goes on from there. Files that are there already are checked, and not fetched again.`;

interface FetchFlags {
	readonly out?: string;
	readonly json: boolean;
}

/** The command, over a catalog of data sets. */
export function dataCommandOf(catalog: readonly RemoteData[]): CommandBuilder {
	return (io, _actions, done) => {
		const fetch = new Command("fetch")
			.description("Bring a data set from its publisher: resumed where it broke off, and checked.")
			.addArgument(new Argument("<name>", "data set").choices(catalog.map(({ name }) => name)))
			.option("--out <folder>", "where its files go (default: data/NAME)")
			.option("--json", "end with one line of JSON", false)
			.option("--debug", "show stack traces of errors")
			.addHelpText("after", `\nData sets:\n${catalogText(catalog)}\n${examples}`)
			.action(async (name: string, flags: FetchFlags) => {
				const data = catalog.find((candidate) => candidate.name === name) as RemoteData;
				done(await bring(data, flags, io));
			});
		return new Command("data")
			.description("Data sets that the presets learn from.")
			.addCommand(fetch)
			.addHelpText("after", examples);
	};
}

export const dataCommand = dataCommandOf(remoteData);

function catalogText(catalog: readonly RemoteData[]): string {
	return columns(
		catalog.map(({ name, title, files, terms }) => {
			const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
			return [`  ${name}`, `${title}; ${compact(bytes, "B")}; ${terms}`];
		}),
	);
}

/** Returns the exit status. */
async function bring(data: RemoteData, flags: FetchFlags, io: Io): Promise<number> {
	const { out = join("data", data.name), json } = flags;
	const { fetchData } = await import("../data/fetch/fetch-data.ts");
	const signal = io.interrupt();
	const progress = new Progress({ stream: io.err, environment: io.environment });
	let latest: DownloadProgress | undefined;
	const rate = rateMeter();
	try {
		const files = await fetchData(data, out, {
			signal,
			onProgress: (file, now) => {
				latest = now;
				progress.update(progressFields(file, now, rate(file, now)));
			},
			onFile: (file) => {
				progress.end();
				io.err.write(`${fileText(file, latest?.done ?? 0)}\n`);
				latest = undefined;
			},
		});
		const complete = files.every(({ outcome }) => outcome !== "interrupted");
		const words = ["rivulet", "train", ...data.preset, "--data.path", data.path(out)];
		const train = words.map(quoted).join(" ");
		if (json) io.out.write(`${JSON.stringify({ data: data.name, out, complete, files, train })}\n`);
		else if (complete) io.out.write(`${train}\n`);
		return complete ? 0 : interruptedStatus(signal);
	} finally {
		progress.end();
	}
}

/** Bytes per second of a file since its first bytes were reported. */
function rateMeter(): (file: RemoteFile, progress: DownloadProgress) => number {
	let current: RemoteFile | undefined;
	let began = 0;
	let first = 0;
	return (file, { done }) => {
		if (file !== current) {
			current = file;
			began = performance.now();
			first = done;
		}
		return ((done - first) / (performance.now() - began)) * 1000;
	};
}

function progressFields(file: RemoteFile, { done, total }: DownloadProgress, rate: number): [string, string][] {
	const fields: [string, string][] = [[file.name, `${compact(done, "B")} of ${compact(total, "B")}`]];
	if (rate > 0) fields.push(["rate", `${compact(rate, "B")}/s`], ["left", duration((total - done) / rate)]);
	return fields;
}

/** @param done bytes of a file that is not whole yet */
function fileText({ path, bytes, outcome }: FetchedFile, done: number): string {
	if (outcome === "fetched") return `fetched ${path}: ${grouped(bytes)} bytes, checked`;
	if (outcome === "present") return `found ${path}: there already, checked`;
	const kept = done > 0 ? `${grouped(done)} of ${grouped(bytes)} bytes are kept in ${partPath(path)}` : path;
	return `stopped: ${kept}; the same command goes on from there`;
}
