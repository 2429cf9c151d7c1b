// Layer norm and its gradient for rows that a warp holds in registers, joined with what stands beside them in a model: dropout and
// the residual sum before a norm, dropout behind its gradient. Columns: a multiple of 16, at most 1024; operands in fours.
// A lane's columns are those of four neighbouring Philox lanes, so that it draws no word twice. Everything is read
// before anything is written or waited for: a row is short, and its time is that of the trips to memory that follow one another.
//
// Compiled with TURNS, the 512s of columns, rounded up, and LANES, how many lanes of a warp share a row: a power of two, 32 with several
// turns. Lanes of rows beyond the last take part in sums, with no columns.
#include "common.cuh"

#define ROWS_OF_WARP (32 / LANES)
#define LANE ((int)threadIdx.x & (LANES - 1))

// The row of this lane; `warp` counts all warps.
__device__ __forceinline__ int rowOf(int warp) { return warp * ROWS_OF_WARP + (int)threadIdx.x / LANES; }

// Over the lanes of a row.
__device__ __forceinline__ float rowSum(float v)
{
    for (int d = LANES / 2; d > 0; d >>= 1) v += __shfl_xor_sync(FULL_WARP, v, d);
    return v;
}

// Columns 4 i + j q of row values, i = lane + 32 turn, j = 0..3.
struct Row {
    float4 v[TURNS][4];
};

#define EACH_QUAD(t, j, c, cols) \
    _Pragma("unroll") for (int t = 0; t < TURNS; t++) if (4 * (LANE + 32 * t) < (cols) / 4) \
        _Pragma("unroll") for (int j = 0, c = 4 * (LANE + 32 * t); j < 4; j++, c += (cols) / 4)

__device__ __forceinline__ float sumOf(float4 a) { return (a.x + a.y) + (a.z + a.w); }

__device__ __forceinline__ void drop(Row& row, int r, int cols, const RowDropout& dropout)
{
    if (!(dropout.p > 0)) return;
#pragma unroll
    for (int t = 0; t < TURNS; t++) {
        int lane = 4 * (LANE + 32 * t);
        if (lane >= cols / 4) break;
        float4 keep[4];
        multipliers(keep, dropout, r, lane);
#pragma unroll
        for (int j = 0; j < 4; j++) row.v[t][j] = row.v[t][j] * keep[j];
    }
}

__device__ __forceinline__ void load(Row& to, const Matrix& from, int r, int cols)
{
    EACH_QUAD(t, j, c, cols) to.v[t][j] = *(const float4*)(from.row(r) + c);
}

// A row that is the same for all; zeros where there is none.
__device__ __forceinline__ void load(Row& to, const float* from, int cols)
{
    EACH_QUAD(t, j, c, cols) to.v[t][j] = from ? *(const float4*)(from + c) : make_float4(0, 0, 0, 0);
}

// Mean and reciprocal deviation of a row, and its norm.
__device__ __forceinline__ void normalise(Row& values, const Row& scales, const Row& shifts, int r, int cols, const Matrix& y,
    const Matrix& half, int only, const Matrix& stats, float eps)
{
    float total = 0, squares = 0;
    EACH_QUAD(t, j, c, cols) total += sumOf(values.v[t][j]);
    float mean = rowSum(total) / cols;
    EACH_QUAD(t, j, c, cols) {
        values.v[t][j] = values.v[t][j] - mean;
        squares += sumOf(values.v[t][j] * values.v[t][j]);
    }
    float rstd = 1.0f / sqrtf(rowSum(squares) / cols + eps);
    EACH_QUAD(t, j, c, cols) {
        put(values.v[t][j] * rstd * scales.v[t][j] + shifts.v[t][j], y, half, only, r, c);
    }
    if (LANE == 0 && cols > 0) stats.row(r)[0] = mean, stats.row(r)[1] = rstd;
}

// With v: x = dropout(v + row) + residual first, which is stored. y = (x - mean) rstd weight + bias.
extern "C" __global__ void __launch_bounds__(128) normRow(Matrix v, const float* row, Matrix residual, Matrix x, const float* weight,
    const float* bias, Matrix y, Matrix half, int only, Matrix stats, float eps, float p, int id, int rowsPerSequence, int sequences,
    const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    int r = rowOf(blockIdx.x * blockDim.y + threadIdx.y), cols = r < x.rows ? x.cols : 0;
    Row values, added, rest, scales, shifts;
    if (v.data)
        load(values, v, r, cols);
    else
        load(values, x, r, cols);
    if (v.data && row) load(added, row, cols);
    if (v.data && residual.data) load(rest, residual, r, cols);
    load(scales, weight, cols);
    load(shifts, bias, cols);
    if (v.data) {
        if (row) EACH_QUAD(t, j, c, cols) values.v[t][j] = values.v[t][j] + added.v[t][j];
        drop(values, r, cols, {p, id, rowsPerSequence, sequences, job, firstSequence});
        EACH_QUAD(t, j, c, cols) {
            if (residual.data) values.v[t][j] = values.v[t][j] + rest.v[t][j];
            *(float4*)(x.row(r) + c) = values.v[t][j];
        }
    }
    normalise(values, scales, shifts, r, cols, y, half, only, stats, eps);
}

