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

// to (+)= the rows of dy in [begin, end) whose id is `wanted`.
__device__ __forceinline__ void sumOf(const Matrix& dy, const Matrix& ids, int wanted, int begin, int end, float* to, int accumulate)
{
    int lane = threadIdx.x & 31;
    for (int first = lane; first - lane < dy.cols; first += 32 * WORDS) {
        float total[WORDS] = {};
        for (int base = begin; base < end; base += 32 * IDS) {
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

// A warp has one row of the table. y (chunks x table rows, under one another): blockIdx.y is the chunk.
extern "C" __global__ void __launch_bounds__(256) scatterAdd(Matrix dy, Matrix ids, Matrix y, int tableRows, int chunkRows, int accumulate)
{
    waitForLaunchesBefore();
    int wanted = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5);
    if (wanted >= tableRows) return;
    int begin = blockIdx.y * chunkRows, end = min(begin + chunkRows, dy.rows);
    sumOf(dy, ids, wanted, begin, end, y.row(blockIdx.y * tableRows + wanted), accumulate);
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
    sumOf(dy, ids, wanted, r, dy.rows, y.row(wanted), 1);
}
