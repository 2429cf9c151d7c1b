/** The state of a stream: a small immutable value. Keep one to roll back, use one twice to fork, write one to a file. */

/** What a layer carries from block to block, (w, C) each. */
export interface LayerBoundary {
	readonly s: Float32Array;
	readonly f: Float32Array | null;
}

/** What a stream carries from one call to the next. Never changed; every `forward` gives a new one. */
export class StreamState {
	/** Tokens consumed since the start. */
	readonly position: number;
	/** What whole blocks left; null in the first block. */
	readonly boundary: readonly LayerBoundary[] | null;
	/** Tokens of the block that is not yet whole, at most w of them. */
	readonly partial: readonly number[];
	/** (V): logits for the next token; null at the start. */
	readonly logits: Float32Array | null;

	constructor(
		position: number,
		boundary: readonly LayerBoundary[] | null,
		partial: readonly number[],
		logits: Float32Array | null = null,
	) {
		this.position = position;
		this.boundary = boundary;
		this.partial = partial;
		this.logits = logits;
	}

	/** Numbers carried: w C a layer (twice that where it accumulates) and the partial block. Independent of the position. */
	get size(): number {
		const carried = this.boundary ?? [];
		return carried.reduce((sum, { s, f }) => sum + s.length + (f?.length ?? 0), 0) + this.partial.length;
	}

	static readonly start = new StreamState(0, null, []);
}
