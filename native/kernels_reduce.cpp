// Sums: of columns, of everything, of products, of squares.
#include "rows.h"

namespace rivulet::RIVULET_ISA {

// Rows in order, one at a time: memory is read front to back, and the sums stay in the first cache. A part has whole columns.
static void columnSum(const Call& call) {
	const Matrix &x = call.in[0], &y = call.out[0];
	const Range columns = partOf(call, y.cols);
	const int64_t n = columns.end - columns.begin;
	float* total = y.data + columns.begin;
	if (!call.attributes[0].i) __builtin_memset(total, 0, (size_t)n * sizeof(float));
	for (int32_t r = 0; r < x.rows; r++) {
		const float* from = x.row(r) + columns.begin;
		eachVector(n, [&](int64_t c, int count) { store(total + c, load(total + c, count) + load(from + c, count), count); });
	}
}

// One number from f(row, column, count) over a rows x cols matrix, into y (1 x 1).
template <typename F>
RIVULET_INLINE void sumInto(const Call& call, const Matrix& x, F f) {
	double total = call.attributes[0].i ? *call.out[0].data : 0;
	for (int32_t r = 0; r < x.rows; r++) total += longSum(x.cols, [&](int64_t c, int count) { return f(r, c, count); });
	*call.out[0].data = (float)total;
}

static void dot(const Call& call) {
	const Matrix &a = call.in[0], &b = call.in[1];
	sumInto(call, a, [&](int32_t r, int64_t c, int count) { return load(a.row(r) + c, count) * load(b.row(r) + c, count); });
}

static void sum(const Call& call) {
	const Matrix& x = call.in[0];
	sumInto(call, x, [&](int32_t r, int64_t c, int count) { return load(x.row(r) + c, count); });
}

static void squareSum(const Call& call) {
	const Range columns = partOf(call, call.in[0].cols);
	const float* x = call.in[0].data + columns.begin;
	call.out[0].data[call.part] = (float)longSum(columns.end - columns.begin, [&](int64_t c, int count) {
		vf v = load(x + c, count);
		return v * v;
	});
}

extern const KernelEntry reduceKernels[] = {
    {"columnSum", columnSum, "m", "m", 1},
    {"dot", dot, "mm", "m", 1},
    {"sum", sum, "m", "m", 1},
    {"squareSum", squareSum, "m", "m", 0},
    {},
};

}  // namespace rivulet::RIVULET_ISA
