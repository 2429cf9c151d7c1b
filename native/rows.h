// Loops over a row a vector at a time, and sums and maxima of rows. Sums add in an order that depends only on the length.
#pragma once
#include "vector.h"

namespace rivulet::RIVULET_ISA {

// f(c, count) for c = 0, width, 2 width ..., count = lanes that are inside the row.
template <typename F>
RIVULET_INLINE void eachVector(int64_t n, F f) {
	int64_t c = 0;
	for (; c + width <= n; c += width) f(c, width);
	if (c < n) f(c, (int)(n - c));
}

// Sum of all lanes of f(c, count), which must be zero in lanes beyond count.
template <typename F>
RIVULET_INLINE float rowSum(int64_t n, F f) {
	vf total[4] = {};
	int64_t c = 0;
	for (; c + 4 * width <= n; c += 4 * width)
		for (int i = 0; i < 4; i++) total[i] += f(c + i * width, width);
	for (; c + width <= n; c += width) total[0] += f(c, width);
	if (c < n) total[1] += f(c, (int)(n - c));
	return sum((total[0] + total[1]) + (total[2] + total[3]));
}

// The same for long rows: single precision within a stretch of `stretch` columns, double between them.
template <typename F>
RIVULET_INLINE double longSum(int64_t n, F f) {
	constexpr int64_t stretch = 4096;
	double total = 0;
	for (int64_t begin = 0; begin < n; begin += stretch)
		total += rowSum(n - begin < stretch ? n - begin : stretch, [&](int64_t c, int count) { return f(begin + c, count); });
	return total;
}

constexpr float lowest = -3.402823466e38f;

// Largest of x[0..n); `lowest` when n = 0.
RIVULET_INLINE float rowLargest(const float* x, int64_t n) {
	vf found[4] = {splat(lowest), splat(lowest), splat(lowest), splat(lowest)};
	int64_t c = 0;
	for (; c + 4 * width <= n; c += 4 * width)
		for (int i = 0; i < 4; i++) found[i] = max(found[i], load(x + c + i * width));
	for (; c + width <= n; c += width) found[0] = max(found[0], load(x + c));
	float result = largest(max(max(found[0], found[1]), max(found[2], found[3])));
	for (; c < n; c++) result = x[c] > result ? x[c] : result;
	return result;
}

}  // namespace rivulet::RIVULET_ISA
