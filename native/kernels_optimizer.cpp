// The step from gradients to weights: the factor that clips them, Adam with decoupled weight decay, and the weights' moving average.
#include "rows.h"

namespace rivulet::RIVULET_ISA {

// A norm that is not finite halts the updates: this one and all that follow.
static void clipFactor(const Call& call) {
	const Matrix& partials = call.in[0];
	const float most = call.attributes[0].f;
	double total = 0;
	for (int32_t c = 0; c < partials.cols; c++) total += partials.data[c];
	const double norm = __builtin_sqrt(total), factor = most / (norm + 1e-6);
	float* halted = call.out[1].data;
	const bool updates = norm <= 3.4e38 && *halted == 0;
	call.out[0].data[0] = !updates ? __builtin_nanf("") : most > 0 && factor < 1 ? (float)factor : 1;
	call.out[0].data[1] = (float)norm;
	*halted = !updates;
}

// One pass over weights, gradients and moments. A gradient that is not finite (clip NaN) changes nothing.
static void adam(const Call& call) {
	const Range range = partOf(call, call.in[0].cols);
	float *p = call.out[0].data, *m = call.out[1].data, *v = call.out[2].data;
	const float *g = call.in[1].data, *hyper = call.in[4].data, clip = *call.in[5].data;
	if (clip != clip) return;
	const float rate = hyper[0], beta1 = hyper[1], beta2 = hyper[2], eps = hyper[3];
	const float keep = 1 - rate * hyper[6] * call.attributes[0].f, step = rate / hyper[4], correction = 1 / hyper[5];
	eachVector(range.end - range.begin, [&](int64_t c, int count) {
		const int64_t at = range.begin + c;
		vf gradient = load(g + at, count) * clip;
		vf mean = load(m + at, count) * beta1 + gradient * (1 - beta1);
		vf square = load(v + at, count) * beta2 + gradient * gradient * (1 - beta2);
		store(m + at, mean, count);
		store(v + at, square, count);
		store(p + at, load(p + at, count) * keep - step * mean / (sqrt(square * correction) + eps), count);
	});
}

static void movingAverage(const Call& call) {
	const Range range = partOf(call, call.in[0].cols);
	float* average = call.out[0].data;
	const float *p = call.in[1].data, rate = call.in[2].data[7], clip = *call.in[3].data;
	if (clip != clip) return;
	eachVector(range.end - range.begin, [&](int64_t c, int count) {
		const int64_t at = range.begin + c;
		vf value = load(average + at, count);
		store(average + at, value + (load(p + at, count) - value) * rate, count);
	});
}

extern const KernelEntry optimizerKernels[] = {
    {"clipFactor", clipFactor, "mm", "mm", 1},
    {"adam", adam, "mmmmmm", "mmm", 1},
    {"movingAverage", movingAverage, "mmmm", "m", 0},
    {},
};

}  // namespace rivulet::RIVULET_ISA
