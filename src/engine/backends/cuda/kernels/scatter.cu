// Scatter-add: the gradient of a table whose rows were looked up. A warp has one row of the table and goes through a chunk of the ids in
// order, so that sums are the same every time. Compiled with WORDS, columns of a lane, at most 32; wider tables take turns.
#include "common.cuh"

// Rows that are on their way at once.
#define ROWS (WORDS <= 4 ? 8 : WORDS <= 12 ? 4 : 2)
#define IDS 4

// y (chunks x table rows, under one another): blockIdx.y is the chunk.
extern "C" __global__ void __launch_bounds__(256) scatterAdd(Matrix dy, Matrix ids, Matrix y, int tableRows, int chunkRows, int accumulate)
{
    int wanted = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5), lane = threadIdx.x & 31;
    if (wanted >= tableRows) return;
    int begin = blockIdx.y * chunkRows, end = min(begin + chunkRows, dy.rows);
    float* to = y.row(blockIdx.y * tableRows + wanted);
    for (int first = lane; first - lane < dy.cols; first += 32 * WORDS) {
        float total[WORDS] = {};
        for (int base = begin; base < end; base += 32 * IDS) {
            bool match[IDS];
#pragma unroll
            for (int k = 0; k < IDS; k++) {
                int r = base + 32 * k + lane;
                match[k] = r < end && ((const int*)ids.row(r))[0] == wanted;
            }
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
