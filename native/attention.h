// What attention and its gradient share: the operands of one head of one window, scores, softmax and dropout of a block of queries.
//
// Scores are kept transposed, one row per key (prefix first) and one lane per query, so softmax needs no sum across lanes,
// and every product is tile.h's: keys' scalars times transposed queries for the scores, weights' scalars times rows for the rest.
#pragma once
#include "functions.h"
#include "random.h"
#include "tile.h"

namespace rivulet::RIVULET_ISA {

// Queries that are worked on together: registers' worth of lanes, few enough that little above the diagonal is computed.
constexpr int32_t blockVectors = RIVULET_WIDTH == 16 ? 1 : RIVULET_WIDTH == 8 ? 2 : 4;

struct View {
	float* data;
	ptrdiff_t ld;
	float* row(ptrdiff_t r) const { return data + r * ld; }
};

// The call's sizes: `windows` windows of n queries that see m prefix rows and themselves, heads of d columns.
struct Geometry {
	int32_t windows, heads, n, m, d, sequences;
	float scale;

	Geometry(const Call& call, const Matrix& q, const Matrix& prefix) {
		windows = call.attributes[0].i;
		heads = call.attributes[1].i;
		sequences = call.attributes[4].i;
		n = q.rows / windows;
		m = prefix.data ? prefix.rows / windows : 0;
		d = q.cols / heads;
		scale = 1 / __builtin_sqrtf((float)d);
	}
	// Columns of a head in copies that are whole vectors wide.
	int32_t paddedWidth() const { return (d + 3) / 4 * 4; }
	int32_t block() const {
		int32_t lanes = (n + width - 1) / width * width;
		return lanes < blockVectors * width ? lanes : blockVectors * width;
	}
	// Own rows of the window seen by a block of queries that starts at `first`.
	int32_t seen(int32_t first, int32_t lanes) const { return first + lanes < n ? first + lanes : n; }
};

// Copies of heads whose width is no multiple of four, zeros beyond; heads of other widths are used where they stand.
struct Copies {
	float* next;
	int32_t d, padded;

