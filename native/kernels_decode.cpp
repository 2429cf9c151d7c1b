// Streaming: new rows written into caches of keys and values, and attention of one new row per stream against its cache.
#include "functions.h"
#include "rows.h"
#include "tile.h"

namespace rivulet::RIVULET_ISA {

static void writeRows(const Call& call) {
	const Matrix &x = call.in[0], &positions = call.in[2], &cache = call.out[0];
	const int32_t length = cache.rows / x.rows;
	for (int32_t b = 0; b < x.rows; b++) {
		const int32_t position = positions.ints()[(ptrdiff_t)b * positions.ld];
		if (position < 0 || position >= length) continue;
		__builtin_memcpy(cache.row(b * length + position), x.row(b), (size_t)x.cols * sizeof(float));
	}
}

// s[j] = q . keys[j] for j < count; s has room for whole vectors. A vector's worth of keys at a time: their lanes are summed
// by transposing.
static void keyScores(const float* q, const float* keys, ptrdiff_t ld, int32_t d, int32_t count, float* s) {
	alignas(64) float partial[width * width], turned[width * width];
	for (int32_t j = 0; j < count; j += width) {
		for (int32_t i = 0; i < width; i++) {
			const float* key = keys + (j + i < count ? j + i : count - 1) * ld;
			vf total = {};
			eachVector(d, [&](int64_t c, int lanes) { total = total + load(q + c, lanes) * load(key + c, lanes); });
			store(partial + i * width, total);
		}
		transposeBlock<width>(partial, width, turned, width);
		vf total = {};
		for (int32_t i = 0; i < width; i++) total += load(turned + i * width);
		store(s + j, total);
	}
}

// y[c] = sum over j < count of s[j] rows[j][c] for c < d.
static void weightedRows(const float* s, int32_t count, const float* rows, ptrdiff_t ld, int32_t d, float* y) {
	const Stretch sum[1] = {{s, 0, 1, rows, ld, count}};
	const int32_t whole = d / 4 * 4;
	if (d % 16 == 0) product<upTo(16), 1>(sum, 1, d, y, 0, false);
	else product<4, 1>(sum, 1, whole, y, 0, false);
	for (int32_t c = whole; c < d; c++) {
		y[c] = 0;
		for (int32_t j = 0; j < count; j++) y[c] += s[j] * rows[j * ld + c];
	}
}

static void decodeAttention(const Call& call) {
	const Matrix &q = call.in[0], &kv = call.in[1], &lengths = call.in[2], &o = call.out[0];
	const int32_t heads = call.attributes[0].i, d = q.cols / heads, length = kv.rows / q.rows;
	const float scale = 1 / __builtin_sqrtf((float)d);
	float* s = call.scratch->get(0, (size_t)length + width);
	const Range range = partOf(call, (int64_t)q.rows * heads);
	for (int64_t at = range.begin; at < range.end; at++) {
		const int32_t b = (int32_t)(at / heads), column = (int32_t)(at % heads) * d;
		const int32_t told = lengths.ints()[(ptrdiff_t)b * lengths.ld], count = told < 0 ? 0 : told < length ? told : length;
		const float *keys = kv.row(b * length) + column, *values = keys + q.cols;
		float* to = o.row(b) + column;
		float factor = 0;
		if (count > 0) {
			keyScores(q.row(b) + column, keys, kv.ld, d, count, s);
			const float top = rowLargest(s, count);
			factor = 1 / rowSum(count, [&](int64_t c, int lanesInside) {
				         vf e = expSmall((load(s + c) - top) * scale);
				         if (lanesInside < width) e = select(lanes() < lanesInside, e, vf{});
				         store(s + c, e);
				         return e;
			         });
		}
		for (int32_t j = 0; j < count; j++) s[j] *= factor;
		weightedRows(s, count, values, kv.ld, d, to);
	}
}

extern const KernelEntry decodeKernels[] = {
    {"writeRows", writeRows, "mmm", "m", 0},
    {"decodeAttention", decodeAttention, "mmm", "m", 1},
    {},
};

}  // namespace rivulet::RIVULET_ISA
