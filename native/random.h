// Dropout masks: Philox-4x32-10 (Salmon et al., SC 2011) on vectors of counters, as docs/engine.md defines it.
#pragma once
#include "vector.h"

namespace rivulet::RIVULET_ISA {

typedef uint64_t vu64 __attribute__((vector_size(4 * RIVULET_WIDTH)));

// 64-bit products of the even 32-bit lanes.
RIVULET_INLINE vu64 multiplyEven(vu a, vu b) {
#if RIVULET_WIDTH == 16 && defined(__AVX512F__)
	return (vu64)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif RIVULET_WIDTH == 8 && defined(__AVX2__)
	return (vu64)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif RIVULET_WIDTH == 4 && defined(__SSE2__)
	return (vu64)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
	return ((vu64)a & 0xffffffffu) * ((vu64)b & 0xffffffffu);
#endif
}

RIVULET_INLINE void multiply(vu a, uint32_t b, vu& low, vu& high) {
	vu64 even = multiplyEven(a, splat(b)), odd = multiplyEven((vu)((vu64)a >> 32), splat(b));
	const vu64 lowHalf = vu64{} + 0xffffffffu;
	low = (vu)((even & lowHalf) | (odd << 32));
	high = (vu)((even >> 32) | (odd & ~lowHalf));
}

// Ten rounds on `width` counters at once, in place.
RIVULET_INLINE void philox(vu counter[4], uint32_t key0, uint32_t key1) {
	for (int round = 0; round < 10; round++) {
		vu low0, high0, low1, high1;
		multiply(counter[0], 0xd2511f53u, low0, high0);
		multiply(counter[2], 0xcd9e8d57u, low1, high1);
		counter[0] = high1 ^ counter[1] ^ key0;
		counter[2] = high0 ^ counter[3] ^ key1;
		counter[1] = low1;
		counter[3] = low0;
		key0 += 0x9e3779b9u;
		key1 += 0xbb67ae85u;
	}
}

// The mask of one dropout op in one call.
struct Dropout {
	uint32_t key[2], id, threshold;
	float scale;

	// p in [0, 1): the probability of zero. p = 1 drops everything.
	__attribute__((always_inline)) Dropout(const Call& call, float p, int32_t dropoutId) {
		key[0] = call.seed[0];
		key[1] = call.seed[1] ^ call.step;
		id = (uint32_t)dropoutId;
		threshold = p >= 1 ? 0xffffffffu : (uint32_t)((double)p * 4294967296.0);
		scale = p >= 1 ? 0 : 1.0f / (1.0f - p);
	}

	// out[c] = 0 or 1 / (1 - p) for c in [0, n), for row `row` of sequence `sequence`.
	__attribute__((always_inline)) void row(uint32_t sequence, uint32_t row, int32_t n, float* out) const {
		const int32_t quarter = (n + 3) / 4;
		for (int32_t lane = 0; lane < quarter; lane += width) {
			vu words[4] = {(vu)(lanes() + lane), splat(row), splat(sequence), splat(id)};
			philox(words, key[0], key[1]);
			for (int32_t j = 0; j < 4; j++) {
				int32_t first = j * quarter + lane, end = (j + 1) * quarter;
				int32_t count = (end < n ? end : n) - first;
				if (count <= 0) break;
				vf keep = select((vi)(words[j] >= threshold), splat(scale), vf{});
				store(out + first, keep, count < width ? count : width);
			}
		}
	}
};

// Where row r of a group-major matrix stands: groups of rowsPerSequence rows of each of `sequences` sequences.
struct Place {
	uint32_t sequence, row;
};
RIVULET_INLINE Place placeOf(int32_t r, int32_t rowsPerSequence, int32_t sequences, uint32_t firstSequence) {
	int32_t block = r / rowsPerSequence;
	return {firstSequence + (uint32_t)(block % sequences), (uint32_t)(block / sequences * rowsPerSequence + r % rowsPerSequence)};
}

}  // namespace rivulet::RIVULET_ISA
