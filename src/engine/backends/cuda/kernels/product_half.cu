// Products of halves whose time is that of the way to memory and back, with what follows them done to the sums before they leave. A block
// has a tile of ROWS x COLUMNS of the result; its warps, DOWN x ACROSS of them, have a part each, as sums in registers. Rows of both
// operands come to shared memory in stages of INNER, STAGES - 1 of them on their way at once: all there are, where they fit.
//
// Compiled with these, and TRANSPOSED, whether b is n x k. INNER divides k; m is any number, n a multiple of 8: what a tile has beyond them
// is neither read nor written. productHalf: also with the ACTIVATION, numbered as in common.cuh. productNorm: with GROUPS of warps, which
// have the sixteens of a stage in turn, SPLIT and PARTS.
//
// Lane 4 g + t. Rows in shared memory are an odd number of 16 bytes: eight of them meet in no bank.
#include "common.cuh"

#ifndef GROUPS
#define GROUPS 1
#define SPLIT 1
#define PARTS 1
#endif
#ifndef ACTIVATION
#define ACTIVATION 0
#endif
#define WARPS (DOWN * ACROSS * GROUPS)
#define THREADS (32 * WARPS)
#define TALL (ROWS / DOWN)
#define WIDE (COLUMNS / ACROSS)
#define PADDED(halves) ((halves) + 8)
typedef unsigned short Half;

constexpr int sizeA = ROWS * PADDED(INNER), sizeB = TRANSPOSED ? COLUMNS * PADDED(INNER) : INNER * PADDED(COLUMNS);

// A fourth of a tile's columns. They are neighbours; the fourths are `apart`, neighbours too in productHalf.
constexpr int strip = COLUMNS / 4;

// Where a thread stands: the tile's first row and column, the first of its warp within it. The groups of warps that have the same part
// share what is contracted over.
struct Place {
    int row, column, apart, top, left, group, warp, lane, g, t;
    __device__ int columnOf(int c) const { return column + c / strip * apart + c % strip; }
};

__device__ __forceinline__ Place placeOfThread(int column, int apart)
{
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, part = warp % (DOWN * ACROSS);
    int top = part / ACROSS * TALL, left = part % ACROSS * WIDE;
    return {(int)blockIdx.y * ROWS, column, apart, top, left, warp / (DOWN * ACROSS), warp, lane, lane >> 2, lane & 3};
}

__device__ __forceinline__ int columnsOf(const Matrix& b) { return TRANSPOSED ? b.rows : b.cols; }

// Start to bring COUNT rows of LENGTH halves, by STEP threads of which this is the given one; `from` tells where the halves of a row from a
// column on are, or null.
template <int COUNT, int LENGTH, int STEP, class From>
__device__ __forceinline__ void bring(Half* to, int thread, From from)
{
    constexpr int pieces = LENGTH / 8;
#pragma unroll
    for (int k = 0; k < COUNT * pieces; k += STEP) {
        int i = k + thread, r = i / pieces, c = 8 * (i % pieces);
        const Half* piece = k + STEP <= COUNT * pieces || i < COUNT * pieces ? from(r, c) : nullptr;
        if (piece) copyLater(to + r * PADDED(LENGTH) + c, piece);
    }
}

// Rows [k, k + INNER) of what is contracted over.
__device__ __forceinline__ void bringStage(Half* to, const Matrix& a, const Matrix& b, int k, const Place& at)
{
    bring<ROWS, INNER, THREADS>(to, threadIdx.x, [&](int r, int c) {
        return at.row + r < a.rows ? halfRow(a, at.row + r) + k + c : nullptr;
    });
    if constexpr (TRANSPOSED)
        bring<COLUMNS, INNER, THREADS>(to + sizeA, threadIdx.x, [&](int r, int c) {
            return at.columnOf(r) < columnsOf(b) ? halfRow(b, at.columnOf(r)) + k + c : nullptr;
        });
    else
        bring<INNER, COLUMNS, THREADS>(to + sizeA, threadIdx.x, [&](int r, int c) {
            return at.columnOf(c) < columnsOf(b) ? halfRow(b, k + r) + at.columnOf(c) : nullptr;
        });
}

// Sums of a warp's part, in tiles of 16 x 8.
typedef float Sums[TALL / 16][WIDE / 8][4];

