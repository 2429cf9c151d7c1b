import { describe, expect, test } from "vitest";
import { RandomSequence } from "../../src/base/random.ts";
import { NgramModel } from "../../src/studies/ngram-model.ts";

const ids = (text: string) => Int32Array.from(text, (letter) => letter.charCodeAt(0) - 97);

describe("an interpolated n-gram model", () => {
	test("by hand: after ab, of a b a c a b", () => {
		const model = new NgramModel(2, 4);
		model.count(ids("abacab"));
		// Unigrams: a 3, b 2, c 1; T = 3 of 4 kinds. Bigrams after a: b 2, c 1; T = 2.
		const b = (2 + 3 / 4) / 9;
		expect(model.probability(ids(""), 1)).toBeCloseTo(b, 12);
		expect(model.probability(ids("a"), 1)).toBeCloseTo((2 + 2 * b) / 5, 12);
		// What never stood after a: only the shorter context tells.
		const d = (0 + 3 / 4) / 9;
		expect(model.probability(ids("a"), 3)).toBeCloseTo((2 * d) / 5, 12);
		// A context never seen is passed over.
		expect(model.probability(ids("d"), 1)).toBeCloseTo(b, 12);
	});

	test("gives probabilities that sum to one after any context", () => {
		const random = new RandomSequence(5, 5, 5);
		const tokens = Int32Array.from({ length: 500 }, () => Math.min(random.below(6), random.below(6)));
		const model = new NgramModel(4, 6);
		model.count(tokens);
		for (let start = 0; start < 40; start++) {
			const context = tokens.subarray(start, start + (start % 5));
			const total = [0, 1, 2, 3, 4, 5].reduce((sum, token) => sum + model.probability(context, token), 0);
			expect(total).toBeCloseTo(1, 10);
		}
	});

	test("with more context predicts a text that repeats itself better", () => {
		const text = ids("abcabdabcabd".repeat(40));
		const loss = (order: number) => {
			const model = new NgramModel(order, 4);
			model.count(text);
			let nats = 0;
			for (let i = 6; i < text.length; i++) nats -= Math.log(model.probability(text.subarray(0, i), text[i]));
			return nats / (text.length - 6);
		};
		expect(loss(2)).toBeLessThan(loss(1));
		expect(loss(6)).toBeLessThan(loss(2) / 2);
	});
});
