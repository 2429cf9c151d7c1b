// Attention of one new row per stream against its cache. A block has one head of one stream; a warp takes every eighth key.
#include "common.cuh"

#define WARPS 8
#define MOST 4  // columns of a lane: heads of up to 128 columns

extern "C" __global__ void __launch_bounds__(32 * WARPS) decodeAttention(Matrix q, Matrix kv, Matrix lengths, Matrix o, int heads)
{
    waitForLaunchesBefore();
    __shared__ float tops[WARPS], totals[WARPS], sums[WARPS][32 * MOST];
    int stream = blockIdx.x / heads, head = blockIdx.x - stream * heads, size = q.cols / heads, first = head * size;
    int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    int length = kv.rows / q.rows, seen = min(((const int*)lengths.row(stream))[0], length);
    float mine[MOST], sum[MOST] = {}, top = -INFINITE, total = 0, scale = 1 / sqrtf((float)size);
    for (int i = 0; i < MOST; i++) mine[i] = lane + 32 * i < size ? q.row(stream)[first + lane + 32 * i] * scale : 0;
    for (int j = warp; j < seen; j += WARPS) {
        const float* row = kv.row(stream * length + j) + first;
        float key[MOST], value[MOST], score = 0;
#pragma unroll
        for (int i = 0; i < MOST; i++) {
            int c = lane + 32 * i;
            key[i] = c < size ? row[c] : 0;
            value[i] = c < size ? row[q.cols + c] : 0;
            score += mine[i] * key[i];
        }
        score = warpSum(score);
        float most = fmaxf(top, score), factor = expf(top - most), weight = expf(score - most);
        total = total * factor + weight;
        top = most;
#pragma unroll
        for (int i = 0; i < MOST; i++) sum[i] = sum[i] * factor + weight * value[i];
    }
    if (lane == 0) tops[warp] = top, totals[warp] = total;
    for (int i = 0; i < MOST; i++) sums[warp][lane + 32 * i] = sum[i];
    __syncthreads();
    float most = -INFINITE, all = 0;
    for (int w = 0; w < WARPS; w++) most = fmaxf(most, tops[w]);
    for (int w = 0; w < WARPS; w++) all += totals[w] * expf(tops[w] - most);
    for (int c = threadIdx.x; c < size; c += 32 * WARPS) {
        float v = 0;
        for (int w = 0; w < WARPS; w++) v += sums[w][c] * expf(tops[w] - most);
        o.row(stream)[first + c] = v / all;
    }
}
