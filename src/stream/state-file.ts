/** A stream's state as a file: safetensors with what is carried and the tokens of the partial block. Small, whatever the position. */
import { createHash } from "node:crypto";
import { RivuletError } from "../base/errors.ts";
import { AtomicFile } from "../base/files.ts";
import { encodeSafetensors, type TensorValue } from "../base/safetensors.ts";
import { SafetensorsFile } from "../base/safetensors-file.ts";
import { stateWidth } from "../models/index.ts";
import { type LayerBoundary, StreamState } from "./state.ts";
import type { Stream } from "./stream.ts";

const format = "rivulet-state";
const version = "1";

/** Write a state that `stream` gave; the file appears under its name when it is whole. @throws RivuletError where it cannot be written */
export async function saveState(path: string, stream: Stream, state: StreamState): Promise<void> {
	const tensors = new Map<string, TensorValue>();
	const shape = [stream.window, stateWidth(stream.model.config)];
	(state.boundary ?? []).forEach(({ s, f }, l) => {
		tensors.set(`layer.${l}.s`, { shape, data: s });
		if (f) tensors.set(`layer.${l}.f`, { shape, data: f });
	});
	tensors.set("partial", { shape: [state.partial.length], data: Int32Array.from(state.partial) });
	if (state.logits) tensors.set("logits", { shape: [state.logits.length], data: state.logits });
	const metadata = { format, version, position: String(state.position), model: fingerprint(stream) };
	// Beside the old one and renamed: a state that cannot be written must not cost the one that was there.
	const file = new AtomicFile(path);
	for (const piece of encodeSafetensors(tensors, metadata)) file.write(piece);
	file.commit();
}

/** @throws RivuletError when the file is not a state, or not one of this model */
export async function loadState(path: string, stream: Stream): Promise<StreamState> {
	const file = await SafetensorsFile.open(path);
	try {
		const { metadata } = file.header;
		if (metadata.get("format") !== format || metadata.get("version") !== version) {
			throw new RivuletError(
				"state-file",
				`${path}: expected a state of version ${version} (metadata format "${format}")`,
				{ hint: "name a file that rivulet generate --state-out wrote" },
			);
		}
		const model = metadata.get("model");
		if (model !== fingerprint(stream)) {
			throw new RivuletError(
				"state-file",
				`${path}: a state of another model: expected ${fingerprint(stream)}, found ${model}`,
				{
					hint: "use the run whose generate wrote this state",
				},
			);
		}
		return await read(path, file, stream, Number(metadata.get("position")));
	} finally {
		await file.close();
	}
}

async function read(path: string, file: SafetensorsFile, stream: Stream, position: number): Promise<StreamState> {
	const { config } = stream.model;
	const columns = stateWidth(config);
	const carried = async (name: string): Promise<Float32Array> => {
		const { data, shape } = await file.read(name);
		const fits =
			data instanceof Float32Array && shape.length === 2 && shape[0] === stream.window && shape[1] === columns;
		if (!fits)
			throw new RivuletError(
				"state-file",
				`${path}: expected ${name} of ${stream.window} x ${columns}, found ${shape.join(" x ")}`,
			);
		return data as Float32Array;
	};
	const partial = (await file.read("partial")).data;
	const tokens = Array.from(partial as Int32Array);
	const valid = partial instanceof Int32Array && tokens.every((id) => id >= 0 && id < config.vocabulary);
	const whole = position - tokens.length;
	if (
		!valid ||
		tokens.length > stream.window ||
		!Number.isSafeInteger(position) ||
		whole < 0 ||
		whole % stream.window !== 0
	) {
		throw new RivuletError(
			"state-file",
			`${path}: position ${position} and ${tokens.length} tokens of a block do not fit a window of ${stream.window}`,
		);
	}
	const logits = file.header.tensors.has("logits") ? (await file.read("logits")).data : null;
	if (logits && !(logits instanceof Float32Array && logits.length === config.vocabulary)) {
		throw new RivuletError(
			"state-file",
			`${path}: expected logits of ${config.vocabulary} numbers, found ${logits.length}`,
		);
	}
	if (whole === 0 || config.kind === "transformer") return new StreamState(position, null, tokens, logits);
	const boundary: LayerBoundary[] = [];
	for (let l = 0; l < config.layers; l++) {
		const f = config.variant === "accumulate" ? await carried(`layer.${l}.f`) : null;
		boundary.push({ s: await carried(`layer.${l}.s`), f });
	}
	return new StreamState(position, boundary, tokens, logits);
}

/** What must agree for a state to make sense: the shape in words, and the weights themselves. */
function fingerprint({ model, session, window }: Stream): string {
	const { kind, variant, width, layers, vocabulary } = model.config;
	const hash = createHash("sha256");
	for (const { name } of model.parameters) hash.update(session.readParameter(name));
	const weights = hash.digest("hex").slice(0, 16);
	return `${kind} ${variant} w${window} C${width} L${layers} V${vocabulary} weights ${weights}`;
}
