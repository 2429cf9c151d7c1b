/** What length a run generalises to: its validation loss at multiples of its training length, kept in lengths.json of its folder. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { RivuletError } from "../base/errors.ts";
import { writeJson } from "../base/files.ts";
import { expectObject, readJson } from "../base/json.ts";
import type { Cell, Section } from "../report/index.ts";
import { type Config, isCopyTask } from "../train/config.ts";
import { evaluateAtLength } from "../train/measure.ts";
import { meanOf } from "./claims.ts";
import type { PlannedRun } from "./plan.ts";

/** One length of one run. */
export interface LengthPoint {
	/** Of the training length (noise, for the copy tasks). */
	readonly multiple: number;
	/** N, or noise tokens. */
	readonly length: number;
	/** Null where the model has no positions for it, or the data are shorter. */
	readonly loss: number | null;
	readonly accuracy: number | null;
}

/** A run's lengths, one list for each seed measured. */
export interface RunLengths {
	readonly label: string;
	readonly title: string;
	readonly seeds: readonly (readonly LengthPoint[])[];
}

const fileOf = (run: string) => join(run, "lengths.json");

/** Batches of a length measured; the sequences of a batch become fewer as they become longer. */
export async function measureLengths(
	{ run, path }: PlannedRun,
	config: Config,
	step: number,
	signal?: AbortSignal,
): Promise<void> {
	if (!run.lengths || lengthsAfter(path, step, run.lengths)) return;
	const copy = isCopyTask(config.data.task);
	const base = copy ? config.data.noise : config.data.length;
	const points: LengthPoint[] = [];
	for (const multiple of run.lengths) {
		const length = Math.round(base * multiple);
		const options = {
			backend: config.backend,
			signal,
			...(config.threads === null ? {} : { threads: config.threads }),
		};
		try {
			const { loss, accuracy } = await evaluateAtLength(path, copy ? { noise: length } : { length }, options);
			points.push({ multiple, length, loss, accuracy });
		} catch (error) {
			const refused = error instanceof RivuletError && ["length-positions", "data-too-short"].includes(error.code);
			if (!refused) throw error;
			points.push({ multiple, length, loss: null, accuracy: null });
		}
		// Half a measurement is none.
		if (signal?.aborted) return;
	}
	writeJson(fileOf(path), { step, points });
}

/** Has exactly this been measured before? */
function lengthsAfter(path: string, step: number, wanted: readonly number[]): boolean {
	const there = readFile(path);
	return there?.step === step && there.points.map(({ multiple }) => multiple).join() === wanted.join();
}

function readFile(path: string): { step: number; points: LengthPoint[] } | undefined {
	const file = fileOf(path);
	if (!existsSync(file)) return undefined;
	return expectObject(readJson(file, { maxSize: 1 << 20 }), file) as unknown as { step: number; points: LengthPoint[] };
}

/** What has been measured of the planned runs. */
export function readLengths(planned: readonly PlannedRun[]): RunLengths[] {
	const found = new Map<string, { label: string; title: string; seeds: LengthPoint[][] }>();
	for (const { run, path } of planned) {
		const points = readFile(path)?.points;
		if (!points) continue;
		const entry = found.get(run.label) ?? { label: run.label, title: run.title, seeds: [] };
		entry.seeds.push(points);
		found.set(run.label, entry);
	}
	return [...found.values()];
}

/** Table and chart, or nothing where nothing was measured. */
export function lengthsSection(lengths: readonly RunLengths[]): Section[] {
	if (lengths.length === 0) return [];
	const rows = lengths.flatMap(({ title, seeds }) =>
		seeds[0].map(({ multiple, length }, i): Cell[] => {
			const loss = meanOf(seeds.flatMap((points) => points[i]?.loss ?? []));
			const accuracy = meanOf(seeds.flatMap((points) => points[i]?.accuracy ?? []));
			return [title, multiple, length, loss?.mean ?? null, loss?.error ?? null, accuracy && 100 * accuracy.mean];
		}),
	);
	const series = lengths.map(({ title, seeds }) => {
		const known = seeds[0].flatMap(({ multiple }, i) => {
			const loss = meanOf(seeds.flatMap((points) => points[i]?.loss ?? []));
			return loss ? [{ x: multiple, y: loss.mean }] : [];
		});
		return { name: title, x: known.map(({ x }) => x), y: known.map(({ y }) => y), mark: "line+points" as const };
	});
	return [
		{
			title: "Beyond the training length",
			blocks: [
				{
					kind: "table",
					columns: [
						{ name: "run" },
						{ name: "times the training length" },
						{ name: "tokens", digits: 0 },
						{ name: "loss", unit: "nats", digits: 4 },
						{ name: "standard error", digits: 4 },
						{ name: "accuracy", unit: "%", digits: 2 },
					],
					rows,
					caption: "A dash: the model has no positions for that length, or the data are shorter.",
				},
				{
					kind: "chart",
					chart: {
						kind: "xy",
						title: "Validation loss beyond the training length",
						x: { title: "times the training length", scale: "log" },
						y: { title: "validation loss", unit: "nats" },
						series: series.filter(({ x }) => x.length > 0),
					},
					caption: "Mean over the seeds.",
				},
			],
		},
	];
}
