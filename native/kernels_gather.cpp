// Rows picked out of a table by id, and the gradient: rows added into a table.
#include "rows.h"

namespace rivulet::RIVULET_ISA {

// Words are copied as they are, so the table may hold integers.
static void gather(const Call& call) {
	const Matrix &table = call.in[0], &ids = call.in[1], &y = call.out[0];
	const Range rows = partOf(call, y.rows);
	for (int64_t r = rows.begin; r < rows.end; r++) {
		const int32_t id = ids.ints()[r * ids.ld];
		const size_t bytes = (size_t)y.cols * sizeof(float);
		if (id >= 0 && id < table.rows) __builtin_memcpy(y.row((int32_t)r), table.row(id), bytes);
		else __builtin_memset(y.row((int32_t)r), 0, bytes);
	}
}

static void scatterAdd(const Call& call) {
	const Matrix &dy = call.in[0], &ids = call.in[1], &table = call.out[0];
	if (!call.attributes[0].i)
		for (int32_t r = 0; r < table.rows; r++) __builtin_memset(table.row(r), 0, (size_t)table.cols * sizeof(float));
	for (int32_t r = 0; r < dy.rows; r++) {
		const int32_t id = ids.ints()[(ptrdiff_t)r * ids.ld];
		if (id < 0 || id >= table.rows) continue;
		const float* from = dy.row(r);
		float* to = table.row(id);
		eachVector(dy.cols, [&](int64_t c, int count) { store(to + c, load(to + c, count) + load(from + c, count), count); });
	}
}

extern const KernelEntry gatherKernels[] = {
    {"gather", gather, "mm", "m", 0},
    {"scatterAdd", scatterAdd, "mm", "m", 1},
    {},
};

}  // namespace rivulet::RIVULET_ISA
