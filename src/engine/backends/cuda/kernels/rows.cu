// Ops that look at whole rows: norms, softmax, cross-entropy. threadIdx.y is a row, threadIdx.x goes along it.
#include "common.cuh"

#define EACH_ROW(r, n) for (int r = blockIdx.x * blockDim.y + threadIdx.y; r < (n); r += gridDim.x * blockDim.y)
#define EACH_COLUMN(c, n) for (int c = threadIdx.x; c < (n); c += blockDim.x)

// `half`: a copy of y as halves; all there is of it with `only`. Here and below.
extern "C" __global__ void layerNorm(
    Matrix x, const float* weight, const float* bias, Matrix y, Matrix half, int only, Matrix stats, float eps)
{
    waitForLaunchesBefore();
    EACH_ROW(r, x.rows) {
        const float* from = x.row(r);
        float total = 0, squares = 0;
        EACH_COLUMN(c, x.cols) total += from[c];
        float mean = overRow<false>(total) / x.cols;
        EACH_COLUMN(c, x.cols) squares += (from[c] - mean) * (from[c] - mean);
        float rstd = 1.0f / sqrtf(overRow<false>(squares) / x.cols + eps);
        float* to = y.row(r);
        EACH_COLUMN(c, x.cols) {
            float value = (from[c] - mean) * rstd * weight[c] + (bias ? bias[c] : 0);
            if (!only) to[c] = value;
            if (half.data) halfRow(half, r)[c] = halfBits(value);
        }
        if (threadIdx.x == 0) stats.row(r)[0] = mean, stats.row(r)[1] = rstd;
    }
}

// dx may be dy or residual.
extern "C" __global__ void layerNormGrad(
    Matrix dy, Matrix x, const float* weight, Matrix stats, Matrix residual, Matrix dx, Matrix half, int only)
{
    waitForLaunchesBefore();
    EACH_ROW(r, x.rows) {
        const float *from = x.row(r), *grad = dy.row(r);
        float mean = stats.row(r)[0], rstd = stats.row(r)[1], total = 0, products = 0;
        EACH_COLUMN(c, x.cols) {
            float u = grad[c] * weight[c];
            total += u;
            products += u * (from[c] - mean) * rstd;
        }
        total = overRow<false>(total) / x.cols;
        products = overRow<false>(products) / x.cols;
        float* to = dx.row(r);
        EACH_COLUMN(c, x.cols) {
            float value = rstd * (grad[c] * weight[c] - total - (from[c] - mean) * rstd * products);
            if (residual.data) value += residual.row(r)[c];
            if (!only) to[c] = value;
            if (half.data) halfRow(half, r)[c] = halfBits(value);
        }
    }
}

extern "C" __global__ void softmax(Matrix x, Matrix y)
{
    waitForLaunchesBefore();
    EACH_ROW(r, x.rows) {
        const float* from = x.row(r);
        float top = -INFINITE, total = 0;
        EACH_COLUMN(c, x.cols) top = fmaxf(top, from[c]);
        top = overRow<true>(top);
        EACH_COLUMN(c, x.cols) total += expf(from[c] - top);
        total = overRow<false>(total);
        float* to = y.row(r);
        EACH_COLUMN(c, x.cols) to[c] = expf(from[c] - top) / total;
    }
}

// A sum of exponentials relative to the largest of them so far. __expf is a few units in the last place off, the more the less it counts.
struct Exponentials {
    float top, total;
    __device__ __forceinline__ void add(float v)
    {
        float most = fmaxf(top, v);
        if (most > top) total *= __expf(top - most);
        top = most;
        total += v == -INFINITE ? 0 : __expf(v - most);
    }
    __device__ __forceinline__ void add(float4 v)
    {
        float most = fmaxf(fmaxf(fmaxf(v.x, v.y), fmaxf(v.z, v.w)), top);
        if (most == -INFINITE) return;
        if (most > top) total *= __expf(top - most);
        top = most;
        total += __expf(v.x - most) + __expf(v.y - most) + (__expf(v.z - most) + __expf(v.w - most));
    }
};

