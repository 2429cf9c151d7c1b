// Sums over rows and over everything, in an order that sizes alone decide; the optimiser.
#include "common.cuh"

template <class T, bool HALF>
__device__ __forceinline__ T element(const Matrix& x, int r, int c)
{
    if constexpr (sizeof(T) == sizeof(float))
        return HALF ? numberOf(halfRow(x, r)[c]) : x.row(r)[c];
    else
        return HALF ? loadHalf4(x, r, c) : *(const float4*)(x.row(r) + c);
}

// A thread's share of rows [begin, end): every eighth, several asked for at a time, also beyond the end, so that none is waited for alone.
template <class T, bool HALF, bool NORMS>
__device__ __forceinline__ T sumOver(const Matrix& x, const Matrix& n, const Matrix& stats, int begin, int end, int c)
{
    constexpr int rows = NORMS ? 4 : 8;
    T total = {};
    for (int first = begin + threadIdx.y; first < end; first += 8 * rows) {
        T v[rows], norms[rows];
#pragma unroll
        for (int i = 0; i < rows; i++) {
            int r = min(first + 8 * i, end - 1);
            v[i] = element<T, HALF>(x, r, c);
            if (NORMS) norms[i] = (element<T, false>(n, r, c) - stats.row(r)[0]) * stats.row(r)[1];
        }
#pragma unroll
        for (int i = 0; i < rows; i++)
            if (first + 8 * i < end) total = total + (NORMS ? v[i] * norms[i] : v[i]);
    }
    return total;
}

// y (chunks x cols, one under the other) = sums over chunks of rows of x, or of x times the normalised values of `n`; x may be halves.
// Blocks of 32 x 8 threads: 32 columns, or fours of them, eight rows at a time.
template <class T>
__device__ __forceinline__ void sumColumns(Matrix x, Matrix n, Matrix stats, Matrix y, int chunkRows, int accumulate)
{
    __shared__ T parts[8][33];
    int c = (blockIdx.x * 32 + threadIdx.x) * (sizeof(T) / sizeof(float));
    int begin = blockIdx.y * chunkRows, end = min(begin + chunkRows, x.rows);
    T total = {};
    if (c < x.cols) {
        if (n.data)
            total = x.half ? sumOver<T, true, true>(x, n, stats, begin, end, c) : sumOver<T, false, true>(x, n, stats, begin, end, c);
        else
            total = x.half ? sumOver<T, true, false>(x, n, stats, begin, end, c) : sumOver<T, false, false>(x, n, stats, begin, end, c);
    }
    parts[threadIdx.y][threadIdx.x] = total;
    __syncthreads();
    if (threadIdx.y == 0 && c < x.cols) {
        for (int i = 1; i < 8; i++) total = total + parts[i][threadIdx.x];
        T* to = (T*)(y.row(blockIdx.y) + c);
        *to = accumulate ? *to + total : total;
    }
}

extern "C" __global__ void __launch_bounds__(256) columnSums(Matrix x, Matrix n, Matrix stats, Matrix y, int chunkRows, int accumulate)
{
    waitForLaunchesBefore();
    sumColumns<float>(x, n, stats, y, chunkRows, accumulate);
}

extern "C" __global__ void __launch_bounds__(256) columnSums4(Matrix x, Matrix n, Matrix stats, Matrix y, int chunkRows, int accumulate)
{
    waitForLaunchesBefore();
    sumColumns<float4>(x, n, stats, y, chunkRows, accumulate);
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
    waitForLaunchesBefore();
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
    waitForLaunchesBefore();
    long long begin = (long long)n * blockIdx.x / parts, end = (long long)n * (blockIdx.x + 1) / parts;
    float sum = 0;
#pragma unroll 8
    for (long long i = begin + threadIdx.x; i < end; i += blockDim.x) sum += x[i] * x[i];
    sum = blockSum(sum);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// A norm that is not finite halts the updates: this one and all that follow.
extern "C" __global__ void clipFactor(const float* partials, int count, float* y, float* halted, float most)
{
    waitForLaunchesBefore();
    double sum = 0;
    for (int i = 0; i < count; i++) sum += partials[i];
    float norm = (float)sqrt(sum);
    float factor = most > 0 ? fminf(1.0f, most / (norm + 1e-6f)) : 1.0f;
    bool updates = isfinite(norm) && *halted == 0.0f;
    y[0] = updates ? factor : __int_as_float(0x7fc00000);
    y[1] = norm;
    *halted = updates ? 0.0f : 1.0f;
}

extern "C" __global__ void movingAverage(float* average, const float* p, const float* hyper, const float* clip, int n)
{
    waitForLaunchesBefore();
    if (isnan(clip[0])) return;
    float rate = hyper[7];
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) average[i] += (p[i] - average[i]) * rate;
}

// Four weights at a time where all that is read of them begins at a multiple of 16 bytes.
extern "C" __global__ void adam(float* p, const float* g, float* m, float* v, const float* hyper, const float* clip, int n, float decay,
    int wide)
{
    waitForLaunchesBefore();
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
