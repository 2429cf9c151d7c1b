// Packing of a product's right operand into panels.
#include "pack.h"

namespace rivulet::RIVULET_ISA {

// One panel from rows of b that lie along it: whole vectors move.
static void packAlong(Strided b, int32_t depth, int32_t columns, float* out) {
	for (int32_t k = 0; k < depth; k++, out += panelColumns)
		for (int v = 0; v < panelVectors; v++) {
			int32_t left = columns - v * width;
			store(out + v * width, left <= 0 ? vf{} : load(b.at(k, v * width), left < width ? left : width));
		}
}

// One panel from a b whose depth is contiguous: a transpose, in strips short enough for the cache.
static void packAcross(Strided b, int32_t depth, int32_t columns, float* out) {
	constexpr int32_t strip = 16;
	for (int32_t k = 0; k < depth; k += strip) {
		int32_t count = depth - k < strip ? depth - k : strip;
		for (int32_t c = 0; c < panelColumns; c++)
			for (int32_t i = 0; i < count; i++) out[(k + i) * panelColumns + c] = c < columns ? *b.at(k + i, c) : 0;
	}
}

void packPanels(Strided b, int32_t depth, int32_t columns, int32_t first, int32_t end, float* packed) {
	for (int32_t panel = first; panel < end; panel++, packed += (ptrdiff_t)depth * panelColumns) {
		int32_t column = panel * panelColumns, left = columns - column;
		int32_t count = left < panelColumns ? left : panelColumns;
		if (b.column == 1)
			packAlong(b.from(0, column), depth, count, packed);
		else
			packAcross(b.from(0, column), depth, count, packed);
	}
}

size_t packedFloats(int32_t depth, int32_t columns) { return (size_t)panelsOf(columns) * depth * panelColumns; }

void pack(const Matrix& b, bool transpose, float* packed, int32_t part, int32_t parts) {
	int32_t depth = transpose ? b.cols : b.rows, columns = transpose ? b.rows : b.cols;
	Strided view = transpose ? Strided{b.data, 1, b.ld} : Strided{b.data, b.ld, 1};
	int64_t panels = panelsOf(columns);
	int32_t first = (int32_t)(panels * part / parts), end = (int32_t)(panels * (part + 1) / parts);
	packPanels(view, depth, columns, first, end, packed + (ptrdiff_t)first * depth * panelColumns);
}

}  // namespace rivulet::RIVULET_ISA