__device__ __forceinline__ void addStage(Sums& sums, const Half* a, const Place& at)
{
    const Half* b = a + sizeA;
#pragma unroll
    for (int step = 0; step < INNER; step += 16 * GROUPS) {
        const int k = step + 16 * at.group;
        unsigned left[TALL / 16][4], right[WIDE / 16][4];
#pragma unroll
        for (int i = 0; i < TALL / 16; i++)
            loadMatrices(left[i], a + (at.top + 16 * i + (at.lane & 15)) * PADDED(INNER) + k + 8 * (at.lane >> 4));
#pragma unroll
        for (int j = 0; j < WIDE / 16; j++)
            if constexpr (TRANSPOSED)
                loadMatrices(right[j], b + (at.left + 16 * j + (at.lane & 7) + 8 * (at.lane >> 4)) * PADDED(INNER) + k + (at.lane & 8));
            else
                loadMatricesAcross(right[j], b + (k + (at.lane & 15)) * PADDED(COLUMNS) + at.left + 16 * j + 8 * (at.lane >> 4));
#pragma unroll
        for (int j = 0; j < WIDE / 8; j++) {
            const unsigned pair[2] = {right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]};
#pragma unroll
            for (int i = 0; i < TALL / 16; i++) multiplyHalves(sums[i][j], left[i], pair);
        }
    }
}

// sums += the tile's product over INNER `steps` times, from `first` on; `beside` is done when the first copies have begun, and may begin
// more.
template <class Beside>
__device__ __forceinline__ void addProduct(
    Sums& sums, const Matrix& a, const Matrix& b, int first, int steps, Half* stages, const Place& at, Beside beside)
{
    const auto begin = [&](int step) {
        if (step < steps) bringStage(stages + step % STAGES * (sizeA + sizeB), a, b, first + step * INNER, at);
        commitCopies();
    };
#pragma unroll
    for (int step = 0; step < STAGES - 1; step++) begin(step);
    beside();
    for (int step = 0; step < steps; step++) {
        waitForCopies<STAGES - 2>();
        // From here on nobody reads the stage before this one, whose place the next takes.
        __syncthreads();
        begin(step + STAGES - 1);
        addStage(sums, stages + step % STAGES * (sizeA + sizeB), at);
    }
    waitForCopies<0>();
}

// What is done to the two neighbours at (r, c) of a warp's part.
template <class Do>
__device__ __forceinline__ void each2(Sums& sums, const Place& at, Do what)
{
#pragma unroll
    for (int i = 0; i < TALL / 16; i++)
#pragma unroll
        for (int j = 0; j < WIDE / 8; j++)
#pragma unroll
            for (int h = 0; h < 2; h++) what(16 * i + at.g + 8 * h, 8 * j + 2 * at.t, sums[i][j][2 * h], sums[i][j][2 * h + 1]);
}

#if GROUPS == 1 || defined(EMULATED)
// A warp's part to where it belongs, if that is anywhere. Halves go by way of `between`, to be stored 16 bytes at a time.
__device__ __forceinline__ void leave(const Matrix& to, Sums& sums, Half* between, const Place& at)
{
    if (!to.data) return;
    const int row = at.row + at.top, column = at.column + at.left;
    if (!to.half) {
        each2(sums, at, [&](int r, int c, float x, float y) {
            if (row + r < to.rows && column + c < to.cols) *(float2*)(to.row(row + r) + column + c) = make_float2(x, y);
        });
        return;
    }
    __syncwarp();
    each2(sums, at, [&](int r, int c, float x, float y) { *(unsigned*)(between + r * PADDED(WIDE) + c) = halfPair(x, y); });
    __syncwarp();
#pragma unroll
    for (int i = at.lane; i < TALL * WIDE / 8; i += 32) {
        int r = i / (WIDE / 8), c = 8 * (i % (WIDE / 8));
        if (row + r < to.rows && column + c < to.cols)
            *(uint4*)(halfRow(to, row + r) + column + c) = *(const uint4*)(between + r * PADDED(WIDE) + c);
    }
}

