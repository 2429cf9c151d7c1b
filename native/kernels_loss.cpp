// Softmax over rows, cross-entropy with its gradient, and whether the likeliest class is the right one.
#include "functions.h"
#include "rows.h"

namespace rivulet::RIVULET_ISA {

static void softmax(const Call& call) {
	const Matrix &x = call.in[0], &y = call.out[0];
	const int32_t n = x.cols;
	for (int32_t r = 0; r < x.rows; r++) {
		const float* from = x.row(r);
		float* to = y.row(r);
		const float top = rowLargest(from, n);
		const float total = rowSum(n, [&](int64_t c, int count) {
			vf e = expSmall(load(from + c, count) - top);
			if (count < width) e = select(lanes() < count, e, vf{});
			store(to + c, e, count);
			return e;
		});
		const float factor = 1 / total;
		eachVector(n, [&](int64_t c, int count) { store(to + c, load(to + c, count) * factor, count); });
	}
}

// The target of row r, or -1 where the row does not count.
static int32_t targetOf(const Matrix& targets, int32_t r, int32_t classes) {
	const int32_t target = targets.ints()[(ptrdiff_t)r * targets.ld];
	return target < classes ? target : -1;
}

static void crossEntropy(const Call& call) {
	const Matrix &logits = call.in[0], &targets = call.in[1], &nll = call.out[0], &lse = call.out[1];
	const int32_t n = logits.cols;
	for (int32_t r = 0; r < logits.rows; r++) {
		const float* x = logits.row(r);
		const float top = rowLargest(x, n);
		const double total = longSum(n, [&](int64_t c, int count) {
			vf e = expSmall(load(x + c, count) - top);
			return count < width ? select(lanes() < count, e, vf{}) : e;
		});
		const double logTotal = log(total);
		const int32_t target = targetOf(targets, r, n);
		*nll.row(r) = target < 0 ? 0 : (float)(logTotal + ((double)top - x[target]));
		*lse.row(r) = (float)(top + logTotal);
	}
}

static void crossEntropyGrad(const Call& call) {
	const Matrix &logits = call.in[0], &targets = call.in[1], &lse = call.in[2], &dnll = call.in[3], &dlogits = call.out[0];
	const int32_t n = logits.cols;
	for (int32_t r = 0; r < logits.rows; r++) {
		const float* x = logits.row(r);
		float* dx = dlogits.row(r);
		const int32_t target = targetOf(targets, r, n);
		if (target < 0) {
			__builtin_memset(dx, 0, (size_t)n * sizeof(float));
			continue;
		}
		const float shift = *lse.row(r), factor = *dnll.row(r);
		eachVector(n, [&](int64_t c, int count) { store(dx + c, expSmall(load(x + c, count) - shift) * factor, count); });
		dx[target] -= factor;
	}
}

static void correct(const Call& call) {
	const Matrix &logits = call.in[0], &targets = call.in[1], &y = call.out[0];
	for (int32_t r = 0; r < logits.rows; r++) {
		const float* x = logits.row(r);
		const int32_t target = targetOf(targets, r, logits.cols);
		// Ahead of every earlier class, not behind any later one.
		const bool first = target >= 0 && (target == 0 || rowLargest(x, target) < x[target]);
		*y.row(r) = first && rowLargest(x + target, logits.cols - target) <= x[target] ? 1 : 0;
	}
}

extern const KernelEntry lossKernels[] = {
    {"softmax", softmax, "m", "m", 0},
    {"crossEntropy", crossEntropy, "mm", "mm", 0},
    {"crossEntropyGrad", crossEntropyGrad, "mmmm", "m", 0},
    {"correct", correct, "mm", "m", 0},
    {},
};

}  // namespace rivulet::RIVULET_ISA
