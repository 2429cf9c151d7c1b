// Sums over rows and over everything, in an order that sizes alone decide; scatter-add; the optimiser.
#include "common.cuh"

// y (chunks x cols, one under the other) = sums over chunks of rows of x, or of x times the normalised values of `n`. Blocks of
// 32 x 8 threads: 32 columns, eight rows at a time.
extern "C" __global__ void columnSums(Matrix x, Matrix n, Matrix stats, Matrix y, int chunkRows, int accumulate)
{
    __shared__ float parts[8][33];
    int c = blockIdx.x * 32 + threadIdx.x;
    int begin = blockIdx.y * chunkRows, end = min(begin + chunkRows, x.rows);
    float total = 0;
    if (c < x.cols)
        for (int r = begin + threadIdx.y; r < end; r += 8) {
            float v = x.row(r)[c];
            if (n.data) v *= (n.row(r)[c] - stats.row(r)[0]) * stats.row(r)[1];
            total += v;
        }
    parts[threadIdx.y][threadIdx.x] = total;
    __syncthreads();
    if (threadIdx.y == 0 && c < x.cols) {
        for (int i = 1; i < 8; i++) total += parts[i][threadIdx.x];
        float* to = y.row(blockIdx.y) + c;
        *to = accumulate ? *to + total : total;
    }
}

__device__ float blockSum(float v)
{
    v = overRow<false>(v);
    __syncthreads();
    return v;
}

// y[block] = sum over the block's share of a, or of a b; one block per share, shares of equal size.
extern "C" __global__ void sums(Matrix a, Matrix b, float* y, int accumulate)
{
    long long total = (long long)a.rows * a.cols, share = (total + gridDim.x - 1) / gridDim.x;
    long long begin = blockIdx.x * share, end = begin + share < total ? begin + share : total;
    float sum = 0;
    for (long long i = begin + threadIdx.x; i < end; i += blockDim.x) {
        int r = (int)(i / a.cols), c = (int)(i - (long long)r * a.cols);
        float v = a.row(r)[c];
        sum += b.data ? v * b.row(r)[c] : v;
    }
    sum = blockSum(sum);
    if (threadIdx.x == 0) y[blockIdx.x] = accumulate ? y[blockIdx.x] + sum : sum;
}

// partials[p]: squares over columns [n p / parts, n (p + 1) / parts); one block each.
extern "C" __global__ void squareSum(const float* x, float* partials, int n, int parts)
{
    long long begin = (long long)n * blockIdx.x / parts, end = (long long)n * (blockIdx.x + 1) / parts;
    float sum = 0;
    for (long long i = begin + threadIdx.x; i < end; i += blockDim.x) sum += x[i] * x[i];
    sum = blockSum(sum);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

extern "C" __global__ void clipFactor(const float* partials, int count, float* y, float most)
{
    double sum = 0;
    for (int i = 0; i < count; i++) sum += partials[i];
    float norm = (float)sqrt(sum);
    float factor = most > 0 ? fminf(1.0f, most / (norm + 1e-6f)) : 1.0f;
    y[0] = isfinite(norm) ? factor : __int_as_float(0x7fc00000);
    y[1] = norm;
}

extern "C" __global__ void adam(float* p, const float* g, float* m, float* v, const float* hyper, const float* clip, int n, float decay)
{
    float factor = clip[0];
    if (isnan(factor)) return;
    float rate = hyper[0], beta1 = hyper[1], beta2 = hyper[2], eps = hyper[3];
    float correction1 = hyper[4], correction2 = hyper[5], shrink = 1.0f - rate * hyper[6] * decay;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        float gradient = g[i] * factor;
        float mean = beta1 * m[i] + (1.0f - beta1) * gradient;
        float square = beta2 * v[i] + (1.0f - beta2) * gradient * gradient;
        m[i] = mean;
        v[i] = square;
        p[i] = p[i] * shrink - rate * (mean / correction1) / (sqrtf(square / correction2) + eps);
    }
}

// Sum of the rows of dy whose id is `blockIdx.x`, over chunk blockIdx.y of the rows, in order: y (chunks x table rows, under one another).
extern "C" __global__ void scatterAdd(Matrix dy, Matrix ids, Matrix y, int tableRows, int chunkRows, int accumulate)
{
    __shared__ int found[256];
    __shared__ int count;
    int wanted = blockIdx.x, begin = blockIdx.y * chunkRows, end = min(begin + chunkRows, dy.rows);
    float* to = y.row(blockIdx.y * tableRows + wanted);
    for (int first = 0; first < dy.cols; first += blockDim.x * 4) {
        float total[4] = {0, 0, 0, 0};
        for (int base = begin; base < end; base += blockDim.x) {
            int r = base + threadIdx.x;
            bool match = r < end && ((const int*)ids.row(r))[0] == wanted;
            // Rows that match, in order: warps write their matches one after the other.
            unsigned votes = __ballot_sync(FULL_WARP, match);
            __shared__ int warpCount[32];
            int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
            if (lane == 0) warpCount[warp] = __popc(votes);
            __syncthreads();
            int before = 0;
            for (int i = 0; i < warp; i++) before += warpCount[i];
            if (match) found[before + __popc(votes & ((1u << lane) - 1))] = r;
            if (threadIdx.x == blockDim.x - 1) count = before + __popc(votes);
            __syncthreads();
            for (int i = 0; i < count; i++) {
                const float* from = dy.row(found[i]);
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    int c = first + j * blockDim.x + threadIdx.x;
                    if (c < dy.cols) total[j] += from[c];
                }
            }
            __syncthreads();
        }
        for (int j = 0; j < 4; j++) {
            int c = first + j * blockDim.x + threadIdx.x;
            if (c < dy.cols) to[c] = accumulate ? to[c] + total[j] : total[j];
        }
    }
}
