/** What the commands do, apart from how they are asked and how they answer. Each loads its part of the house only when it runs. */
import type { Config } from "../train/config.ts";
import type { TrainEvent, TrainSummary } from "../train/events.ts";
import type { DoctorReport } from "./doctor.ts";
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
