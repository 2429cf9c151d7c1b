// Sums over rows and over everything, in an order that sizes alone decide; the optimiser.
#include "common.cuh"

// y (chunks x cols, one under the other) = sums over chunks of rows of x, or of x times the normalised values of `n`; x may be bf16. Blocks of
// 32 x 8 threads: 32 columns, eight rows at a time.
extern "C" __global__ void columnSums(Matrix x, Matrix n, Matrix stats, Matrix y, int chunkRows, int accumulate)
{
    __shared__ float parts[8][33];
    int c = blockIdx.x * 32 + threadIdx.x;
    int begin = blockIdx.y * chunkRows, end = min(begin + chunkRows, x.rows);
    float total = 0;
    if (c < x.cols) {
#pragma unroll 4
        for (int r = begin + threadIdx.y; r < end; r += 8) {
            float v = loadAny(x, r, c);
            if (n.data) v *= (n.row(r)[c] - stats.row(r)[0]) * stats.row(r)[1];
            total += v;
        }
    }
    parts[threadIdx.y][threadIdx.x] = total;
    __syncthreads();
    if (threadIdx.y == 0 && c < x.cols) {
        for (int i = 1; i < 8; i++) total += parts[i][threadIdx.x];
        float* to = y.row(blockIdx.y) + c;
        *to = accumulate ? *to + total : total;
    }
}

// The same for columns in fours: a thread has four.
extern "C" __global__ void columnSums4(Matrix x, Matrix n, Matrix stats, Matrix y, int chunkRows, int accumulate)
{
    __shared__ float4 parts[8][32];
    int c = 4 * (blockIdx.x * 32 + threadIdx.x);
    int begin = blockIdx.y * chunkRows, end = min(begin + chunkRows, x.rows);
    float4 total = make_float4(0, 0, 0, 0);
    if (c < x.cols) {
#pragma unroll 4
        for (int r = begin + threadIdx.y; r < end; r += 8) {
            float4 v = loadAny4(x, r, c);
            if (n.data) v = v * ((*(const float4*)(n.row(r) + c) - stats.row(r)[0]) * stats.row(r)[1]);
            total = total + v;
        }
    }
    parts[threadIdx.y][threadIdx.x] = total;
    __syncthreads();
    if (threadIdx.y == 0 && c < x.cols) {
        for (int i = 1; i < 8; i++) total = total + parts[i][threadIdx.x];
        float4* to = (float4*)(y.row(blockIdx.y) + c);
        *to = accumulate ? *to + total : total;
    }
}

__device__ float blockSum(float v)
{
    v = overRow<false>(v);
    __syncthreads();
    return v;
}

// y[block] = sum over the block's share of a, or of a b; one block per share, shares of equal size. Fewer than 2^31 elements.
extern "C" __global__ void sums(Matrix a, Matrix b, float* y, int accumulate)
{
    unsigned cols = a.cols, total = a.rows * cols, share = (total + gridDim.x - 1) / gridDim.x;
    unsigned begin = min(blockIdx.x * share, total), end = min(begin + share, total);
    bool whole = a.ld == a.cols && (!b.data || b.ld == b.cols);
    float sum = 0;
#pragma unroll 4
    for (unsigned i = begin + threadIdx.x; i < end; i += blockDim.x) {
        unsigned r = whole ? 0 : i / cols, c = i - r * cols;
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
#pragma unroll 8
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

// Four weights at a time where all that is read of them begins at a multiple of 16 bytes.
extern "C" __global__ void adam(float* p, const float* g, float* m, float* v, const float* hyper, const float* clip, int n, float decay,
    int wide)
{
    float factor = clip[0];
    if (isnan(factor)) return;
    float rate = hyper[0], beta1 = hyper[1], beta2 = hyper[2], eps = hyper[3];
    float correction1 = hyper[4], correction2 = hyper[5], shrink = 1.0f - rate * hyper[6] * decay;
    const auto one = [&](float& p, float g, float& m, float& v) {
        float gradient = g * factor;
        m = beta1 * m + (1.0f - beta1) * gradient;
        v = beta2 * v + (1.0f - beta2) * gradient * gradient;
        p = p * shrink - rate * (m / correction1) / (sqrtf(v / correction2) + eps);
    };
    int quads = wide ? n / 4 : 0, first = blockIdx.x * blockDim.x + threadIdx.x, step = gridDim.x * blockDim.x;
    for (int i = first; i < quads; i += step) {
        float4 pi = ((float4*)p)[i], gi = ((const float4*)g)[i], mi = ((float4*)m)[i], vi = ((float4*)v)[i];
        one(pi.x, gi.x, mi.x, vi.x), one(pi.y, gi.y, mi.y, vi.y), one(pi.z, gi.z, mi.z, vi.z), one(pi.w, gi.w, mi.w, vi.w);
        ((float4*)p)[i] = pi, ((float4*)m)[i] = mi, ((float4*)v)[i] = vi;
    }
    for (int i = 4 * quads + first; i < n; i += step) one(p[i], g[i], m[i], v[i]);
}
