import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Heap } from "../../src/base/heap.ts";

describe("Heap", () => {
	test("gives items back in order, pushes and pops interleaved", () => {
		const step = fc.oneof(fc.integer({ min: -20, max: 20 }), fc.constant("pop" as const));
		fc.assert(
			fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
				const heap = new Heap<number>((a, b) => a < b);
				const sorted: number[] = [];
				for (const value of steps) {
					if (value === "pop") expect(heap.pop()).toBe(sorted.shift());
					else {
						heap.push(value);
						sorted.push(value);
						sorted.sort((a, b) => a - b);
					}
					expect(heap.size).toBe(sorted.length);
				}
			}),
		);
	});
});
