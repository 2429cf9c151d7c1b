// Gradient of attention (kernels_attention.cpp): the weights are computed again, nothing of the forward pass is kept.
// With p the weights, r those after dropout and g = dO v^T (all keys x queries): dv = r dO, ds = (r g - p sum(r g)) scale,
// dq = ds^T k, dk = ds q, the sum over the keys of a query.
#include "attention.h"

namespace rivulet::RIVULET_ISA {

// Memory of one block of queries.
struct Blocks {
	float *queries, *slopes;  // transposed rows: columns x lanes
	float *weights, *dropped, *ds;  // keys x lanes
};

// Slopes g to ds, in place, one vector of queries.
static void scoreSlopes(int32_t keys, float scale, const float* weights, const float* dropped, float* g, ptrdiff_t ld) {
	vf total = {};
	for (int32_t j = 0; j < keys; j++) total = total + load(dropped + j * ld) * load(g + j * ld);
	for (int32_t j = 0; j < keys; j++) {
		const ptrdiff_t at = j * ld;
		store(g + at, (load(dropped + at) * load(g + at) - load(weights + at) * total) * scale);
	}
}

// y (keys x columns) += sum over the block's queries of weights (keys x lanes) times rows; the block's own keys are set, they
// are met here first, and so is the prefix in the first block.
template <int n>
static void keyRows(const Geometry& g, const float* weights, int32_t lanes, View rows, int32_t first, int32_t columns, const Rows& y) {
	const int32_t count = g.seen(first, lanes) - first, step = diagonalRows(columns / n);
	if (y.prefix.data)
		product<n, 1>({{weights, lanes, 1, rows.row(first), rows.ld, count}}, g.m, columns, y.prefix.data, y.prefix.ld, first > 0);
	weights += (ptrdiff_t)g.m * lanes;
	if (first > 0) product<n, 1>({{weights, lanes, 1, rows.row(first), rows.ld, count}}, first, columns, y.own.data, y.own.ld, true);
	weights += (ptrdiff_t)first * lanes;
	for (int32_t j = 0; j < count; j += step) {
		const int32_t height = count - j < step ? count - j : step;
		product<n, 1>({{weights + (ptrdiff_t)j * lanes + j, lanes, 1, rows.row(first + j), rows.ld, count - j}}, height, columns, y.own.row(first + j),
		              y.own.ld, false);
	}
}

struct Gradient {
	View q, slope;  // slope: gradient to o
	Rows k, v;
	View dq;
	Rows dk, dv;
};

template <int n>
static void gradientHead(const Geometry& g, const Weights& weights, int32_t window, int32_t head, const Gradient& x, const Blocks& b) {
	const int32_t lanes = g.block(), columns = g.paddedWidth();
	for (int32_t first = 0; first < g.n; first += lanes) {
		const int32_t count = g.seen(first, lanes) - first;
		transpose<n>(x.q.row(first), x.q.ld, count, columns, b.queries, lanes);
		transpose<n>(x.slope.row(first), x.slope.ld, count, columns, b.slopes, lanes);
		scores(g, x.k, b.queries, first, lanes, b.weights);
		weights.softmax(window, head, first, lanes, b.weights, b.dropped);
		keyRows<n>(g, b.dropped, lanes, x.slope, first, columns, x.dv);
		scores(g, x.v, b.slopes, first, lanes, b.ds);
		for (int32_t lane = 0; lane < count; lane += width)
			scoreSlopes(Column(g, first + lane).keys, g.scale, b.weights + lane, b.dropped + lane, b.ds + lane, lanes);
		weightedRows<n>(g, b.ds, lanes, x.k, first, columns, x.dq);
		keyRows<n>(g, b.ds, lanes, x.q, first, columns, x.dk);
	}
}

static void attentionGrad(const Call& call) {
	const Matrix &q = call.in[0], &kv = call.in[1], &prefix = call.in[2], &slope = call.in[3];
	const Matrix &dq = call.out[0], &dkv = call.out[1], &dprefix = call.out[2];
	const Geometry g(call, q, prefix);
	const Weights weights(g, call);
	const int32_t columns = g.paddedWidth(), values = q.cols;
	const size_t rowFloats = (size_t)columns * g.block(), keyFloats = (size_t)(g.m + g.n) * g.block();
	Blocks b;
	b.queries = call.scratch->get(0, 2 * rowFloats);
	b.slopes = b.queries + rowFloats;
	b.weights = call.scratch->get(1, 3 * keyFloats);
	b.ds = b.weights + keyFloats;
	b.dropped = weights.drops ? b.ds + keyFloats : b.weights;
	float* spare = columns == g.d ? nullptr : call.scratch->get(2, (size_t)(7 * g.n + 4 * g.m) * columns);
	const auto gradient = columns % 16 == 0 ? gradientHead<upTo(16)> : columns % 8 == 0 ? gradientHead<upTo(8)> : gradientHead<4>;
	for (int32_t window = 0; window < g.windows; window++)
		for (int32_t head = 0; head < g.heads; head++) {
			const int32_t k = head * g.d, v = values + k;
			const View toQ = headOf(dq, window, g.n, k);
			const Rows toK = {headOf(dprefix, window, g.m, k), headOf(dkv, window, g.n, k)};
			const Rows toV = {headOf(dprefix, window, g.m, v), headOf(dkv, window, g.n, v)};
			Copies copies = {spare, g.d, columns};
			Gradient x;
			x.q = copies.input(headOf(q, window, g.n, k), g.n);
			x.slope = copies.input(headOf(slope, window, g.n, k), g.n);
			x.k = {copies.input(headOf(prefix, window, g.m, k), g.m), copies.input(headOf(kv, window, g.n, k), g.n)};
			x.v = {copies.input(headOf(prefix, window, g.m, v), g.m), copies.input(headOf(kv, window, g.n, v), g.n)};
			x.dq = copies.output(toQ, g.n);
			x.dk = {copies.output(toK.prefix, g.m), copies.output(toK.own, g.n)};
			x.dv = {copies.output(toV.prefix, g.m), copies.output(toV.own, g.n)};
			gradient(g, weights, window, head, x, b);
			copies.back(x.dq, toQ, g.n);
			copies.back(x.dk.prefix, toK.prefix, toK.prefix.data ? g.m : 0);
			copies.back(x.dk.own, toK.own, g.n);
			copies.back(x.dv.prefix, toV.prefix, toV.prefix.data ? g.m : 0);
			copies.back(x.dv.own, toV.own, g.n);
		}
}

extern const KernelEntry attentionGradKernels[] = {
    {"attentionGrad", attentionGrad, "mm?m", "mm?", 5},
    {},
};

}  // namespace rivulet::RIVULET_ISA
