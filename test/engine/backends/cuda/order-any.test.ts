/** The order of commands held to its definition, word by word, on programs drawn at random. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Command } from "../../../../src/engine/backends/cuda/lower-types.ts";
import { dependenciesOf, type Group } from "../../../../src/engine/backends/cuda/order.ts";
import type { Operand } from "../../../../src/engine/program.ts";

const ld = 6;
const command: Command = {
	kind: "zero",
	operand: { space: "arena", offset: 0, rows: 1, cols: 1, ld: 1, dtype: "f32" },
	label: "",
};

/** Blocks of one matrix with rows of 6 words, or whole stretches, in a small space, so that many meet. */
const operand: fc.Arbitrary<Operand> = fc
	.record({ row: fc.nat(5), column: fc.nat(ld - 1), rows: fc.integer({ min: 1, max: 4 }), wide: fc.boolean() })
	.chain((place) => fc.integer({ min: 1, max: ld - place.column }).map((cols) => ({ ...place, cols })))
	.map(({ row, column, rows, cols, wide }) => ({
		...{ space: "arena" as const, offset: row * ld + column, rows, cols: wide ? ld : cols, ld, dtype: "f32" as const },
	}));
const operands = (maxLength: number) => fc.array(operand, { maxLength });
const program: fc.Arbitrary<Group[]> = fc.array(
	fc.record({ commands: fc.constant([command]), reads: operands(2), writes: operands(2) }),
	{ minLength: 1, maxLength: 12 },
);

type Words = ReadonlySet<number>;

/** @param between count what lies between the rows too */
function wordsOf(list: Group["reads"], between: boolean): Words {
	const words = new Set<number>();
	for (const each of list) {
		if (!each) continue;
		const end = (each.rows - 1) * each.ld + each.cols;
		for (let word = 0; word < end; word++) if (between || word % each.ld < each.cols) words.add(each.offset + word);
	}
	return words;
}

function meet(a: Words, b: Words): boolean {
	return [...a].some((word) => b.has(word));
}

/** Does the second group read or overwrite what the first wrote, or overwrite what it read? */
function clashes(groups: readonly Group[], between = false): (first: number, second: number) => boolean {
	const reads = groups.map((each) => wordsOf(each.reads, between));
	const writes = groups.map((each) => wordsOf(each.writes, between));
	return (i, j) => meet(writes[i], reads[j]) || meet(writes[i], writes[j]) || meet(reads[i], writes[j]);
}

/** For each command all that come before it, directly or through others. */
function ancestorsOf(dependencies: readonly (readonly number[])[]): Set<number>[] {
	const all: Set<number>[] = [];
	for (const needed of dependencies) all.push(new Set(needed.flatMap((each) => [each, ...all[each]])));
	return all;
}

test("commands come after all whose words they touch, wait for no others, and name none twice", () => {
	fc.assert(
		fc.property(program, (groups) => {
			const dependencies = dependenciesOf(groups);
			const ancestors = ancestorsOf(dependencies);
			const must = clashes(groups);
			// Operands with rows of other lengths count whole.
			const may = clashes(groups, true);
			dependencies.forEach((needed, j) => {
				for (let i = 0; i < j; i++) if (must(i, j)) expect(ancestors[j]).toContain(i);
				for (const i of needed) {
					expect(i).toBeLessThan(j);
					expect(may(i, j)).toBe(true);
					expect(needed.some((other) => ancestors[other].has(i))).toBe(false);
				}
			});
		}),
		{ numRuns: 500, seed: 1 },
	);
});
