// Scatter-add: the gradient of a table whose rows were looked up. A warp goes through ids in order and sums the rows that they stand for, so
// that sums are the same every time. Compiled with WORDS, columns of a lane, at most 32; wider tables take turns.
#include "common.cuh"

// Rows that are on their way at once, and ids of a lane.
#define ROWS (WORDS <= 4 ? 8 : WORDS <= 12 ? 4 : 2)
#define IDS 4

__device__ __forceinline__ int idOf(const Matrix& ids, int r, int end)
{
    return r < end ? ((const int*)ids.row(r))[0] : -1;
}

// The first of the stretches of ids from `base` on, up to `end`, that may hold `wanted`: one of 32 * IDS ids, of which `ranges` has the
// least and the greatest. Stretches begin at multiples of their length, and so do chunks.
__device__ __forceinline__ int nextStretch(const int2* ranges, int wanted, int base, int end)
{
    if (!ranges) return base;
    for (int lane = threadIdx.x & 31; base < end; base += 32 * 32 * IDS) {
        int stretch = base / (32 * IDS) + lane;
        bool may = stretch * 32 * IDS < end && ranges[stretch].x <= wanted && wanted <= ranges[stretch].y;
        unsigned votes = __ballot_sync(FULL_WARP, may);
        if (votes) return base + (__ffs(votes) - 1) * 32 * IDS;
    }
    return base;
}

// to (+)= the rows of dy in [begin, end) whose id is `wanted`.
__device__ __forceinline__ void sumOf(
    const Matrix& dy, const Matrix& ids, const int2* ranges, int wanted, int begin, int end, float* to, int accumulate)
{
    int lane = threadIdx.x & 31;
    for (int first = lane; first - lane < dy.cols; first += 32 * WORDS) {
        float total[WORDS] = {};
        for (int base = begin; (base = nextStretch(ranges, wanted, base, end)) < end; base += 32 * IDS) {
            bool match[IDS];
#pragma unroll
            for (int k = 0; k < IDS; k++) match[k] = idOf(ids, base + 32 * k + lane, end) == wanted;
#pragma unroll
            for (int k = 0; k < IDS; k++) {
                unsigned votes = __ballot_sync(FULL_WARP, match[k]);
                while (votes) {
                    float v[ROWS][WORDS];
#pragma unroll
                    for (int i = 0; i < ROWS; i++) {
                        int r = votes ? base + 32 * k + __ffs(votes) - 1 : -1;
                        votes &= votes - 1;
#pragma unroll
                        for (int w = 0; w < WORDS; w++) v[i][w] = r >= 0 && first + 32 * w < dy.cols ? dy.row(r)[first + 32 * w] : 0;
                    }
#pragma unroll
                    for (int i = 0; i < ROWS; i++)
#pragma unroll
                        for (int w = 0; w < WORDS; w++) total[w] += v[i][w];
                }
            }
        }
#pragma unroll
        for (int w = 0; w < WORDS; w++) {
            int c = first + 32 * w;
            if (c < dy.cols) to[c] = accumulate ? to[c] + total[w] : total[w];
        }
    }
}

// The least and the greatest of each stretch of 32 * IDS ids; a warp has one.
extern "C" __global__ void __launch_bounds__(256) idRanges(Matrix ids, int2* ranges)
{
    waitForLaunchesBefore();
    int stretch = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5), lane = threadIdx.x & 31, begin = stretch * 32 * IDS;
    if (begin >= ids.rows) return;
    int least = 0x7fffffff, greatest = -1;
#pragma unroll
    for (int k = 0; k < IDS; k++) {
        int id = idOf(ids, begin + 32 * k + lane, ids.rows);
        if (id >= 0) least = min(least, id), greatest = max(greatest, id);
    }
    for (int d = 16; d > 0; d >>= 1) {
        least = min(least, __shfl_xor_sync(FULL_WARP, least, d));
        greatest = max(greatest, __shfl_xor_sync(FULL_WARP, greatest, d));
    }
    if (lane == 0) ranges[stretch] = make_int2(least, greatest);
}

// A warp has one row of the table, and may be told the ranges of ids. y (chunks x table rows, under one another): blockIdx.y is the chunk.
extern "C" __global__ void __launch_bounds__(256) scatterAdd(
    Matrix dy, Matrix ids, Matrix y, const int2* ranges, int tableRows, int chunkRows, int accumulate)
{
    waitForLaunchesBefore();
    int wanted = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5);
    if (wanted >= tableRows) return;
    int begin = blockIdx.y * chunkRows, end = min(begin + chunkRows, dy.rows);
    sumOf(dy, ids, ranges, wanted, begin, end, y.row(blockIdx.y * tableRows + wanted), accumulate);
}

// For tables of which most rows were not looked up: a warp has one of the ids, and does nothing where that stood before. y has what it is
// added to.
extern "C" __global__ void __launch_bounds__(256) scatterAddSparse(Matrix dy, Matrix ids, Matrix y)
{
    waitForLaunchesBefore();
    int r = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5), lane = threadIdx.x & 31;
    int wanted = idOf(ids, r, dy.rows);
    if (wanted < 0 || wanted >= y.rows) return;
    for (int base = 0; base < r; base += 32 * IDS) {
        bool match = false;
#pragma unroll
        for (int k = 0; k < IDS; k++) match = idOf(ids, base + 32 * k + lane, r) == wanted || match;
        if (__any_sync(FULL_WARP, match)) return;
    }
    sumOf(dy, ids, nullptr, wanted, r, dy.rows, y.row(wanted), 1);
}