// fs = dropout(fs + row) + residual, which is stored, f above s; then alpha f + s above alpha f + x, stored as `joined`, and the norm of that.
// A warp has row r of f, s, x and both rows that come of them.
extern "C" __global__ void __launch_bounds__(128) carryNormRow(Matrix fs, const float* row, Matrix residual, const float* alpha, Matrix x,
    Matrix joined, const float* weight, const float* bias, Matrix y, Matrix half, int only, Matrix stats, float eps, float p, int id,
    int rowsPerSequence, int sequences, const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    int r = rowOf(blockIdx.x * blockDim.y + threadIdx.y), cols = r < x.rows ? fs.cols : 0, below = r + x.rows;
    Row f, s, restF, restS, present, added, scales, shifts;
    load(f, fs, r, cols), load(s, fs, below, cols), load(present, x, r, cols);
    if (residual.data) load(restF, residual, r, cols), load(restS, residual, below, cols);
    load(added, row, cols), load(scales, weight, cols), load(shifts, bias, cols);
    float share = *alpha;
    EACH_QUAD(t, j, c, cols) {
        f.v[t][j] = f.v[t][j] + added.v[t][j];
        s.v[t][j] = s.v[t][j] + added.v[t][j];
    }
    const RowDropout dropout = {p, id, rowsPerSequence, sequences, job, firstSequence};
    drop(f, r, cols, dropout), drop(s, below, cols, dropout);
    EACH_QUAD(t, j, c, cols) {
        if (residual.data) f.v[t][j] = f.v[t][j] + restF.v[t][j], s.v[t][j] = s.v[t][j] + restS.v[t][j];
        *(float4*)(fs.row(r) + c) = f.v[t][j], *(float4*)(fs.row(below) + c) = s.v[t][j];
        f.v[t][j] = f.v[t][j] * share;
        s.v[t][j] = f.v[t][j] + s.v[t][j];
        present.v[t][j] = f.v[t][j] + present.v[t][j];
        *(float4*)(joined.row(r) + c) = s.v[t][j], *(float4*)(joined.row(below) + c) = present.v[t][j];
    }
    normalise(s, scales, shifts, r, cols, y, half, only, stats, eps);
    normalise(present, scales, shifts, below, cols, y, half, only, stats, eps);
}

// Halves as they lie in memory, in the first two words of four: numbers, which `widen` makes of it, would have to be waited for.
__device__ __forceinline__ void loadHalf(Row& to, const Matrix& from, int r, int cols)
{
    EACH_QUAD(t, j, c, cols) {
        uint2 pairs = *(const uint2*)(halfRow(from, r) + c);
        to.v[t][j].x = __uint_as_float(pairs.x), to.v[t][j].y = __uint_as_float(pairs.y);
    }
}

__device__ __forceinline__ void widen(Row& row, int cols)
{
    EACH_QUAD(t, j, c, cols) {
        float2 low = numbersOf(__float_as_uint(row.v[t][j].x)), high = numbersOf(__float_as_uint(row.v[t][j].y));
        row.v[t][j] = make_float4(low.x, low.y, high.x, high.y);
    }
}

struct NormGrad {
    Matrix dy, x;
    const float* weight;
    Matrix stats, residual, dx, half;
    int only;
    Matrix dropped, droppedHalf;
    int onlyDropped;
    RowDropout dropout;
};

