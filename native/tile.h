// Small dense products and transposes on memory as it stands, for kernels whose matrices are a few registers wide (attention).
// Large products with packing are in matmul.cpp.
#pragma once
#include "vector.h"

namespace rivulet::RIVULET_ISA {

// A vector of n floats where n may be less than a register, so that narrow heads waste nothing.
template <int n>
struct Lanes;
template <>
struct Lanes<4> {
	typedef float type __attribute__((vector_size(16)));
};
template <>
struct Lanes<8> {
	typedef float type __attribute__((vector_size(32)));
};
template <>
struct Lanes<16> {
	typedef float type __attribute__((vector_size(64)));
};

// The widest vector there is of at most n floats.
constexpr int upTo(int n) { return n < width ? n : width; }

template <int n>
RIVULET_INLINE typename Lanes<n>::type loadLanes(const float* p) {
	typename Lanes<n>::type v;
	__builtin_memcpy(&v, p, sizeof v);
	return v;
}
template <int n>
RIVULET_INLINE void storeLanes(float* p, typename Lanes<n>::type v) {
	__builtin_memcpy(p, &v, sizeof v);
}

// A sum over k < depth of x(r, k) m(k, c), where x(r, k) = x[r * row + k * step] and m(k, c) = m[k * ld + c].
struct Stretch {
	const float* x;
	ptrdiff_t row, step;
	const float* m;
	ptrdiff_t ld;
	int32_t depth;
};

#if RIVULET_WIDTH == 16 || defined(__aarch64__)
constexpr int registers = 32;
#else
constexpr int registers = 16;
#endif
constexpr int widestTile = registers == 32 ? 4 : 2;
// Rows of a tile that is `vectors` wide: the sums fill about half of the registers.
constexpr int tileRows(int vectors) { return vectors == 1 ? 8 : vectors == 2 ? registers / 4 : 4; }

// y (rows x vectors * n) = (or +=) the sum of the stretches, in their order, kept in registers.
template <int n, int rows, int vectors, int stretches>
static void tile(const Stretch* sum, int32_t row, int32_t column, float* y, ptrdiff_t ld, bool accumulate) {
	typedef typename Lanes<n>::type Vector;
	Vector total[rows][vectors];
	y += row * ld + column;
	if (accumulate) {
#pragma GCC unroll 8
		for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
			for (int v = 0; v < vectors; v++) total[r][v] = loadLanes<n>(y + r * ld + v * n);
	} else {
#pragma GCC unroll 8
		for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
			for (int v = 0; v < vectors; v++) total[r][v] = Vector{};
	}
	for (int s = 0; s < stretches; s++) {
		const ptrdiff_t xRow = sum[s].row, xStep = sum[s].step, mStep = sum[s].ld;
		const float* x = sum[s].x + row * xRow;
		const float* m = sum[s].m + column;
		for (int32_t k = sum[s].depth; k > 0; k--, x += xStep, m += mStep) {
			Vector right[vectors];
#pragma GCC unroll 4
			for (int v = 0; v < vectors; v++) right[v] = loadLanes<n>(m + v * n);
#pragma GCC unroll 8
			for (int r = 0; r < rows; r++) {
				Vector left = x[r * xRow] - Vector{};
#pragma GCC unroll 4
				for (int v = 0; v < vectors; v++) total[r][v] = total[r][v] + left * right[v];
			}
		}
	}
#pragma GCC unroll 8
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
		for (int v = 0; v < vectors; v++) storeLanes<n>(y + r * ld + v * n, total[r][v]);
}

template <int n, int rows, int vectors, int stretches>
static int32_t tilesDown(const Stretch* sum, int32_t row, int32_t end, int32_t column, float* y, ptrdiff_t ld, bool accumulate) {
	for (; row + rows <= end; row += rows) tile<n, rows, vectors, stretches>(sum, row, column, y, ld, accumulate);
	if constexpr (rows > 1) row = tilesDown<n, rows / 2, vectors, stretches>(sum, row, end, column, y, ld, accumulate);
	return row;
}

template <int n, int vectors, int stretches>
static void tilesAcross(const Stretch* sum, int32_t rows, int32_t column, int32_t columns, float* y, ptrdiff_t ld, bool accumulate) {
	for (; column + vectors * n <= columns; column += vectors * n)
		tilesDown<n, tileRows(vectors), vectors, stretches>(sum, 0, rows, column, y, ld, accumulate);
	if constexpr (vectors > 1) tilesAcross<n, vectors / 2, stretches>(sum, rows, column, columns, y, ld, accumulate);
}

// y (rows x columns) = (or +=) the sum of the stretches; columns is a multiple of n.
template <int n, int stretches>
static void product(const Stretch (&sum)[stretches], int32_t rows, int32_t columns, float* y, ptrdiff_t ld, bool accumulate) {
	tilesAcross<n, widestTile, stretches>(sum, rows, 0, columns, y, ld, accumulate);
}

// a0 b0 a1 b1 ... of the first (half = 0) or the last (1) halves of a and b.
template <int n, int half>
RIVULET_INLINE typename Lanes<n>::type interleave(typename Lanes<n>::type a, typename Lanes<n>::type b) {
	if constexpr (n == 4 && half == 0) return RIVULET_SHUFFLE(a, b, 0, 4, 1, 5);
	else if constexpr (n == 4) return RIVULET_SHUFFLE(a, b, 2, 6, 3, 7);
	else if constexpr (n == 8 && half == 0) return RIVULET_SHUFFLE(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
	else if constexpr (n == 8) return RIVULET_SHUFFLE(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
	else if constexpr (half == 0) return RIVULET_SHUFFLE(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
	else return RIVULET_SHUFFLE(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

// One n x n block: log2(n) rounds of riffling the first half of the rows with the second.
template <int n>
RIVULET_INLINE void transposeBlock(const float* from, ptrdiff_t fromLd, float* to, ptrdiff_t toLd) {
	typename Lanes<n>::type a[n], b[n];
#pragma GCC unroll 16
	for (int i = 0; i < n; i++) a[i] = loadLanes<n>(from + i * fromLd);
#pragma GCC unroll 4
	for (int round = 1; round < n; round *= 2) {
#pragma GCC unroll 8
		for (int i = 0; i < n / 2; i++) {
			b[2 * i] = interleave<n, 0>(a[i], a[i + n / 2]);
			b[2 * i + 1] = interleave<n, 1>(a[i], a[i + n / 2]);
		}
#pragma GCC unroll 16
		for (int i = 0; i < n; i++) a[i] = b[i];
	}
#pragma GCC unroll 16
	for (int i = 0; i < n; i++) storeLanes<n>(to + i * toLd, a[i]);
}

// to (columns x paddedRows) = from (rows x columns) transposed, zero beyond `rows`. columns is a multiple of n.
template <int n>
static void transpose(const float* from, ptrdiff_t fromLd, int32_t rows, int32_t columns, float* to, int32_t paddedRows) {
	int32_t r = 0;
	for (; r + n <= rows; r += n)
		for (int32_t c = 0; c < columns; c += n) transposeBlock<n>(from + r * fromLd + c, fromLd, to + (ptrdiff_t)c * paddedRows + r, paddedRows);
	for (; r < paddedRows; r++)
		for (int32_t c = 0; c < columns; c++) to[(ptrdiff_t)c * paddedRows + r] = r < rows ? from[r * fromLd + c] : 0;
}

}  // namespace rivulet::RIVULET_ISA
