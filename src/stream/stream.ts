/**
 * Constant-memory inference: `forward(tokens, state) -> { logits, state }`. Fed whole or in pieces of any size, the result is the
 * same; time and memory per token do not depend on the position.
 */
import type { Runtime } from "../engine/backend.ts";
import type { Layout } from "../engine/plan.ts";
import type { Program, ProgramHandle } from "../engine/program.ts";
import { Session } from "../engine/session.ts";
import { evaluationWindow, type Model, type ModelConfig, outputSize, stateWidth } from "../models/index.ts";
import { blocksProgram, finalProgram, restoreProgram, rowProgram, type StreamShape, turnProgram } from "./programs.ts";
import { type LayerBoundary, StreamState } from "./state.ts";

/** Blocks that go through at once while a long prompt is read. */
const blocksAtOnce = 16;

/** What `forward` gives. */
export interface ForwardResult {
	/** (n, V): the logits after each token that was fed. */
	readonly logits: Float32Array;
	readonly state: StreamState;
}

/** A model with weights in a runtime of its own, ready to take tokens. Write the weights through `session`; `close` at the end. */
export class Stream {
	readonly model: Model;
	readonly session: Session;
	readonly #shape: StreamShape;
	/** The state whose caches the runtime holds. */
	#resident: StreamState | null = null;
	readonly #columns: number;
	readonly #programs = new Map<string, ProgramHandle>();

	/** @param runtime a runtime of its own, not shared with training */
	constructor(model: Model, runtime: Runtime) {
		this.model = model;
		this.session = new Session(runtime, model.parameters);
		const { config } = model;
		this.#shape = { config, parameters: model.parameters, window: blockOf(config) };
		this.#columns = outputSize(config);
	}

	/** w: tokens per block. */
	get window(): number {
		return this.#shape.window;
	}

	/** Tokens that can be fed in all: bounded only where positions are absolute. */
	get limit(): number {
		const { config } = this.model;
		return config.kind === "transformer" || config.positions === "absolute" ? config.length : Number.POSITIVE_INFINITY;
	}

