// The scan of a minGRU over the rows of each sequence, and its gradient. Row after row: the state of the row before is still in the
// first cache, and memory is read front to back.
#include "functions.h"
#include "rows.h"

namespace rivulet::RIVULET_ISA {

// sigmoid(x) and 1 - sigmoid(x), neither by a difference.
struct Sigmoid {
	vf open, shut;
};
RIVULET_INLINE Sigmoid sigmoid(vf x) {
	vf e = exp(-abs(x)), larger = 1.0f / (1.0f + e), smaller = e * larger;
	vi sign = x >= vf{};
	return {select(sign, larger, smaller), select(sign, smaller, larger)};
}

// h_t = (1 - z_t) h_(t-1) + z_t g(candidate_t)
static void minGru(const Call& call) {
	const Matrix &gate = call.in[0], &candidate = call.in[1], &initial = call.in[2], &h = call.out[0];
	const int32_t sequences = call.attributes[0].i, length = h.rows / sequences;
	const Range range = partOf(call, sequences);
	for (int64_t b = range.begin; b < range.end; b++) {
		const float* before = initial.data ? initial.row((int32_t)b) : nullptr;
		for (int32_t t = 0; t < length; t++) {
			const int32_t r = (int32_t)b * length + t;
			const float *k = gate.row(r), *from = candidate.row(r);
			float* to = h.row(r);
			eachVector(h.cols, [&](int64_t c, int count) {
				const Sigmoid z = sigmoid(load(k + c, count));
				vf x = load(from + c, count);
				vf y = z.open * select(x >= vf{}, x + 0.5f, sigmoid(x).open);
				store(to + c, before ? z.shut * load(before + c, count) + y : y, count);
			});
			before = to;
		}
	}
}

// With d_t = dh_t + (1 - z_(t+1)) d_(t+1): dgate = d (g - h_(t-1)) z (1 - z), dcandidate = d z g', dinitial = (1 - z_1) d_1.
static void minGruGrad(const Call& call) {
	const Matrix &dh = call.in[0], &gate = call.in[1], &candidate = call.in[2], &h = call.in[3], &initial = call.in[4];
	const Matrix &dGate = call.out[0], &dCandidate = call.out[1], &dInitial = call.out[2];
	const int32_t sequences = call.attributes[0].i, length = h.rows / sequences;
	float* carried = call.scratch->get(0, (size_t)h.cols);
	if (!carried) return;
	for (int32_t b = 0; b < sequences; b++) {
		__builtin_memset(carried, 0, (size_t)h.cols * sizeof(float));
		for (int32_t t = length - 1; t >= 0; t--) {
			const int32_t r = b * length + t;
			const float *slope = dh.row(r), *k = gate.row(r), *from = candidate.row(r);
			const float* before = t > 0 ? h.row(r - 1) : initial.data ? initial.row(b) : nullptr;
			float *toGate = dGate.row(r), *toCandidate = dCandidate.row(r);
			eachVector(h.cols, [&](int64_t c, int count) {
				const Sigmoid z = sigmoid(load(k + c, count));
				vf x = load(from + c, count), d = load(slope + c, count) + load(carried + c, count);
				const Sigmoid s = sigmoid(x);
				const vi linear = x >= vf{};
				vf change = select(linear, x + 0.5f, s.open);
				if (before) change -= load(before + c, count);
				store(toGate + c, d * change * (z.open * z.shut), count);
				store(toCandidate + c, d * z.open * select(linear, splat(1.0f), s.open * s.shut), count);
				store(carried + c, d * z.shut, count);
			});
		}
		if (dInitial.data) __builtin_memcpy(dInitial.row(b), carried, (size_t)h.cols * sizeof(float));
	}
}

extern const KernelEntry minGruKernels[] = {
    {"minGru", minGru, "mm?", "m", 1},
    {"minGruGrad", minGruGrad, "mmmm?", "mm?", 1},
    {},
};

}  // namespace rivulet::RIVULET_ISA
