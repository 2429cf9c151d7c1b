// Ops that look at whole rows: norms, softmax, cross-entropy. threadIdx.y is a row, threadIdx.x goes along it.
#include "common.cuh"

#define EACH_ROW(r, n) for (int r = blockIdx.x * blockDim.y + threadIdx.y; r < (n); r += gridDim.x * blockDim.y)
#define EACH_COLUMN(c, n) for (int c = threadIdx.x; c < (n); c += blockDim.x)

extern "C" __global__ void layerNorm(Matrix x, const float* weight, const float* bias, Matrix y, Matrix stats, float eps)
{
    EACH_ROW(r, x.rows) {
        const float* from = x.row(r);
        float total = 0, squares = 0;
        EACH_COLUMN(c, x.cols) total += from[c];
        float mean = overRow<false>(total) / x.cols;
        EACH_COLUMN(c, x.cols) squares += (from[c] - mean) * (from[c] - mean);
        float rstd = 1.0f / sqrtf(overRow<false>(squares) / x.cols + eps);
        float* to = y.row(r);
        EACH_COLUMN(c, x.cols) to[c] = (from[c] - mean) * rstd * weight[c] + (bias ? bias[c] : 0);
        if (threadIdx.x == 0) stats.row(r)[0] = mean, stats.row(r)[1] = rstd;
    }
}

// dx may be dy or residual.
extern "C" __global__ void layerNormGrad(Matrix dy, Matrix x, const float* weight, Matrix stats, Matrix residual, Matrix dx)
{
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
            to[c] = value + (residual.data ? residual.row(r)[c] : 0);
        }
    }
}

extern "C" __global__ void softmax(Matrix x, Matrix y)
{
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

// One pass: a running maximum and the sum of exponentials relative to it.
extern "C" __global__ void crossEntropy(Matrix logits, Matrix targets, Matrix nll, Matrix lse)
{
    EACH_ROW(r, logits.rows) {
        const float* x = logits.row(r);
        float top = -INFINITE, total = 0;
        EACH_COLUMN(c, logits.cols) {
            float v = x[c];
            if (v > top) {
                total = total * expf(top - v) + 1;
                top = v;
            } else
                total += expf(v - top);
        }
        float all = overRow<true>(top);
        total = overRow<false>(top == -INFINITE ? 0 : total * expf(top - all));
        if (threadIdx.x == 0) {
            int target = ((const int*)targets.row(r))[0];
            bool counts = target >= 0 && target < logits.cols;
            float log = logf(total);
            nll.row(r)[0] = counts ? log + (all - x[target]) : 0;
            lse.row(r)[0] = all + log;
        }
    }
}

// dlogits may be logits.
extern "C" __global__ void crossEntropyGrad(Matrix logits, Matrix targets, Matrix lse, Matrix dnll, Matrix dlogits)
{
    EACH_ROW(r, logits.rows) {
        int target = ((const int*)targets.row(r))[0];
        bool counts = target >= 0 && target < logits.cols;
        float shift = lse.row(r)[0], factor = counts ? dnll.row(r)[0] : 0;
        const float* x = logits.row(r);
        float* to = dlogits.row(r);
        EACH_COLUMN(c, logits.cols) {
            float share = counts ? expf(x[c] - shift) - (c == target ? 1.0f : 0.0f) : 0;
            to[c] = counts ? share * factor : 0;
        }
    }
}

// 1 where the first largest logit is the target.
extern "C" __global__ void correct(Matrix logits, Matrix targets, Matrix y)
{
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