	/**
	 * Feed tokens after `state`.
	 * @param tokens ids in [0, V)
	 * @throws RangeError where the model's positions end
	 */
	forward(tokens: ArrayLike<number>, state: StreamState = StreamState.start): ForwardResult {
		if (state.position + tokens.length > this.limit) {
			throw new RangeError(
				`[stream] this model has positions for ${this.limit} tokens; asked for ${state.position + tokens.length}`,
			);
		}
		const logits = new Float32Array(tokens.length * this.#columns);
		let at = 0;
		let now = state;
		while (at < tokens.length) {
			const whole = now.partial.length === 0 && this.#isRecurrent ? Math.floor((tokens.length - at) / this.window) : 0;
			const count = whole >= blocksAtOnce ? blocksAtOnce : whole > 0 ? 1 : 0;
			const taken = count > 0 ? count * this.window : 1;
			const target = logits.subarray(at * this.#columns, (at + taken) * this.#columns);
			now = count > 0 ? this.#blocks(tokens, at, count, now, target) : this.#row(tokens[at], now, target);
			at += taken;
		}
		if (tokens.length === 0) return { logits, state };
		const end = new StreamState(now.position, now.boundary, now.partial, logits.slice(-this.#columns));
		if (this.#resident === now) this.#resident = end;
		return { logits, state: end };
	}

	/**
	 * Logits of the last block (the partial one, or the whole one just ended) when the sequence ends here: y_K = T(s_K). They differ
	 * from those of `forward` only for accumulate, whose equations read the last block out differently.
	 * @param lastBlock ids of that block
	 * @param before the state before it
	 */
	finish(lastBlock: ArrayLike<number>, before: StreamState): Float32Array {
		const rows = lastBlock.length;
		if (before.partial.length > 0 || rows < 1 || rows > this.window) {
			throw new RangeError(
				`[stream] expected 1 to ${this.window} tokens after a whole block, got ${rows} after ${before.partial.length} more`,
			);
		}
		if (this.model.config.kind !== "recurrent") return this.forward(lastBlock, before).logits;
		const first = before.boundary === null;
		const program = this.#program(`final ${rows} ${first}`, (layout) => finalProgram(this.#shape, rows, first, layout));
		this.#writeIds(program, lastBlock, 0, rows, before.position);
		if (before.boundary) this.#writeBoundary(program, before.boundary);
		this.#run(program);
		const logits = new Float32Array(rows * this.#columns);
		this.#readOutput(program, "logits", logits);
		return logits;
	}

	/** Give the runtime back; states taken from the stream stay good. */
	async close(): Promise<void> {
		await this.session.close();
	}

	get #isRecurrent(): boolean {
		return this.model.config.kind !== "transformer";
	}

	#row(token: number, state: StreamState, logits: Float32Array): StreamState {
		this.#makeResident(state);
		const first = state.boundary === null;
		const program = this.#program(`row ${first}`, (layout) => rowProgram(this.#shape, first, layout));
		const index = state.partial.length;
		const slot = first ? index : this.window + index;
		const position = this.model.config.positions === "window" ? index : state.position;
		const inputs = { id: token, position, index, seen: index + 1, slot, attended: slot + 1 };
		for (const [name, value] of Object.entries(inputs)) this.#writeInput(program, name, Int32Array.of(value));
		this.#run(program);
		this.#readOutput(program, "logits", logits);
		const partial = [...state.partial, token];
		let next = new StreamState(state.position + 1, state.boundary, partial);
		if (partial.length === this.window && this.#isRecurrent) {
			next = new StreamState(next.position, this.#readCaches(program), []);
			this.#run(this.#program("turn", (layout) => turnProgram(this.#shape, layout)));
		}
		this.#resident = next;
		return next;
	}

	/** Make the runtime's caches those of `state`: from its boundary, then its partial block again. */
	#makeResident(state: StreamState): void {
		if (this.#resident === state) return;
		const start = new StreamState(state.position - state.partial.length, state.boundary, []);
		if (state.boundary) {
			const program = this.#program("restore", (layout) => restoreProgram(this.#shape, layout));
			this.#writeBoundary(program, state.boundary);
			this.#run(program);
		}
		this.#resident = start;
		const scratch = new Float32Array(this.#columns);
		let now = start;
		for (const token of state.partial) now = this.#row(token, now, scratch);
		this.#resident = state;
	}

	#blocks(tokens: ArrayLike<number>, at: number, count: number, state: StreamState, logits: Float32Array): StreamState {
		const first = state.boundary === null;
		const program = this.#program(`blocks ${count} ${first}`, (layout) =>
			blocksProgram(this.#shape, count, first, layout),
		);
		this.#writeIds(program, tokens, at, count * this.window, state.position);
		if (state.boundary) this.#writeBoundary(program, state.boundary);
		this.#run(program);
		this.#readOutput(program, "logits", logits);
		const boundary = this.#eachLayer((l, size, accumulates) => ({
			s: this.#readOutput(program, `${l}.s`, new Float32Array(size)),
			f: accumulates ? this.#readOutput(program, `${l}.f`, new Float32Array(size)) : null,
		}));
		return new StreamState(state.position + count * this.window, boundary, []);
	}

	/** The boundary that a whole block leaves in the caches: its rows s, and f. */
	#readCaches(program: ProgramHandle): LayerBoundary[] {
		const read = (name: string, size: number) => {
			const words = new Float32Array(size);
			this.session.runtime.read("state", place(program.program.states, name), words);
			return words;
		};
		return this.#eachLayer((l, size, accumulates) => ({
			s: read(`${l}.s`, size),
			f: accumulates ? read(`${l}.f`, size) : null,
		}));
	}

	#eachLayer(make: (l: number, size: number, accumulates: boolean) => LayerBoundary): LayerBoundary[] {
		const { config } = this.model;
		const size = this.window * stateWidth(config);
		return Array.from({ length: config.layers }, (_, l) => make(l, size, config.variant === "accumulate"));
	}

	#writeBoundary(program: ProgramHandle, boundary: readonly LayerBoundary[]): void {
		boundary.forEach(({ s, f }, l) => {
			this.#writeInput(program, `${l}.s`, s);
			if (f) this.#writeInput(program, `${l}.f`, f);
		});
	}

	#writeIds(program: ProgramHandle, tokens: ArrayLike<number>, at: number, count: number, position: number): void {
		const window = this.model.config.positions === "window" ? this.window : Number.POSITIVE_INFINITY;
		this.#writeInput(
			program,
			"ids",
			Int32Array.from({ length: count }, (_, i) => tokens[at + i]),
		);
		this.#writeInput(
			program,
			"positions",
			Int32Array.from({ length: count }, (_, i) => (position + i) % window),
		);
	}

	#writeInput(program: ProgramHandle, name: string, words: Float32Array | Int32Array): void {
		const slot = program.program.inputs.get(name);
		if (slot) this.session.runtime.write("inputs", slot.offset, words);
	}

	#readOutput(program: ProgramHandle, name: string, words: Float32Array): Float32Array {
		this.session.runtime.read("outputs", place(program.program.outputs, name), words);
		return words;
	}

	/** The program for `key`, with room for what it reads and writes. */
	#program(key: string, build: (layout: Layout) => Program): ProgramHandle {
		const known = this.#programs.get(key);
		if (known) return known;
		const handle = this.session.program(key, build);
		const { inputWords, outputWords, stateWords } = handle.program;
		this.session.runtime.reserve("inputs", inputWords);
		this.session.runtime.reserve("outputs", outputWords);
		this.session.runtime.reserve("state", stateWords);
		this.#programs.set(key, handle);
		return handle;
	}

	#run(program: ProgramHandle): void {
		this.session.runSync({
			seed: 0n,
			step: 0,
			slices: 0,
			gradientWords: 0,
			microBatches: [],
			updates: [{ program, stateOffset: 0 }],
		});
	}
}

/** w: a plain transformer has one block, a minGRU carries its state from token to token. */
function blockOf(config: ModelConfig): number {
	if (config.kind === "recurrent") return evaluationWindow(config);
	return config.kind === "transformer" ? config.length : 1;
}

function place(slots: ReadonlyMap<string, { offset: number }>, name: string): number {
	const slot = slots.get(name);
	if (!slot) throw new Error(`[stream] the program has no ${name}`);
	return slot.offset;
}
