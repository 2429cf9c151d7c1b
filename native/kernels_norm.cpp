// Layer norm, y = (x - mean) rstd weight + bias over each row, and its gradients.
#include "rows.h"

namespace rivulet::RIVULET_ISA {

// The variance is taken about the mean found before, while the row is still in the first cache.
static void layerNorm(const Call& call) {
	const Matrix &x = call.in[0], &y = call.out[0], &stats = call.out[1];
	const float *weight = call.in[1].data, *bias = call.in[2].data, eps = call.attributes[0].f;
	const int32_t n = x.cols;
	const Range rows = partOf(call, x.rows);
	for (int64_t r = rows.begin; r < rows.end; r++) {
		const float* from = x.row((int32_t)r);
		float* to = y.row((int32_t)r);
		const float mean = rowSum(n, [&](int64_t c, int count) { return load(from + c, count); }) / n;
		const float variance = rowSum(n, [&](int64_t c, int count) {
			                       vf centred = load(from + c, count) - mean;
			                       if (count < width) centred = select(lanes() < count, centred, vf{});
			                       return centred * centred;
		                       }) / n;
		const float rstd = 1 / __builtin_sqrtf(variance + eps);
		eachVector(n, [&](int64_t c, int count) {
			vf normal = (load(from + c, count) - mean) * rstd * load(weight + c, count);
			store(to + c, bias ? normal + load(bias + c, count) : normal, count);
		});
		stats.row((int32_t)r)[0] = mean;
		stats.row((int32_t)r)[1] = rstd;
	}
}

// With g = dy weight and h = (x - mean) rstd: dx = rstd (g - mean(g) - h mean(g h)) + residual.
static void layerNormGrad(const Call& call) {
	const Matrix &dy = call.in[0], &x = call.in[1], &stats = call.in[3], &residual = call.in[4], &dx = call.out[0];
	const float* weight = call.in[2].data;
	const int32_t n = x.cols;
	for (int32_t r = 0; r < x.rows; r++) {
		const float *slope = dy.row(r), *from = x.row(r), *add = residual.data ? residual.row(r) : nullptr;
		const float mean = stats.row(r)[0], rstd = stats.row(r)[1];
		float* to = dx.row(r);
		vf total[2] = {}, totalH[2] = {};
		const auto reduce = [&](int64_t c, int count, int i) {
			vf g = load(slope + c, count) * load(weight + c, count);  // zero beyond the row
			total[i] += g;
			totalH[i] = totalH[i] + g * (load(from + c, count) - mean);
		};
		int64_t c = 0;
		for (; c + 2 * width <= n; c += 2 * width) {
			reduce(c, width, 0);
			reduce(c + width, width, 1);
		}
		for (; c < n; c += width) reduce(c, n - c < width ? (int)(n - c) : width, 0);
		const float meanG = sum(total[0] + total[1]) / n, meanGh = sum(totalH[0] + totalH[1]) * rstd / n;
		eachVector(n, [&](int64_t c, int count) {
			vf g = load(slope + c, count) * load(weight + c, count), h = (load(from + c, count) - mean) * rstd;
			vf d = (g - meanG - h * meanGh) * rstd;
			store(to + c, add ? d + load(add + c, count) : d, count);
		});
	}
}

// Rows in order, one at a time: memory is read front to back, and the sums stay in the first cache.
static void layerNormWeightGrad(const Call& call) {
	const Matrix &dy = call.in[0], &x = call.in[1], &stats = call.in[2], &y = call.out[0];
	float* total = y.data;
	if (!call.attributes[0].i) __builtin_memset(total, 0, (size_t)y.cols * sizeof(float));
	for (int32_t r = 0; r < x.rows; r++) {
		const float *slope = dy.row(r), *from = x.row(r), mean = stats.row(r)[0], rstd = stats.row(r)[1];
		eachVector(y.cols, [&](int64_t c, int count) {
			store(total + c, load(total + c, count) + load(slope + c, count) * ((load(from + c, count) - mean) * rstd), count);
		});
	}
}

extern const KernelEntry normKernels[] = {
    {"layerNorm", layerNorm, "mm?", "mm", 1},
    {"layerNormGrad", layerNormGrad, "mmmm?", "m", 0},
    {"layerNormWeightGrad", layerNormWeightGrad, "mmm", "m", 1},
    {},
};

}  // namespace rivulet::RIVULET_ISA
