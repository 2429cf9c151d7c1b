// Causal attention over windows with a prefix: o = softmax(q k^T / sqrt(d)) v for each head of each window. Its gradient is in
// kernels_attention_grad.cpp, one new row against a cache in kernels_decode.cpp.
#include "attention.h"

namespace rivulet::RIVULET_ISA {

// A block of queries at a time; n divides the (padded) width of a head.
template <int n>
static void forwardHead(const Geometry& g, const Weights& weights, int32_t window, int32_t head, View q, const Rows& k, const Rows& v, View o,
                        float* transposed, float* s) {
	const int32_t lanes = g.block(), columns = g.paddedWidth();
	for (int32_t first = 0; first < g.n; first += lanes) {
		transpose<n>(q.row(first), q.ld, g.seen(first, lanes) - first, columns, transposed, lanes);
		scores(g, k, transposed, first, lanes, s);
		weights.softmax(window, head, first, lanes, s, s);
		weightedRows<n>(g, s, lanes, v, first, columns, o);
	}
}

static void attention(const Call& call) {
	const Matrix &q = call.in[0], &kv = call.in[1], &prefix = call.in[2], &o = call.out[0];
	const Geometry g(call, q, prefix);
	const Weights weights(g, call);
	const int32_t columns = g.paddedWidth(), values = q.cols;
	float* transposed = call.scratch->get(0, (size_t)columns * g.block());
	float* s = call.scratch->get(1, (size_t)(g.m + g.n) * g.block());
	float* spare = columns == g.d ? nullptr : call.scratch->get(2, (size_t)(4 * g.n + 2 * g.m) * columns);
	const auto forward = columns % 16 == 0 ? forwardHead<upTo(16)> : columns % 8 == 0 ? forwardHead<upTo(8)> : forwardHead<4>;
	const Range range = partOf(call, (int64_t)g.windows * g.heads);
	for (int64_t at = range.begin; at < range.end; at++) {
		const int32_t window = (int32_t)(at / g.heads), head = (int32_t)(at % g.heads), column = head * g.d;
		Copies copies = {spare, g.d, columns};
		const View queries = copies.input(headOf(q, window, g.n, column), g.n);
		const Rows k = {copies.input(headOf(prefix, window, g.m, column), g.m), copies.input(headOf(kv, window, g.n, column), g.n)};
		const Rows v = {copies.input(headOf(prefix, window, g.m, values + column), g.m),
		                copies.input(headOf(kv, window, g.n, values + column), g.n)};
		const View to = headOf(o, window, g.n, column), result = copies.output(to, g.n);
		forward(g, weights, window, head, queries, k, v, result, transposed, s);
		copies.back(result, to, g.n);
	}
}

extern const KernelEntry attentionKernels[] = {
    {"attention", attention, "mm?", "m", 5},
    {},
};

}  // namespace rivulet::RIVULET_ISA