	bool needed() const { return d != padded; }
	View output(View from, int32_t rows) {
		if (!needed()) return from;
		View copy = {next, padded};
		next += (ptrdiff_t)rows * padded;
		return copy;
	}
	View input(View from, int32_t rows) {
		View to = output(from, rows);
		if (needed())
			for (int32_t r = 0; r < rows; r++)
				for (int32_t c = 0; c < padded; c++) to.row(r)[c] = c < d ? from.row(r)[c] : 0;
		return to;
	}
	void back(View copy, View to, int32_t rows) const {
		if (needed())
			for (int32_t r = 0; r < rows; r++)
				for (int32_t c = 0; c < d; c++) to.row(r)[c] = copy.row(r)[c];
	}
};

// Rows of one product along the diagonal. Weights are set (to zero) above the diagonal only within a register, so not more.
constexpr int diagonalRows(int vectors) { return upTo(vectors > 1 ? 4 : 8); }

// A head of a matrix with `rows` rows per window: `column` is its first.
RIVULET_INLINE View headOf(const Matrix& x, int32_t window, int32_t rows, int32_t column) {
	return {x.data ? x.row(window * rows) + column : nullptr, x.ld};
}

// Keys or values of one head: those of the prefix and the window's own.
struct Rows {
	View prefix, own;
};

// s (m + own rows x lanes): row j is sum over c < d of rows[j][c] times transposed[c], for queries first.. of the block.
// Lanes whose queries all come before a key are left alone.
static void scores(const Geometry& g, const Rows& rows, const float* transposed, int32_t first, int32_t lanes, float* s) {
	const int32_t end = g.seen(first, lanes);
	if (g.m > 0) product<width, 1>({{rows.prefix.data, rows.prefix.ld, 1, transposed, lanes, g.d}}, g.m, lanes, s, lanes, false);
	s += (ptrdiff_t)g.m * lanes;
	if (first > 0) product<width, 1>({{rows.own.data, rows.own.ld, 1, transposed, lanes, g.d}}, first, lanes, s, lanes, false);
	for (int32_t j = first; j < end; j += width) {
		const int32_t skipped = j - first, count = end - j < width ? end - j : width;
		product<width, 1>({{rows.own.row(j), rows.own.ld, 1, transposed + skipped, lanes, g.d}}, count, lanes - skipped,
		                  s + (ptrdiff_t)j * lanes + skipped, lanes, false);
	}
}

// The keys that the queries of one vector (query `first` in lane 0) see: all lanes see the first `full` + 1, lane l sees l more.
struct Column {
	int32_t full, keys;
	Column(const Geometry& g, int32_t first) {
		full = g.m + first;
		keys = g.m + g.seen(first, width);
	}
};

// Scores to softmax weights, in place, one vector of queries: zero where a key is not seen.
static void softmaxColumn(Column column, float scale, float* s, ptrdiff_t ld) {
	vf largest = load(s + column.full * ld);
	for (int32_t j = 0; j < column.full; j++) largest = max(load(s + j * ld), largest);
	for (int32_t j = column.full + 1; j < column.keys; j++)
		largest = select(lanes() >= j - column.full, max(load(s + j * ld), largest), largest);
	vf total = {};
	for (int32_t j = 0; j < column.full; j++) {
		vf e = expSmall((load(s + j * ld) - largest) * scale);
		total += e;
		store(s + j * ld, e);
	}
	for (int32_t j = column.full; j < column.keys; j++) {
		vf e = select(lanes() >= j - column.full, expSmall((load(s + j * ld) - largest) * scale), vf{});
		total += e;
		store(s + j * ld, e);
	}
	const vf factor = 1.0f / total;
	for (int32_t j = 0; j < column.keys; j++) store(s + j * ld, load(s + j * ld) * factor);
}

// Weights of one vector of queries with dropout, from p to dropped (which may be p).
static void dropColumn(const Geometry& g, const Dropout& mask, uint32_t sequence, uint32_t row, int32_t columns, int32_t keys, const float* p,
                       float* dropped, ptrdiff_t ld) {
	const int32_t quarter = (columns + 3) / 4;
	const vu rows = (vu)(lanes() * g.heads) + row;
	for (int32_t lane = 0; lane < quarter; lane++) {
		vu words[4] = {splat((uint32_t)lane), rows, splat(sequence), splat(mask.id)};
		philox(words, mask.key[0], mask.key[1]);
		for (int32_t i = 0, j = lane; i < 4 && j < keys; i++, j += quarter)
			store(dropped + j * ld, select((vi)(words[i] >= mask.threshold), load(p + j * ld) * mask.scale, vf{}));
	}
}

// The softmax weights of a block of queries, and in `dropped` those after dropout (the same memory where there is none).
struct Weights {
	const Geometry& g;
	Dropout mask;
	bool drops;
	uint32_t firstSequence;

	Weights(const Geometry& geometry, const Call& call)
	    : g(geometry), mask(call, call.attributes[2].f, call.attributes[3].i), drops(call.attributes[2].f > 0), firstSequence(call.firstSequence) {}

	void softmax(int32_t window, int32_t head, int32_t first, int32_t lanes, float* s, float* dropped) const {
		const uint32_t sequence = firstSequence + (uint32_t)(window % g.sequences);
		for (int32_t lane = 0; lane < lanes && first + lane < g.n; lane += width) {
			const Column column(g, first + lane);
			softmaxColumn(column, g.scale, s + lane, lanes);
			if (!drops) continue;
			const uint32_t row = (uint32_t)((window / g.sequences * g.n + first + lane) * g.heads + head);
			dropColumn(g, mask, sequence, row, g.m + g.n, column.keys, s + lane, dropped + lane, lanes);
		}
	}
};

// y (queries x columns) = sum over keys of weights (keys x lanes) times rows, each query over the keys it sees.
template <int n>
static void weightedRows(const Geometry& g, const float* weights, int32_t lanes, const Rows& rows, int32_t first, int32_t columns, View y) {
	const int32_t step = diagonalRows(columns / n), count = g.seen(first, lanes) - first;
	const float* own = weights + (ptrdiff_t)g.m * lanes;
	for (int32_t i = 0; i < count; i += step) {
		const int32_t height = count - i < step ? count - i : step;
		const Stretch sum[2] = {{weights + i, 1, lanes, rows.prefix.data, rows.prefix.ld, g.m},
		                        {own + i, 1, lanes, rows.own.data, rows.own.ld, first + i + height}};
		product<n, 2>(sum, height, columns, y.row(first + i), y.ld, false);
	}
}

}  // namespace rivulet::RIVULET_ISA
