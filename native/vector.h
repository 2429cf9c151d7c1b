// Portable SIMD: one register of RIVULET_WIDTH floats (vf) or integers (vi, vu), through the vector extensions of GCC and clang.
// Plain operators (+ - * / < > & | ^ << >>) work lane by lane; comparisons give vi masks (-1 or 0). a * b + c is contracted
// to a fused multiply-add where the machine has one. What the extensions lack is below; functions of x are in math.h.
#pragma once
#include "kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif

// Lanes of a and b (numbered on from those of a) in the given order; any vectors of floats.
#ifdef __clang__
#define RIVULET_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define RIVULET_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, decltype((a) < (b)){__VA_ARGS__})
#endif

namespace rivulet::RIVULET_ISA {

constexpr int width = RIVULET_WIDTH;

typedef float vf __attribute__((vector_size(4 * RIVULET_WIDTH)));
typedef int32_t vi __attribute__((vector_size(4 * RIVULET_WIDTH)));
typedef uint32_t vu __attribute__((vector_size(4 * RIVULET_WIDTH)));

// x in every lane. (x - 0 rather than x + 0: exact for -0 too, so the compiler drops it.)
RIVULET_INLINE vf splat(float x) { return x - vf{}; }
RIVULET_INLINE vi splat(int32_t x) { return x - vi{}; }
RIVULET_INLINE vu splat(uint32_t x) { return x - vu{}; }

// Bits of one as the other; convert() changes the value's type, towards zero.
RIVULET_INLINE vi bits(vf x) { return (vi)x; }
RIVULET_INLINE vf fromBits(vi x) { return (vf)x; }
RIVULET_INLINE vf convert(vi x) { return __builtin_convertvector(x, vf); }
RIVULET_INLINE vi convert(vf x) { return __builtin_convertvector(x, vi); }

// Lane numbers 0, 1, 2 ...
RIVULET_INLINE vi lanes() {
	vi v;
	for (int i = 0; i < width; i++) v[i] = i;
	return v;
}

// Unaligned.
RIVULET_INLINE vf load(const float* p) {
	vf v;
	__builtin_memcpy(&v, p, sizeof v);
	return v;
}
RIVULET_INLINE void store(float* p, vf v) { __builtin_memcpy(p, &v, sizeof v); }
RIVULET_INLINE vi loadInts(const int32_t* p) { return (vi)load((const float*)p); }
RIVULET_INLINE void storeInts(int32_t* p, vi v) { store((float*)p, (vf)v); }

// The first n lanes only, 0 <= n <= width: the rest read as zero, and are not written. n == width takes the fast path.
RIVULET_INLINE vf load(const float* p, int n) {
#if RIVULET_WIDTH == 16 && defined(__AVX512F__)
	return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
	if (n >= width) return load(p);
#if RIVULET_WIDTH == 8 && defined(__AVX2__)
	return (vf)_mm256_maskload_ps(p, (__m256i)(lanes() < splat((int32_t)n)));
#else
	vf v = {};
	for (int i = 0; i < width; i++)
		if (i < n) v[i] = p[i];
	return v;
#endif
#endif
}
RIVULET_INLINE void store(float* p, vf v, int n) {
#if RIVULET_WIDTH == 16 && defined(__AVX512F__)
	_mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
	if (n >= width) return store(p, v);
#if RIVULET_WIDTH == 8 && defined(__AVX2__)
	_mm256_maskstore_ps(p, (__m256i)(lanes() < splat((int32_t)n)), (__m256)v);
#else
	for (int i = 0; i < width; i++)
		if (i < n) p[i] = v[i];
#endif
#endif
}

// mask ? a : b, lane by lane; mask is a comparison's result.
RIVULET_INLINE vf select(vi mask, vf a, vf b) { return mask ? a : b; }
RIVULET_INLINE vi select(vi mask, vi a, vi b) { return mask ? a : b; }
// b where the comparison fails, so a NaN in b comes through.
RIVULET_INLINE vf max(vf a, vf b) { return select(a > b, a, b); }
RIVULET_INLINE vf min(vf a, vf b) { return select(a < b, a, b); }
RIVULET_INLINE vf abs(vf x) { return fromBits(bits(x) & 0x7fffffff); }

RIVULET_INLINE vf sqrt(vf x) {
#if RIVULET_WIDTH == 16 && defined(__AVX512F__)
	return (vf)_mm512_sqrt_ps((__m512)x);
#elif RIVULET_WIDTH == 8 && defined(__AVX__)
	return (vf)_mm256_sqrt_ps((__m256)x);
#elif RIVULET_WIDTH == 4 && defined(__SSE2__)
	return (vf)_mm_sqrt_ps((__m128)x);
#elif RIVULET_WIDTH == 4 && defined(__aarch64__)
	return (vf)vsqrtq_f32((float32x4_t)x);
#elif RIVULET_WIDTH == 4 && defined(__wasm_simd128__)
	return (vf)wasm_f32x4_sqrt((v128_t)x);
#else
	for (int i = 0; i < width; i++) x[i] = __builtin_sqrtf(x[i]);
	return x;
#endif
}

// Lane i + half in lane i, for each half of the lanes in turn: f(v, upper) folds a register to its first lane.
template <typename F>
RIVULET_INLINE float fold(vf v, F f) {
#if RIVULET_WIDTH == 16
	v = f(v, RIVULET_SHUFFLE(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
	v = f(v, RIVULET_SHUFFLE(v, v, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7));
	v = f(v, RIVULET_SHUFFLE(v, v, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3));
	v = f(v, RIVULET_SHUFFLE(v, v, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1));
#elif RIVULET_WIDTH == 8
	v = f(v, RIVULET_SHUFFLE(v, v, 4, 5, 6, 7, 4, 5, 6, 7));
	v = f(v, RIVULET_SHUFFLE(v, v, 2, 3, 2, 3, 2, 3, 2, 3));
	v = f(v, RIVULET_SHUFFLE(v, v, 1, 1, 1, 1, 1, 1, 1, 1));
#else
	v = f(v, RIVULET_SHUFFLE(v, v, 2, 3, 2, 3));
	v = f(v, RIVULET_SHUFFLE(v, v, 1, 1, 1, 1));
#endif
	return v[0];
}

// Sum and largest of all lanes, halves first: always in the same order.
RIVULET_INLINE float sum(vf v) {
	return fold(v, [](vf a, vf b) { return a + b; });
}
RIVULET_INLINE float largest(vf v) {
	return fold(v, [](vf a, vf b) { return max(a, b); });
}

}  // namespace rivulet::RIVULET_ISA