// Row r, if there is one. With SUMS, dy and dy times the normalised x are added to rows of sums; the first may be absent.
template <bool SUMS>
__device__ __forceinline__ void gradOfRow(const NormGrad& a, int r, float4* biasSums, float4* weightSums)
{
    int cols = r < a.x.rows ? a.x.cols : 0;
    r = min(r, a.x.rows - 1);
    Row norms, slopes, rest, scales;
    load(norms, a.x, r, cols);
    if (a.dy.half)
        loadHalf(slopes, a.dy, r, cols);
    else
        load(slopes, a.dy, r, cols);
    if (a.residual.data) load(rest, a.residual, r, cols);
    load(scales, a.weight, cols);
    float mean = a.stats.row(r)[0], rstd = a.stats.row(r)[1], total = 0, products = 0;
    if (a.dy.half) widen(slopes, cols);
    if (SUMS && biasSums) EACH_QUAD(t, j, c, cols) biasSums[c / 4] = biasSums[c / 4] + slopes.v[t][j];
    EACH_QUAD(t, j, c, cols) {
        norms.v[t][j] = (norms.v[t][j] - mean) * rstd;
        if (SUMS) weightSums[c / 4] = weightSums[c / 4] + slopes.v[t][j] * norms.v[t][j];
        slopes.v[t][j] = slopes.v[t][j] * scales.v[t][j];
        total += sumOf(slopes.v[t][j]);
        products += sumOf(slopes.v[t][j] * norms.v[t][j]);
    }
    total = rowSum(total) / cols;
    products = rowSum(products) / cols;
    EACH_QUAD(t, j, c, cols) {
        float4 value = (slopes.v[t][j] - total + norms.v[t][j] * -products) * rstd;
        if (a.residual.data) value = value + rest.v[t][j];
        slopes.v[t][j] = value;
        put(value, a.dx, a.half, a.only, r, c);
    }
    if (!a.dropped.data) return;
    drop(slopes, r, cols, a.dropout);
    EACH_QUAD(t, j, c, cols) put(slopes.v[t][j], a.dropped, a.droppedHalf, a.onlyDropped, r, c);
}

// dx = the norm's gradient to x, + residual; dropped = dropout(dx) where asked for. dx may be dy or residual, dropped dy, x or residual; dy
// may be halves.
extern "C" __global__ void __launch_bounds__(128, 5 - TURNS) normRowGrad(Matrix dy, Matrix x, const float* weight, Matrix stats, Matrix residual,
    Matrix dx, Matrix half, int only, Matrix dropped, Matrix droppedHalf, int onlyDropped, float p, int id, int rowsPerSequence,
    int sequences, const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    gradOfRow<false>({dy, x, weight, stats, residual, dx, half, only, dropped, droppedHalf, onlyDropped,
        {p, id, rowsPerSequence, sequences, job, firstSequence}}, rowOf(blockIdx.x * blockDim.y + threadIdx.y), nullptr, nullptr);
}

// The same, and the gradients of weight and (where asked for) bias in parts: row b of each is the sum over the rows that block b goes
// over. Rows that go on at once have their sums in shared memory each: a row of weight's, then, after those of all, a row of bias's.
extern "C" __global__ void __launch_bounds__(384) normRowGradSums(Matrix dy, Matrix x, const float* weight, Matrix stats,
    Matrix residual, Matrix dx, Matrix half, int only, Matrix dropped, Matrix droppedHalf, int onlyDropped, float p, int id,
    int rowsPerSequence, int sequences, const JobState* job, int firstSequence, Matrix weightParts, Matrix biasParts)
{
    waitForLaunchesBefore();
    DYNAMIC_SHARED(float4, sums);
    int quads = x.cols / 4, kinds = biasParts.data ? 2 : 1, first = threadIdx.y * 32 + threadIdx.x, step = 32 * blockDim.y;
    int atOnce = ROWS_OF_WARP * blockDim.y;
    for (int i = first; i < kinds * atOnce * quads; i += step) sums[i] = make_float4(0, 0, 0, 0);
    __syncthreads();
    float4* weightSums = sums + rowOf(threadIdx.y) * quads;
    float4* biasSums = biasParts.data ? weightSums + atOnce * quads : nullptr;
    for (int warp = blockIdx.x * blockDim.y + threadIdx.y; warp * ROWS_OF_WARP < x.rows; warp += gridDim.x * blockDim.y)
        gradOfRow<true>({dy, x, weight, stats, residual, dx, half, only, dropped, droppedHalf, onlyDropped,
            {p, id, rowsPerSequence, sequences, job, firstSequence}}, rowOf(warp), biasSums, weightSums);
    __syncthreads();
    for (int i = first; i < kinds * quads; i += step) {
        int kind = i / quads, c = i - kind * quads;
        const float4* own = sums + kind * atOnce * quads + c;
        float4 total = own[0];
        for (int w = 1; w < atOnce; w++) total = total + own[w * quads];
        *(float4*)((kind == 0 ? weightParts : biasParts).row(blockIdx.x) + 4 * c) = total;
    }
}
