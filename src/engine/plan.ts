/**
 * From a graph to a Program: every value gets a place, views and most concatenations become names for parts of a
 * buffer, dead memory is used again, and the nodes become a flat list of kernel calls.
 */
import { ArenaPlanner, type Storage } from "./arena.ts";
import type { Graph, Node, Shape, Tensor } from "./graph.ts";
import type { Space } from "./op.ts";
import { opNamed } from "./ops/index.ts";
import type { Instruction, Operand, Program, Slot } from "./program.ts";

/** Where parameters and shared scalars lie; fixed for a runtime. Offsets in words. */
export interface Layout {
	parameter(name: string): number;
	shared(name: string, words: number): number;
}

/** A place outside the arena that a value must be written to. */
export interface Binding {
	space: Space;
	offset: number;
}

/** What a Program is to be: its kind, what is read from it, where results go. */
export interface PlanOptions {
	kind: Program["kind"];
	layout: Layout;
	/** Values the host reads, by name. */
	outputs: ReadonlyMap<string, Tensor>;
	/** Values written to a fixed place (gradients); they count as results. */
	bindings?: ReadonlyMap<Tensor, Binding>;
}

/** A value's memory: in the arena (inside a storage) or in another space; `offset` from the base of either. */
interface Place {
	storage: Storage | null;
	space: Space;
	offset: number;
	ld: number;
}

/** Plan `graph` into a Program. Nodes that no result needs are left out. */
export function plan(graph: Graph, options: PlanOptions): Program {
	return new Planner(graph, options).program();
}

class Planner {
	readonly #options: PlanOptions;
	readonly #nodes: Node[];
	readonly #places = new Map<Tensor, Place>();
	readonly #arena = new ArenaPlanner();
	/** Index of the last node that reads a value, directly or through views. */
	readonly #lastUse = new Map<Tensor, number>();
	/** Concatenated values that could not be written in place: they are copied when the concatenation runs. */
	readonly #copies = new Map<Node, { from: Tensor; to: Place }[]>();
	readonly #constants: Int32Array[] = [];
	readonly #constantOffsets = new Map<Tensor, number>();
	#constantWords = 0;
	readonly #inputs: SlotTable;
	readonly #outputs = new SlotTable();
	readonly #states: SlotTable;
	readonly #shared = new Map<string, Slot>();

	constructor(graph: Graph, options: PlanOptions) {
		this.#options = options;
		this.#nodes = liveNodes(graph, [...options.outputs.values(), ...(options.bindings?.keys() ?? [])]);
		this.#inputs = SlotTable.of(graph.inputs);
		this.#states = SlotTable.of(graph.states);
	}

	program(): Program {
		this.#bindResults();
		this.#findLastUses();
		this.#placeConcatenations();
		this.#placeRest();
		this.#extendLifetimes();
		const arenaWords = this.#arena.assign();
		const instructions = this.#emit();
		let flops = 0;
		for (const { op, inputs, outputs, attributes } of instructions) {
			flops += op.flops(inputs.map(operandShape), outputs.map(operandShape), attributes);
		}
		const constants = new Int32Array(this.#constantWords);
		let at = 0;
		for (const words of this.#constants) {
			constants.set(words, at);
			at += align(words.length);
		}
		return {
			kind: this.#options.kind,
			instructions,
			constants,
			arenaWords,
			inputWords: this.#inputs.words,
			outputWords: this.#outputs.words,
			stateWords: this.#states.words,
			inputs: this.#inputs.slots,
			outputs: this.#outputs.slots,
			states: this.#states.slots,
			shared: this.#shared,
			flops,
		};
	}

	/** Results that a node computes outright are computed where they are wanted; the rest is copied at the end. */
	#bindResults(): void {
		for (const [tensor, { space, offset }] of this.#options.bindings ?? []) {
			this.#places.set(tensor, { storage: null, space, offset, ld: tensor.shape[1] });
		}
		for (const [name, tensor] of this.#options.outputs) {
			const { offset } = this.#outputs.add(name, tensor);
			const place: Place = { storage: null, space: "outputs", offset, ld: tensor.shape[1] };
			if (isOwned(tensor) && !this.#places.has(tensor)) this.#places.set(tensor, place);
			else this.#copyAtEnd(tensor, place);
		}
	}

	#copyAtEnd(from: Tensor, to: Place): void {
		const copied: Tensor = { id: -1, shape: from.shape, dtype: from.dtype, source: from.source };
		const attributes = { accumulate: 0 };
		const node: Node = {
			op: opNamed("copy"),
			inputs: [from],
			attributes,
			outputs: [copied],
			scope: { label: "output", segment: -1 },
		};
		this.#places.set(copied, to);
		this.#nodes.push(node);
	}

