// Kernels that treat every element alike: activations, arithmetic of matrices and scalars, copies, dropout. An output may be
// the same memory as an input.
#include "functions.h"
#include "random.h"
#include "rows.h"

namespace rivulet::RIVULET_ISA {

// y = f(x[0], x[1] ...) element by element, for this part's rows. A row operand that serves every row has ld 0.
template <int inputs, typename F>
RIVULET_INLINE void map(const Call& call, const Matrix& y, const Matrix (&x)[inputs], F f) {
	Range rows = partOf(call, y.rows);
	bool contiguous = y.ld == y.cols;
	for (const Matrix& m : x) contiguous = contiguous && m.ld == y.cols;
	int64_t columns = y.cols;
	if (contiguous && rows.end > rows.begin) {
		columns *= rows.end - rows.begin;
		rows.end = rows.begin + 1;
	}
	for (int64_t r = rows.begin; r < rows.end; r++) {
		float* to = y.row((int32_t)r);
		const float* from[inputs];
		for (int i = 0; i < inputs; i++) from[i] = x[i].row((int32_t)r);
		eachVector(columns, [&](int64_t c, int count) {
			vf v[inputs];
			for (int i = 0; i < inputs; i++) v[i] = load(from[i] + c, count);
			store(to + c, f(v), count);
		});
	}
}

// A 1 x C operand as one that has the same row everywhere.
static Matrix everyRow(const Matrix& row) { return {row.data, row.rows, row.cols, 0}; }

static void add(const Call& call) {
	map<2>(call, call.out[0], {call.in[0], call.in[1]}, [](const vf (&x)[2]) { return x[0] + x[1]; });
}

static void sub(const Call& call) {
	map<2>(call, call.out[0], {call.in[0], call.in[1]}, [](const vf (&x)[2]) { return x[0] - x[1]; });
}

static void mul(const Call& call) {
	map<2>(call, call.out[0], {call.in[0], call.in[1]}, [](const vf (&x)[2]) { return x[0] * x[1]; });
}

static void addRow(const Call& call) {
	map<2>(call, call.out[0], {call.in[0], everyRow(call.in[1])}, [](const vf (&x)[2]) { return x[0] + x[1]; });
}

static void scaleRows(const Call& call, const Matrix& x, float c) {
	map<1>(call, call.out[0], {x}, [c](const vf (&x)[1]) { return x[0] * c; });
}

static void scale(const Call& call) { scaleRows(call, call.in[0], call.attributes[0].f); }

static void scaleBy(const Call& call) { scaleRows(call, call.in[1], *call.in[0].data); }

static void addScaled(const Call& call) {
	const float s = *call.in[0].data;
	map<2>(call, call.out[0], {call.in[1], call.in[2]}, [s](const vf (&x)[2]) { return x[0] * s + x[1]; });
}

static void lerp(const Call& call) {
	const float t = *call.in[2].data;
	map<2>(call, call.out[0], {call.in[0], call.in[1]}, [t](const vf (&x)[2]) { return x[0] + (x[1] - x[0]) * t; });
}

static void clamp(const Call& call) {
	const vf low = splat(call.attributes[0].f), high = splat(call.attributes[1].f);
	map<1>(call, call.out[0], {call.in[0]}, [=](const vf (&x)[1]) { return min(high, max(low, x[0])); });
}

static void clampGrad(const Call& call) {
	const vf low = splat(call.attributes[0].f), high = splat(call.attributes[1].f);
	map<2>(call, call.out[0], {call.in[0], call.in[1]}, [=](const vf (&x)[2]) { return select((x[0] >= low) & (x[0] <= high), x[1], vf{}); });
}

static void gelu(const Call& call) {
	map<1>(call, call.out[0], {call.in[0]}, [](const vf (&x)[1]) { return gelu(x[0]); });
}

static void geluGrad(const Call& call) {
	map<2>(call, call.out[0], {call.in[0], call.in[1]}, [](const vf (&x)[2]) { return geluSlope(x[0]) * x[1]; });
}

static void relu(const Call& call) {
	map<1>(call, call.out[0], {call.in[0]}, [](const vf (&x)[1]) { return max(vf{}, x[0]); });
}

static void reluGrad(const Call& call) {
	map<2>(call, call.out[0], {call.in[0], call.in[1]}, [](const vf (&x)[2]) { return select(x[0] > vf{}, x[1], vf{}); });
}

static void broadcast(const Call& call) {
	const vf s = splat(*call.in[0].data);
	map<1>(call, call.out[0], {call.out[0]}, [s](const vf (&)[1]) { return s; });
}

static void copy(const Call& call) {
	const Matrix &x = call.in[0], &y = call.out[0];
	if (call.attributes[0].i) map<2>(call, y, {x, y}, [](const vf (&v)[2]) { return v[1] + v[0]; });
	else map<1>(call, y, {x}, [](const vf (&v)[1]) { return v[0]; });
}

static void dropout(const Call& call) {
	const Matrix &x = call.in[0], &y = call.out[0];
	const Dropout mask(call, call.attributes[0].f, call.attributes[1].i);
	float* keep = call.scratch->get(0, x.cols);
	for (int32_t r = 0; r < x.rows; r++) {
		const Place place = placeOf(r, call.attributes[2].i, call.attributes[3].i, call.firstSequence);
		mask.row(place.sequence, place.row, x.cols, keep);
		const float* from = x.row(r);
		float* to = y.row(r);
		eachVector(x.cols, [&](int64_t c, int count) { store(to + c, load(from + c, count) * load(keep + c, count), count); });
	}
}

extern const KernelEntry elementwiseKernels[] = {
    {"add", add, "mm", "m", 0},
    {"sub", sub, "mm", "m", 0},
    {"mul", mul, "mm", "m", 0},
    {"addRow", addRow, "mm", "m", 0},
    {"scale", scale, "m", "m", 1},
    {"scaleBy", scaleBy, "mm", "m", 0},
    {"addScaled", addScaled, "mmm", "m", 0},
    {"lerp", lerp, "mmm", "m", 0},
    {"clamp", clamp, "m", "m", 2},
    {"clampGrad", clampGrad, "mm", "m", 2},
    {"gelu", gelu, "m", "m", 0},
    {"geluGrad", geluGrad, "mm", "m", 0},
    {"relu", relu, "m", "m", 0},
    {"reluGrad", reluGrad, "mm", "m", 0},
    {"broadcast", broadcast, "m", "m", 0},
    {"copy", copy, "m", "m", 1},
    {"dropout", dropout, "m", "m", 4},
    {},
};

}  // namespace rivulet::RIVULET_ISA
