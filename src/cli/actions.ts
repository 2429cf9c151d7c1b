/** What the commands do, apart from how they are asked and how they answer. Each loads its part of the house only when it runs. */
import { availableParallelism, cpus, totalmem } from "node:os";
import { RivuletError } from "../base/errors.ts";
import { StreamState } from "../stream/state.ts";
import type { Config } from "../train/config.ts";
import type { TrainEvent, TrainSummary } from "../train/events.ts";
import type { BackendReport, DoctorReport } from "./doctor.ts";
import type { EvaluateRequest, EvaluateResult } from "./evaluate.ts";
import type { GenerateRequest, GenerateResult } from "./generate.ts";
import type { InspectReport } from "./inspect.ts";

export interface TrainRequest {
	/** Aborted at Ctrl-C: stop after the step under way, save, and end as "interrupted". */
	readonly signal: AbortSignal;
	onEvent(event: TrainEvent): void;
}

export interface Actions {
	train(config: Config, request: TrainRequest): Promise<TrainSummary>;
	generate(request: GenerateRequest): Promise<GenerateResult>;
	evaluate(request: EvaluateRequest): Promise<EvaluateResult>;
	inspect(request: { readonly run: string }): Promise<InspectReport>;
	doctor(): Promise<DoctorReport>;
}

export const actions: Actions = {
	async train(config, request) {
		const [{ train }, { sampleText }] = await Promise.all([
			import("../train/trainer.ts"),
			import("../stream/sample.ts"),
		]);
		return await train(config, { ...request, sample: sampleText });
	},

	async generate(request) {
		const [{ openRun }, { generate }, states] = await Promise.all([
			import("../stream/open-run.ts"),
			import("../stream/generate.ts"),
			import("../stream/state-file.ts"),
		]);
		const { stream, tokenizer } = await openRun(request.run, request);
		try {
			let state = request.stateIn === undefined ? StreamState.start : await states.loadState(request.stateIn, stream);
			// A text has to begin somehow: most corpora have line ends.
			const prompt = request.prompt === "" && state.logits === null ? "\n" : request.prompt;
			let text = "";
			let tokens = 0;
			let ended: GenerateResult["ended"] = "tokens";
			const started = performance.now();
			for (const piece of generate(stream, tokenizer, prompt, request, state)) {
				text += piece.text;
				tokens = piece.tokens;
				ended = piece.ended ?? ended;
				state = piece.state;
				request.onText(piece.text);
				await new Promise((resolve) => setImmediate(resolve));
			}
			const seconds = (performance.now() - started) / 1000;
			if (request.stateOut !== undefined) await states.saveState(request.stateOut, stream, state);
			return { text, tokens, seconds, position: state.position, ended };
		} finally {
			await stream.close();
		}
	},

	async evaluate(request) {
		if (request.perLine) return await evaluateLines(request);
		const { measure } = await import("../train/measure.ts");
		const { loss, error, bitsPerByte, accuracy, targets, length, noise } = await measure(request.run, request);
		return {
			natsPerToken: loss,
			standardError: error,
			tokens: targets,
			length,
			accuracy,
			...(noise === null ? {} : { noise }),
			...(bitsPerByte === null ? {} : { bitsPerByte }),
		};
	},

	async inspect({ run: path }) {
		const [{ RunFolder }, { modelConfig, openSubject }, { modelFigures }, { createModel, describeModel }] =
			await Promise.all([
				import("../train/run.ts"),
				import("../train/prepare.ts"),
				import("../train/inspect.ts"),
				import("../models/index.ts"),
			]);
		const run = RunFolder.open(path);
		const { config } = run;
		const model = modelConfig(config, await openSubject(config));
		const threads = config.threads ?? Math.min(8, availableParallelism());
		const figures = modelFigures(model, {
			batch: config.train.batch,
			length: config.data.length,
			slices: config.train.slices,
			threads,
			averages: config.train.ema > 0,
		});
		const best = run.best();
		const loss =
			best === undefined ? null : (await run.loadCheckpoint(best, { optimizer: false })).state.validationLoss;
		return {
			run: path,
			model: describeModel(model),
			...figures,
			tensors: createModel(model).parameters.map(({ name, fileShape: shape }) => ({ name, shape })),
			...spentOf(run.readSummary()),
			checkpoints: run.checkpoints(),
			best: best === undefined || loss === null ? null : { step: best, loss },
		};
	},

	async doctor() {
		const [{ backendSupport, createRuntime }, { productRate }] = await Promise.all([
			import("../engine/backends/index.ts"),
			import("../engine/probe.ts"),
		]);
		const backends: BackendReport[] = [];
		for (const [name, problem] of await backendSupport()) {
			if (problem !== undefined) {
				backends.push({ name, problem });
				continue;
			}
			const runtime = await createRuntime(name);
			const rates = await runtime.rates?.(0.2);
			backends.push({
				name,
				description: runtime.description,
				flopsPerSecond: 1e9 * (await productRate(runtime, 0.5)),
				peakFlopsPerSecond: 1e9 * (await runtime.peak(0.5)),
				...(rates && { bf16FlopsPerSecond: 1e9 * rates.bf16, copyBytesPerSecond: 1e9 * rates.copy }),
				...(runtime.memoryBytes !== undefined && { memoryBytes: runtime.memoryBytes }),
			});
			await runtime.close();
		}
		return {
			node: process.version,
			platform: `${process.platform} ${process.arch}`,
			processor: cpus()[0]?.model ?? "unknown",
			cores: availableParallelism(),
			memoryBytes: totalmem(),
			backends,
			chosen: backends.find(({ problem }) => problem === undefined)?.name ?? "none",
		};
	},
};