// z = a b + bias; y = activation(z), with a factor (halves) that or z times its slope there. y in fp32 and in halves, z in either; any may
// be absent. Shared: for each warp its part of the factor, and then of results in halves; the stages.
extern "C" __global__ void __launch_bounds__(THREADS) productHalf(Matrix a, Matrix b, const float* bias, Matrix factor, Matrix y,
    Matrix half, Matrix z)
{
    waitForLaunchesBefore();
    DYNAMIC_SHARED(Half, shared);
    const Place at = placeOfThread(blockIdx.x * COLUMNS, strip);
    Half *between = shared + at.warp * TALL * PADDED(WIDE), *stages = shared + WARPS * TALL * PADDED(WIDE);
    const int row = at.row + at.top, column = at.column + at.left;
    Sums sums = {};
    addProduct(sums, a, b, 0, a.cols / INNER, stages, at, [&] {
        if (factor.data)
            bring<TALL, WIDE, 32>(between, at.lane, [&](int r, int c) {
                return row + r < factor.rows && column + c < factor.cols ? halfRow(factor, row + r) + column + c : nullptr;
            });
    });
    if (bias)
        each2(sums, at, [&](int, int c, float& x, float& y) {
            if (column + c < columnsOf(b)) x += bias[column + c], y += bias[column + c + 1];
        });
    leave(z, sums, between, at);
    __syncwarp();
    each2(sums, at, [&](int r, int c, float& x, float& y) {
        float2 by = make_float2(0, 0);
        if (factor.data) by = numbersOf(*(const unsigned*)(between + r * PADDED(WIDE) + c));
        x = activated(ACTIVATION, x, by.x), y = activated(ACTIVATION, y, by.y);
    });
    leave(y, sums, between, at);
    leave(half, sums, between, at);
}
#endif

#if GROUPS > 1 || defined(EMULATED)
constexpr int ownRows = ROWS / SPLIT, turns = (ownRows + WARPS - 1) / WARPS, across = COLUMNS + 8;

// What stands in a block's shared memory for the others to write: of the rows that it ends with, the sums of every block of its columns and
// of each of its groups; and the mean and the squares around it of every part of a row.
struct Met {
    float* sums;
    float2* moments;
    __device__ explicit Met(void* shared) : sums((float*)shared), moments((float2*)(sums + SPLIT * GROUPS * ownRows * across)) {}
    __device__ float* sum(int slice, int r, int c) const { return sums + (slice * ownRows + r) * across + c; }
    __device__ float2* moment(int part, int r) const { return moments + part * ownRows + r; }
};

// The four columns that lane i of a row's warp has, i < strip: one of each fourth, those of one Philox block.
__device__ __forceinline__ float4 loadFourths(const float* row, int apart)
{
    return make_float4(row[0], row[apart], row[2 * apart], row[3 * apart]);
}

__device__ __forceinline__ void storeFourths(float* row, int apart, float4 v)
{
    row[0] = v.x, row[apart] = v.y, row[2 * apart] = v.z, row[3 * apart] = v.w;
}

__device__ __forceinline__ float sumOf(float4 a) { return (a.x + a.y) + (a.z + a.w); }