	#findLastUses(): void {
		const use = (tensor: Tensor, index: number) => {
			const known = this.#lastUse.get(tensor) ?? -1;
			if (index > known) this.#lastUse.set(tensor, index);
		};
		for (let i = this.#nodes.length - 1; i >= 0; i--) {
			const node = this.#nodes[i];
			// A view's uses are uses of what it names; a concatenation, besides, is made at its own place in the order.
			const last = node.op.view
				? Math.max(this.#lastUse.get(node.outputs[0]) ?? -1, node.op.view.startsWith("concat") ? i : -1)
				: i;
			for (const input of node.inputs) if (input) use(input, last);
		}
	}

	/** Give the parts of a concatenation their place inside it. Backwards, so that nested ones find their outer place. */
	#placeConcatenations(): void {
		for (let i = this.#nodes.length - 1; i >= 0; i--) {
			const node = this.#nodes[i];
			const view = node.op.view;
			if (view !== "concatRows" && view !== "concatColumns") continue;
			const output = node.outputs[0];
			const outer = this.#places.get(output) ?? this.#newPlace(output);
			this.#places.set(output, outer);
			const copies: { from: Tensor; to: Place }[] = [];
			let start = 0;
			for (const input of node.inputs) {
				if (!input) continue;
				const step = view === "concatRows" ? start * outer.ld : start;
				const place: Place = { ...outer, offset: outer.offset + step };
				if (canBePlaced(input) && !this.#places.has(input)) this.#places.set(input, place);
				else copies.push({ from: input, to: place });
				start += input.shape[view === "concatRows" ? 0 : 1];
			}
			this.#copies.set(node, copies);
		}
	}

