// The packed form of a product's right operand: panels of panelColumns columns, one after the other, each depth rows long
// and filled up with zero columns at the end. So the inner loop reads one stream of aligned vectors.
#pragma once
#include "vector.h"

namespace rivulet::RIVULET_ISA {

// Columns in a panel, and rows that fit with them in the registers: as measured (docs/performance.md).
#if RIVULET_WIDTH == 16
constexpr int panelVectors = 2, blockRows = 12;
#elif RIVULET_WIDTH == 8
constexpr int panelVectors = 2, blockRows = 6;
#elif defined(__aarch64__)
constexpr int panelVectors = 2, blockRows = 8;
#else
constexpr int panelVectors = 2, blockRows = 4;
#endif
constexpr int panelColumns = panelVectors * width;

// A matrix by two strides, so that a transpose is only another view: element (r, c) is data[r * row + c * column].
struct Strided {
	const float* data;
	ptrdiff_t row, column;
	__attribute__((always_inline)) const float* at(ptrdiff_t r, ptrdiff_t c) const { return data + r * row + c * column; }
	__attribute__((always_inline)) Strided from(ptrdiff_t r, ptrdiff_t c) const { return {at(r, c), row, column}; }
};

RIVULET_INLINE int32_t panelsOf(int32_t columns) { return (columns + panelColumns - 1) / panelColumns; }

// Panels [first, end) of b (depth x columns) to `packed`, the first one at its start.
void packPanels(Strided b, int32_t depth, int32_t columns, int32_t first, int32_t end, float* packed);

// For the runtime: see registry.h.
size_t packedFloats(int32_t depth, int32_t columns);
void pack(const Matrix& b, bool transpose, float* packed, int32_t part, int32_t parts);

}  // namespace rivulet::RIVULET_ISA