// x = dropout(a b + row) + residual; y = (x - mean) rstd weight + bias, in fp32 and in halves, of which either may be absent. A cluster of
// blocks has ROWS rows: PARTS have the columns, in each fourth of them as many; SPLIT times as many share what is contracted over. They add
// up, each for as many of the rows; then they tell one another means and squares. n is PARTS * COLUMNS. Shared: Met, the stages.
extern "C" __global__ void __cluster_dims__(PARTS * SPLIT) __launch_bounds__(THREADS, 1) productNorm(Matrix a, Matrix b, const float* row,
    Matrix residual, Matrix x, const float* weight, const float* bias, Matrix y, Matrix half, Matrix stats, float eps, float p, int id,
    int rowsPerSequence, int sequences, const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    DYNAMIC_SHARED(Half, shared);
    const Met met(shared);
    const int part = blockIdx.x % PARTS, slice = blockIdx.x / PARTS, quarter = x.cols / 4;
    const Place at = placeOfThread(part * strip, quarter);
    Half* stages = (Half*)(met.moments + PARTS * ownRows);
    arriveAtCluster();
    // A warp ends with every WARPSth row; a lane of it with four columns.
    const bool mine = at.lane < strip;
    const int column = at.column + at.lane, top = at.row + slice * ownRows;
    const auto rowOf = [&](int turn) { return at.warp + WARPS * turn; };
    const auto inside = [&](int turn) { return mine && rowOf(turn) < ownRows && top + rowOf(turn) < x.rows; };
    const float4 none = make_float4(0, 0, 0, 0);
    float4 values[turns], added = none, scales = none, shifts = none;
    unsigned dropped = 0;
    Sums sums = {};
    addProduct(sums, a, b, slice * (a.cols / SPLIT), a.cols / SPLIT / INNER, stages, at, [&] {
#pragma unroll
        for (int turn = 0; turn < turns; turn++)
            values[turn] = residual.data && inside(turn) ? loadFourths(residual.row(top + rowOf(turn)) + column, quarter) : none;
        if (mine && row) added = loadFourths(row + column, quarter);
        if (mine) scales = loadFourths(weight + column, quarter);
        if (mine && bias) shifts = loadFourths(bias + column, quarter);
        if (p > 0) {
            const unsigned threshold = dropoutThreshold(p);
#pragma unroll
            for (int turn = 0; turn < turns; turn++) {
                unsigned sequence, place;
                placeOf(top + rowOf(turn), rowsPerSequence, sequences, firstSequence, sequence, place);
                uint4 words = philox(job, column, place, sequence, id);
                dropped |= ((words.x < threshold) | (words.y < threshold) << 1 | (words.z < threshold) << 2 | (words.w < threshold) << 3)
                    << 4 * turn;
            }
        }
    });
    waitForCluster();
    each2(sums, at, [&](int r, int c, float u, float v) {
        int owner = (at.top + r) / ownRows;
        const Met theirs(SPLIT > 1 ? ofBlock(shared, owner * PARTS + part) : shared);
        *(float2*)theirs.sum(slice * GROUPS + at.group, (at.top + r) % ownRows, at.left + c) = make_float2(u, v);
    });
    arriveAtCluster();
    waitForCluster();
    const float scale = dropoutScale(p);
    // Lane i tells part i.
    const Met theirs(ofBlock(shared, slice * PARTS + at.lane % PARTS));
#pragma unroll
    for (int turn = 0; turn < turns; turn++) {
        int r = rowOf(turn);
        if (turns * WARPS > ownRows && r >= ownRows) break;
        float4 sum = added;
        if (mine)
#pragma unroll
            for (int i = 0; i < SPLIT * GROUPS; i++) sum = sum + loadFourths(met.sum(i, r, at.lane), strip);
        const auto kept = [&](int j, float v) { return p > 0 ? dropped >> (4 * turn + j) & 1 ? 0 : v * scale : v; };
        float4& value = values[turn];
        value = make_float4(kept(0, sum.x), kept(1, sum.y), kept(2, sum.z), kept(3, sum.w)) + value;
        float mean = warpSum(sumOf(value)) / COLUMNS;
        float4 off = value - mean;
        float squares = warpSum(mine ? sumOf(off * off) : 0);
        if (at.lane < PARTS) *theirs.moment(part, r) = make_float2(mean, squares);
    }
    arriveAtCluster();
#pragma unroll
    for (int turn = 0; turn < turns; turn++)
        if (inside(turn)) storeFourths(x.row(top + rowOf(turn)) + column, quarter, values[turn]);
    waitForCluster();
#pragma unroll
    for (int turn = 0; turn < turns; turn++) {
        if (!inside(turn)) continue;
        int r = rowOf(turn), to = top + r;
        float mean = 0, squares = 0;
#pragma unroll
        for (int i = 0; i < PARTS; i++) mean += met.moment(i, r)->x;
        mean /= PARTS;
#pragma unroll
        for (int i = 0; i < PARTS; i++) {
            float2 moment = *met.moment(i, r);
            squares += moment.y + COLUMNS * (moment.x - mean) * (moment.x - mean);
        }
        float rstd = 1.0f / sqrtf(squares / x.cols + eps);
        float4 value = (values[turn] - mean) * rstd * scales + shifts;
        if (y.data) storeFourths(y.row(to) + column, quarter, value);
        if (half.data) {
            Half* halves = halfRow(half, to) + column;
            halves[0] = halfBits(value.x), halves[quarter] = halfBits(value.y);
            halves[2 * quarter] = halfBits(value.z), halves[3 * quarter] = halfBits(value.w);
        }
        if (part == 0 && at.lane == 0) stats.row(to)[0] = mean, stats.row(to)[1] = rstd;
    }
}
#endif