	/** Slices name a part of their source; other values take over a dying input's memory where the op allows, or get their own. */
	#placeRest(): void {
		this.#nodes.forEach((node, i) => {
			if (node.op.view === "rows" || node.op.view === "columns") {
				const source = this.#place(node.inputs[0] as Tensor);
				const step = node.op.view === "rows" ? node.attributes.start * source.ld : node.attributes.start;
				this.#places.set(node.outputs[0], { ...source, offset: source.offset + step });
				return;
			}
			for (const [input, output] of node.op.updates ?? []) {
				this.#places.set(node.outputs[output], this.#place(node.inputs[input] as Tensor));
			}
			node.outputs.forEach((output, index) => {
				if (this.#places.has(output) || !this.#isUsed(output)) return;
				this.#places.set(output, this.#inPlace(node, index, i) ?? this.#newPlace(output));
			});
		});
	}

	#inPlace(node: Node, output: number, index: number): Place | null {
		for (const [i, o] of node.op.inPlace ?? []) {
			const input = node.inputs[i];
			if (o !== output || !input || !isOwned(input) || this.#lastUse.get(input) !== index) continue;
			const place = this.#place(input);
			const same = input.shape[0] === node.outputs[o].shape[0] && input.shape[1] === node.outputs[o].shape[1];
			const again = node.inputs.some((other, j) => j !== i && other === input);
			if (same && !again && place.storage && place.storage.owner === input) {
				place.storage.owner = node.outputs[o];
				return place;
			}
		}
		return null;
	}

	#extendLifetimes(): void {
		const touch = (tensor: Tensor | null, index: number) => {
			const storage = tensor && this.#places.get(tensor)?.storage;
			if (storage) this.#arena.touch(storage, index);
		};
		this.#nodes.forEach((node, i) => {
			if (node.op.view === "rows" || node.op.view === "columns") return;
			for (const copy of this.#copies.get(node) ?? []) touch(copy.from, i);
			if (node.op.view) return touch(node.outputs[0], i);
			for (const input of node.inputs) touch(input, i);
			for (const output of node.outputs) touch(output, i);
		});
	}

	#emit(): Instruction[] {
		const result: Instruction[] = [];
		const copy = opNamed("copy");
		for (const node of this.#nodes) {
			const label = node.scope.label;
			if (node.op.view) {
				for (const { from, to } of this.#copies.get(node) ?? []) {
					const inputs = [this.#operand(from)];
					const outputs = [toOperand(from, to)];
					result.push({ op: copy, inputs, outputs, attributes: { accumulate: 0 }, parts: 1, label });
				}
				continue;
			}
			const inputs = node.inputs.map((input) => input && this.#operand(input));
			const outputs = node.outputs.map((output) => (this.#places.has(output) ? this.#operand(output) : null));
			result.push({ op: node.op, inputs, outputs, attributes: node.attributes, parts: this.#parts(node), label });
		}
		return result;
	}

	/** Number of parts of an instruction of an update program: by the work it does, never by the number of threads. */
	#parts(node: Node): number {
		if (this.#options.kind === "body" || !node.op.parts) return 1;
		const shapes = (list: (Tensor | null)[]) => list.map((tensor) => tensor?.shape ?? null);
		const limit = node.op.parts(shapes(node.inputs), shapes(node.outputs), node.attributes);
		if (node.op.exactParts) return limit;
		const work = node.op.flops(shapes(node.inputs), shapes(node.outputs), node.attributes);
		return Math.max(1, Math.min(limit, 16, Math.floor(work / 50_000)));
	}

	#place(tensor: Tensor): Place {
		const known = this.#places.get(tensor);
		if (known) return known;
		const { source, shape } = tensor;
		const at = (space: Space, offset: number): Place => ({ storage: null, space, offset, ld: shape[1] });
		let place: Place;
		switch (source.kind) {
			case "parameter":
				place = at("parameters", this.#options.layout.parameter(source.name));
				break;
			case "shared":
				place = at("shared", this.#options.layout.shared(source.name, shape[0] * shape[1]));
				this.#shared.set(source.name, { offset: place.offset, shape, dtype: tensor.dtype });
				break;
			case "input":
				place = at("inputs", this.#inputs.offset(source.name));
				break;
			case "state":
				place = at("state", this.#states.offset(source.name));
				break;
			case "buffer":
				place = at(source.space, source.offset);
				break;
			case "constant":
				place = at("constants", this.#constant(tensor, source.data));
				break;
			default:
				throw new Error(
					`[plan] value of ${source.node.op.name} (${source.node.scope.label}) is used before it is made`,
				);
		}
		this.#places.set(tensor, place);
		return place;
	}

	#operand(tensor: Tensor): Operand {
		return toOperand(tensor, this.#place(tensor));
	}

	#newPlace(tensor: Tensor): Place {
		const storage = this.#arena.storage(tensor.shape[0] * tensor.shape[1], tensor);
		return { storage, space: "arena", offset: 0, ld: tensor.shape[1] };
	}

	#constant(tensor: Tensor, data: Float32Array | Int32Array): number {
		const known = this.#constantOffsets.get(tensor);
		if (known !== undefined) return known;
		const offset = this.#constantWords;
		this.#constants.push(data instanceof Int32Array ? data : new Int32Array(data.buffer, data.byteOffset, data.length));
		this.#constantOffsets.set(tensor, offset);
		this.#constantWords += align(data.length);
		return offset;
	}

	/** Optional second results (pre-activations, statistics) that nobody reads are not computed. */
	#isUsed(output: Tensor): boolean {
		const { source } = output;
		const optional = source.kind === "intermediate" && source.node.op.outputs[source.index].endsWith("?");
		return !optional || this.#lastUse.has(output);
	}
}

/** Named stretches of a space, one after the other, each on a 64-byte boundary. */
class SlotTable {
	readonly slots = new Map<string, Slot>();
	words = 0;

	static of(tensors: ReadonlyMap<string, Tensor>): SlotTable {
		const table = new SlotTable();
		for (const [name, tensor] of tensors) table.add(name, tensor);
		return table;
	}

	add(name: string, { shape, dtype }: Tensor): Slot {
		const slot: Slot = { offset: this.words, shape, dtype };
		this.slots.set(name, slot);
		this.words += align(shape[0] * shape[1]);
		return slot;
	}

	offset(name: string): number {
		return (this.slots.get(name) as Slot).offset;
	}
}

/** The nodes that `results` need, and those that update memory, in order. */
function liveNodes(graph: Graph, results: Iterable<Tensor>): Node[] {
	const needed = new Set<Tensor>(results);
	const live: Node[] = [];
	for (let i = graph.nodes.length - 1; i >= 0; i--) {
		const node = graph.nodes[i];
		if (!node.op.updates && !node.outputs.some((output) => needed.has(output))) continue;
		for (const input of node.inputs) if (input) needed.add(input);
		live.push(node);
	}
	return live.reverse();
}

/** Is the tensor computed by a kernel of its own (neither a leaf nor a view)? */
function isOwned({ source }: Tensor): boolean {
	return source.kind === "intermediate" && !source.node.op.view && !source.node.op.updates;
}

/** May the tensor be computed straight into a part of a concatenation? */
function canBePlaced({ source }: Tensor): boolean {
	if (source.kind !== "intermediate" || source.node.op.updates) return false;
	return source.node.op.view !== "rows" && source.node.op.view !== "columns";
}

function toOperand({ shape, dtype }: Tensor, { storage, space, offset, ld }: Place): Operand {
	return { space, offset: offset + (storage?.offset ?? 0), rows: shape[0], cols: shape[1], ld, dtype };
}

function operandShape(operand: Operand | null): Shape | null {
	return operand && [operand.rows, operand.cols];
}

/** Round up to 16 words (64 bytes). */
function align(words: number): number {
	return (words + 15) & ~15;
}
