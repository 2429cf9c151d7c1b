/** Conformance cases of the attention ops: ragged windows, heads of odd width, prefixes, dropout. */
import type { OpCase, Shape } from "./common.ts";

interface Sizes {
	name: string;
	windows: number;
	/** Rows of a window and of its prefix (0: none). */
	n: number;
	m: number;
	heads: number;
	/** Columns of a head. */
	size: number;
	p?: number;
	sequences?: number;
}

const sizes: Sizes[] = [
	{ name: "one row", windows: 1, n: 1, m: 0, heads: 1, size: 1 },
	{ name: "one row with prefix", windows: 3, n: 1, m: 1, heads: 2, size: 3 },
	{ name: "ragged", windows: 2, n: 7, m: 0, heads: 3, size: 5 },
	{ name: "prefix longer than window", windows: 2, n: 5, m: 9, heads: 2, size: 4 },
	{ name: "prefix shorter than window", windows: 1, n: 17, m: 3, heads: 1, size: 18 },
	{ name: "window of 16", windows: 3, n: 16, m: 16, heads: 2, size: 16 },
	{ name: "window of 33", windows: 1, n: 33, m: 0, heads: 1, size: 8 },
	{ name: "dropout", windows: 6, n: 5, m: 0, heads: 2, size: 4, p: 0.3, sequences: 3 },
	{ name: "dropout with prefix", windows: 4, n: 6, m: 7, heads: 3, size: 2, p: 0.5, sequences: 2 },
];

/** Several blocks of queries and keys in the native kernel; too many elements for finite differences. */
const blocks: Sizes[] = [
	{ name: "heads of 64", windows: 2, n: 19, m: 16, heads: 2, size: 64 },
	{ name: "heads of 20, dropout over blocks", windows: 2, n: 50, m: 21, heads: 2, size: 20, p: 0.2, sequences: 1 },
	{ name: "heads of 24 and 130 rows", windows: 1, n: 130, m: 0, heads: 1, size: 24 },
];

function caseOf({ name, windows, n, m, heads, size, p = 0, sequences = windows }: Sizes): OpCase {
	const width = heads * size;
	const prefix: Shape | null = m > 0 ? [windows * m, 2 * width] : null;
	const attributes = { windows, heads, p, dropoutId: 5, sequences };
	return { name, inputs: [[windows * n, width], [windows * n, 2 * width], prefix], attributes };
}

export const attentionCases: readonly OpCase[] = [
	...sizes.map(caseOf),
	...blocks.map((one) => ({ ...caseOf(one), differentiate: [] })),
];

export const attentionGradCases: readonly OpCase[] = attentionCases.map((one) => ({
	...one,
	inputs: [...one.inputs, one.inputs[0]],
}));

/** Streams that see one row, some rows and all rows of their cache. */
function decodeCase(name: string, streams: number, length: number, heads: number, size: number): OpCase {
	const width = heads * size;
	return {
		name,
		inputs: [
			[streams, width],
			[streams * length, 2 * width],
			[streams, 1],
		],
		attributes: { heads },
		fill: (index, i) => (index === 2 ? [1, length, Math.ceil(length / 2)][i % 3] : undefined),
	};
}

export const decodeAttentionCases: readonly OpCase[] = [
	decodeCase("one row", 1, 1, 1, 1),
	decodeCase("three streams", 3, 9, 3, 5),
	decodeCase("long", 2, 37, 2, 16),
];