// One pass over the logits, which may be halves; four at a time where `wide`: columns, rows and place in fours.
extern "C" __global__ void crossEntropy(Matrix logits, Matrix targets, Matrix nll, Matrix lse, int wide)
{
    waitForLaunchesBefore();
    EACH_ROW(r, logits.rows) {
        Exponentials sum = {-INFINITE, 0};
        if (wide && logits.half)
            for (int i = threadIdx.x, n = logits.cols >> 3; i < n; i += 2 * blockDim.x) {
                int next = i + blockDim.x < n ? i + blockDim.x : -1;
                Eight a = loadHalf8(logits, r, 8 * i), b = next < 0 ? a : loadHalf8(logits, r, 8 * next);
                sum.add(a.low), sum.add(a.high);
                if (next >= 0) sum.add(b.low), sum.add(b.high);
            }
        else if (wide)
            EACH_COLUMN(i, logits.cols >> 2) sum.add(loadAny4(logits, r, 4 * i));
        else
            EACH_COLUMN(c, logits.cols) sum.add(loadAny(logits, r, c));
        float all = overRow<true>(sum.top);
        float total = overRow<false>(sum.top == -INFINITE ? 0 : sum.total * __expf(sum.top - all));
        if (threadIdx.x == 0) {
            int target = ((const int*)targets.row(r))[0];
            bool counts = target >= 0 && target < logits.cols;
            float log = logf(total);
            nll.row(r)[0] = counts ? log + (all - loadAny(logits, r, target)) : 0;
            lse.row(r)[0] = all + log;
        }
    }
}

// dlogits may be logits, and its copy theirs.
extern "C" __global__ void crossEntropyGrad(
    Matrix logits, Matrix targets, Matrix lse, Matrix dnll, Matrix dlogits, Matrix half, int only, int wide)
{
    waitForLaunchesBefore();
    EACH_ROW(r, logits.rows) {
        int target = ((const int*)targets.row(r))[0];
        bool counts = target >= 0 && target < logits.cols;
        float shift = counts ? lse.row(r)[0] : 0, factor = counts ? dnll.row(r)[0] : 0;
        float* to = dlogits.row(r);
        auto slope = [&](float v, int c) { return counts ? (__expf(v - shift) - (c == target ? 1.0f : 0.0f)) * factor : 0; };
        auto slopes = [&](float4 v, int c) { return make_float4(slope(v.x, c), slope(v.y, c + 1), slope(v.z, c + 2), slope(v.w, c + 3)); };
        if (wide && logits.half && half.data && only)
            EACH_COLUMN(i, logits.cols >> 3) {
                Eight v = loadHalf8(logits, r, 8 * i);
                float4 low = slopes(v.low, 8 * i), high = slopes(v.high, 8 * i + 4);
                *(uint4*)(halfRow(half, r) + 8 * i) =
                    make_uint4(halfPair(low.x, low.y), halfPair(low.z, low.w), halfPair(high.x, high.y), halfPair(high.z, high.w));
            }
        else if (wide)
            EACH_COLUMN(i, logits.cols >> 2) {
                int c = 4 * i;
                float4 v = slopes(loadAny4(logits, r, c), c);
                if (!only) ((float4*)to)[i] = v;
                if (half.data) storeHalf4(halfRow(half, r) + c, v);
            }
        else
            EACH_COLUMN(c, logits.cols) {
                float v = slope(loadAny(logits, r, c), c);
                if (!only) to[c] = v;
                if (half.data) halfRow(half, r)[c] = halfBits(v);
            }
    }
}

// 1 where the first largest logit is the target.
extern "C" __global__ void correct(Matrix logits, Matrix targets, Matrix y)
{
    waitForLaunchesBefore();
    EACH_ROW(r, logits.rows) {
        int target = ((const int*)targets.row(r))[0];
        bool counts = target >= 0 && target < logits.cols;
        const float* x = logits.row(r);
        float mine = counts ? x[target] : 0, ahead = counts ? 0 : 1;
        if (counts) EACH_COLUMN(c, logits.cols) if (c < target ? x[c] >= mine : x[c] > mine) ahead = 1;
        ahead = overRow<true>(ahead);
        if (threadIdx.x == 0) y.row(r)[0] = ahead > 0 ? 0 : 1;
    }
}
