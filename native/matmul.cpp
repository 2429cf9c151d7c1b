// The matrix product with its epilogue. Each element is the sum over the depth in order, in single precision, whatever
// the sizes, the blocking or the parts, so a row's result does not depend on the rows beside it.
//
// Loops: chunk of panels (b stays in the second-level cache) > stretch of depth > block of rows (a stays in the first)
// > panel > depth. Sums of an unfinished depth rest in y, or in scratch where y's old values are still needed.
#include "functions.h"
#include "pack.h"
#include "random.h"

namespace rivulet::RIVULET_ISA {

enum Activation { noActivation, geluOf, reluOf, timesGeluSlope, timesPositive, timesFactor };

// What follows the sum. Pointers are to whole matrices of y's shape (mask: ld = columns), null where absent.
struct Epilogue {
	int32_t activation;
	bool accumulate;
	const float* bias;
	Matrix factor, residual, z, y;
	const float* mask;

	// Nothing but storing or adding: sums may rest in y and start from it.
	bool plain() const { return !activation && !bias && !residual.data && !z.data && !mask; }
};

// c (+)= a b for a block of `rows` rows and one panel, `depth` deep; the sums live in registers meanwhile.
template <int rows>
static void multiplyBlock(Strided a, const float* panel, int32_t depth, float* c, ptrdiff_t ld, bool fresh) {
	vf sums[rows][panelVectors];
#pragma GCC unroll 16
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
		for (int v = 0; v < panelVectors; v++) sums[r][v] = fresh ? vf{} : load(c + r * ld + v * width);
	const float* at = a.data;
#if defined(__clang__)
#pragma clang loop unroll(disable)  // unrolled, it needs more registers than V8 has: a quarter slower
#endif
	for (int32_t k = 0; k < depth; k++, at += a.column, panel += panelColumns) {
		vf b[panelVectors];
#pragma GCC unroll 4
		for (int v = 0; v < panelVectors; v++) b[v] = load(panel + v * width);
#pragma GCC unroll 16
		for (int r = 0; r < rows; r++) {
			vf x = splat(at[r * a.row]);
#pragma GCC unroll 4
			for (int v = 0; v < panelVectors; v++) sums[r][v] += x * b[v];
		}
	}
#pragma GCC unroll 16
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
		for (int v = 0; v < panelVectors; v++) store(c + r * ld + v * width, sums[r][v]);
}

typedef void (*Block)(Strided a, const float* panel, int32_t depth, float* c, ptrdiff_t ld, bool fresh);

// blocks[n]: the one for n rows.
template <int... n>
struct Blocks {
	static constexpr Block table[] = {nullptr, multiplyBlock<n + 1>...};
};
template <int count, int... n>
struct UpTo : UpTo<count - 1, count - 1, n...> {};
template <int... n>
struct UpTo<0, n...> : Blocks<n...> {};

template <int activation>
RIVULET_INLINE vf activate(vf x, vf factor) {
	switch (activation) {
		case geluOf:
			return gelu(x);
		case reluOf:
			return select(x < 0.0f, vf{}, x);
		case timesGeluSlope:
			return x * geluSlope(factor);
		case timesPositive:
			return select(factor > 0.0f, x, vf{});
		case timesFactor:
			return x * factor;
		default:
			return x;
	}
}

// Finish a tile of sums (leading dimension panelColumns) that belongs at (row, column) of y.
template <int activation>
static void finishTile(const Epilogue& e, const float* tile, int32_t row, int32_t rows, int32_t column, int32_t columns) {
	for (int32_t r = row; r < row + rows; r++, tile += panelColumns)
		for (int32_t c = column, v = 0; c < column + columns; c += width, v += width) {
			int32_t left = column + columns - c, n = left < width ? left : width;
			vf x = load(tile + v);
			if (e.bias) x += load(e.bias + c, n);
			if (e.z.data) store(e.z.row(r) + c, x, n);
			x = activate<activation>(x, activation >= timesGeluSlope ? load(e.factor.row(r) + c, n) : vf{});
			if (e.mask) x *= load(e.mask + (size_t)r * e.y.cols + c, n);
			if (e.residual.data) x += load(e.residual.row(r) + c, n);
			if (e.accumulate) x += load(e.y.row(r) + c, n);
			store(e.y.row(r) + c, x, n);
		}
}

static void finish(const Epilogue& e, const float* tile, int32_t row, int32_t rows, int32_t column, int32_t columns) {
	static void (*const table[])(const Epilogue&, const float*, int32_t, int32_t, int32_t, int32_t) = {
		finishTile<noActivation>,   finishTile<geluOf>,        finishTile<reluOf>,
		finishTile<timesGeluSlope>, finishTile<timesPositive>, finishTile<timesFactor>};
	table[e.activation](e, tile, row, rows, column, columns);
}

// One product of the batch: rows [firstRow, firstRow + rows) of y.
struct Product {
	Strided a, b;
	const float* packed;  // all of b in panels, or null
	int32_t firstRow, rows, depth, columns;
};

enum ScratchSlot { panelSlot, blockSlot, sumSlot, maskSlot };

// Blocks of nearly equal size: block i of `count` begins at row split(rows, i, count).
static int32_t split(int32_t rows, int32_t i, int32_t count) { return (int32_t)((int64_t)rows * i / count); }

// A block of a transposed a, whose rows are contiguous, as one stream: depth times its rows.
static Strided copyBlock(Strided a, int32_t rows, int32_t depth, float* out) {
	float* to = out;
	for (int32_t k = 0; k < depth; k++, to += rows)
		for (int32_t r = 0; r < rows; r += width) {
			int32_t left = rows - r;
			store(to + r, load(a.at(r, k), left < width ? left : width));  // what is too much is overwritten by the next k
		}
	return {out, 1, rows};
}

// Ask for a tile of m that is needed after the next block: its rows are far apart, which no processor foresees.
static void prefetch(const Matrix& m, int32_t row, int32_t rows, int32_t column) {
	if (!m.data || column >= m.cols) return;
	for (int32_t r = row; r < row + rows; r++)
		for (int32_t c = 0; c < panelColumns; c += 16) __builtin_prefetch(m.row(r) + column + c);
}

// Where the sums of a block and a panel go: straight to their place, or to a tile when they are not whole or not done.
static void multiplyPanel(const Product& p, const Epilogue& e, Strided a, const float* panel, int32_t row, int32_t rows, int32_t column,
                          int32_t depth, bool first, bool last, float* sums) {
	const Block block = UpTo<blockRows>::table[rows];
	const bool plain = e.plain();
	int32_t left = p.columns - column, columns = left < panelColumns ? left : panelColumns;
	if (plain && columns == panelColumns) {
		if (!first || e.accumulate) prefetch(e.y, row, rows, column + panelColumns);
		block(a, panel, depth, e.y.row(row) + column, e.y.ld, first && !e.accumulate);
		return;
	}
	if (last) {
		prefetch(e.factor, row, rows, column);
		prefetch(e.residual, row, rows, column);
		prefetch(e.y, row, rows, column);
	}
	float tile[blockRows * panelColumns];
	// Unfinished sums: in y itself when plain, else in `sums` (as large as one product of the batch).
	float* rest = plain ? e.y.row(row) + column : sums ? sums + (size_t)(row - p.firstRow) * p.columns + column : nullptr;
	ptrdiff_t restLd = plain ? e.y.ld : p.columns;
	bool fresh = first && !(plain && e.accumulate);
	if (!fresh)
		for (int32_t r = 0; r < rows; r++)
			for (int32_t c = 0; c < columns; c++) tile[r * panelColumns + c] = rest[r * restLd + c];
	block(a, panel, depth, tile, panelColumns, fresh);
	if (last && !plain) {
		finish(e, tile, row, rows, column, columns);
		return;
	}
	for (int32_t r = 0; r < rows; r++)
		for (int32_t c = 0; c < columns; c++) rest[r * restLd + c] = tile[r * panelColumns + c];
}

// Panels [firstPanel, endPanel) of one product. `a` and `b` sizes are checked by multiply().
static void multiplyOne(const Product& p, const Epilogue& e, int32_t firstPanel, int32_t endPanel, Scratch& scratch) {
	// Depth is cut so that the lines a block reads stay in the cache: one per row of a, or one per k of a transposed a.
	const int32_t stretch = p.a.column != 1 ? 256 : p.depth <= 2048 ? p.depth : 1024;
	const int32_t stretches = (p.depth + stretch - 1) / stretch;
	const int32_t cached = 128 * 1024;  // floats of b that stay in the second-level cache
	int32_t chunk = cached / (stretch * panelColumns);
	if (chunk < 1) chunk = 1;
	const int32_t blocks = (p.rows + blockRows - 1) / blockRows;
	float* panels = p.packed ? nullptr : scratch.get(panelSlot, (size_t)chunk * stretch * panelColumns);
	// A narrow block of a transposed a uses a small part of each line it touches: copied where many panels read it.
	const bool copies = width < 16 && p.a.column != 1 && endPanel - firstPanel >= 8;
	float* block = copies ? scratch.get(blockSlot, (size_t)blockRows * stretch + width) : nullptr;
	float* sums = stretches > 1 && !e.plain() ? scratch.get(sumSlot, (size_t)p.rows * p.columns) : nullptr;
	if ((!p.packed && !panels) || (copies && !block) || (stretches > 1 && !e.plain() && !sums)) return;
	for (int32_t from = firstPanel; from < endPanel; from += chunk) {
		int32_t to = from + chunk < endPanel ? from + chunk : endPanel;
		for (int32_t s = 0; s < stretches; s++) {
			int32_t k = s * stretch, depth = p.depth - k < stretch ? p.depth - k : stretch;
			if (!p.packed) packPanels(p.b.from(k, 0), depth, p.columns, from, to, panels);
			for (int32_t i = 0; i < blocks; i++) {
				int32_t row = split(p.rows, i, blocks), rows = split(p.rows, i + 1, blocks) - row;
				Strided a = p.a.from(row, k);
				if (block) a = copyBlock(a, rows, depth, block);
				for (int32_t panel = from; panel < to; panel++) {
					const float* b = p.packed ? p.packed + ((ptrdiff_t)panel * p.depth + k) * panelColumns
					                          : panels + (ptrdiff_t)(panel - from) * depth * panelColumns;
					multiplyPanel(p, e, a, b, p.firstRow + row, rows, panel * panelColumns, depth, s == 0, s == stretches - 1, sums);
				}
			}
		}
	}
}

// A whole mask of y's shape, or null where there is none.
static const float* drawMask(const Call& call, const Matrix& y, bool& failed) {
	const float p = call.attributes[5].f;
	if (!(p > 0)) return nullptr;
	const int32_t rowsPerSequence = call.attributes[7].i, sequences = call.attributes[8].i;
	float* mask = call.scratch->get(maskSlot, (size_t)y.rows * y.cols);
	failed = !mask || rowsPerSequence < 1 || sequences < 1;
	if (failed) return nullptr;
	const Dropout dropout(call, p, call.attributes[6].i);
	for (int32_t r = 0; r < y.rows; r++) {
		Place place = placeOf(r, rowsPerSequence, sequences, call.firstSequence);
		dropout.row(place.sequence, place.row, y.cols, mask + (size_t)r * y.cols);
	}
	return mask;
}

static void matmul(const Call& call) {
	const Matrix &a = call.in[0], &b = call.in[1], &y = call.out[0];
	const bool transposeA = call.attributes[0].i, transposeB = call.attributes[1].i;
	const int32_t batch = call.attributes[2].i, activation = call.attributes[4].i;
	if (batch < 1 || activation < 0 || activation > timesFactor) return;
	bool failed = false;
	Epilogue e = {activation, call.attributes[3].i != 0, call.in[2].data, call.in[3], call.in[4], call.out[1], y, drawMask(call, y, failed)};
	if (failed || (activation >= timesGeluSlope && !e.factor.data)) return;
	const int32_t rowsOfA = a.rows / batch;
	Product p = {};
	p.rows = y.rows / batch;
	p.columns = y.cols;
	p.depth = transposeA ? rowsOfA : a.cols;
	const int32_t rowsOfB = transposeB ? p.columns : p.depth;
	Range panels = partOf(call, panelsOf(p.columns));
	for (int32_t n = 0; n < batch; n++) {
		const float* itemOfA = a.row(n * rowsOfA);
		const float* itemOfB = b.row(b.rows == rowsOfB ? 0 : n * rowsOfB);
		p.a = transposeA ? Strided{itemOfA, 1, a.ld} : Strided{itemOfA, a.ld, 1};
		p.b = transposeB ? Strided{itemOfB, 1, b.ld} : Strided{itemOfB, b.ld, 1};
		p.packed = call.packed;
		p.firstRow = n * p.rows;
		multiplyOne(p, e, (int32_t)panels.begin, (int32_t)panels.end, *call.scratch);
	}
}

extern const KernelEntry matmulKernels[] = {{"matmul", matmul, "mm???", "m?", 9}, {}};

}  // namespace rivulet::RIVULET_ISA