/** The part of a summary that says what training took. Older versions wrote less. */
function spentOf(summary: Record<string, unknown> | undefined): Pick<InspectReport, "spent"> {
	if (typeof summary?.paperFlops !== "number") return {};
	const { steps, tokens, flops, seconds, paperFlops, wallSeconds, runtimeBytes, processBytes, tokensPerSecond } =
		summary as unknown as TrainSummary;
	return {
		spent: { steps, tokens, flops, seconds, paperFlops, wallSeconds, runtimeBytes, processBytes, tokensPerSecond },
	};
}

/** Line by line as one stream; the lines of a file of its own, or of standard input. */
async function evaluateLines(request: EvaluateRequest): Promise<EvaluateResult> {
	const [{ openRun }, { lineSurprisals }, { openSources, readLines }] = await Promise.all([
		import("../stream/open-run.ts"),
		import("../stream/surprisal.ts"),
		import("../data/index.ts"),
	]);
	if (request.length !== undefined || request.noise !== undefined) {
		throw new RivuletError("usage", "--per-line reads the text as one stream: it has no data.length or data.noise", {
			hint: "leave one of them out",
			exitStatus: 2,
		});
	}
	if (request.path.length === 0) {
		throw new RivuletError("usage", "expected --data.path with --per-line: the text whose lines are to be measured", {
			hint: `add it: rivulet evaluate ${request.run} --per-line --data.path FILE`,
			exitStatus: 2,
		});
	}
	const { stream, tokenizer } = await openRun(request.run, request);
	const totals = { lines: 0, nats: 0, tokens: 0, bytes: 0, squares: 0 };
	try {
		const measure = lineSurprisals(stream, tokenizer);
		for await (const text of readLines(openSources(request.path))) {
			if (request.signal.aborted) break;
			const line = measure(text);
			totals.lines++;
			totals.nats += line.nats;
			totals.tokens += line.tokens;
			totals.bytes += Buffer.byteLength(text) + 1;
			request.onLine(line);
			request.onProgress([["lines", String(totals.lines)]]);
		}
	} finally {
		await stream.close();
	}
	if (totals.tokens === 0 && !request.signal.aborted) {
		throw new RivuletError("data-too-short", `${request.path.join(", ")}: no text to measure`, {
			hint: "name a text that is not empty: --data.path FILE",
		});
	}
	const natsPerToken = totals.nats / Math.max(1, totals.tokens);
	return {
		natsPerToken,
		standardError: Number.NaN,
		tokens: totals.tokens,
		bitsPerByte: totals.nats / Math.LN2 / Math.max(1, totals.bytes),
	};
}
