// Ops that treat every element alike. Operands may have gaps between rows; y may be one of the operands.
#include "common.cuh"

enum { GELU, RELU, GELU_GRAD, RELU_GRAD, ADD, SUB, MUL, ADD_ROW, SCALE, SCALE_BY, ADD_SCALED, LERP, CLAMP, CLAMP_GRAD, BROADCAST, COPY, ACCUMULATE };

// a and b element by element; s a scalar; row 1 x cols; f, g constants of the op.
__device__ __forceinline__ float apply(int op, float a, float b, float s, float row, float f, float g, float y)
{
    switch (op) {
        case GELU: return gelu(a);
        case RELU: return a > 0 ? a : 0;
        case GELU_GRAD: return b * geluSlope(a);
        case RELU_GRAD: return a > 0 ? b : 0;
        case ADD: return a + b;
        case SUB: return a - b;
        case MUL: return a * b;
        case ADD_ROW: return a + row;
        case SCALE: return f * a;
        case SCALE_BY: return s * a;
        case ADD_SCALED: return s * a + b;
        case LERP: return a + s * (b - a);
        case CLAMP: return fminf(fmaxf(a, f), g);
        case CLAMP_GRAD: return a >= f && a <= g ? b : 0;
        case BROADCAST: return s;
        case ACCUMULATE: return y + a;
        default: return a;
    }
}

extern "C" __global__ void pointwise(Matrix a, Matrix b, const float* s, const float* row, Matrix y, int op, float f, float g)
{
    long long total = (long long)y.rows * y.cols;
    float scalar = s ? *s : 0;
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < total; i += (long long)gridDim.x * blockDim.x) {
        int r = (int)(i / y.cols), c = (int)(i - (long long)r * y.cols);
        float x = a.data ? a.row(r)[c] : 0, z = b.data ? b.row(r)[c] : 0;
        float* to = y.row(r) + c;
        *to = apply(op, x, z, scalar, row ? row[c] : 0, f, g, op == ACCUMULATE ? *to : 0);
    }
}

// The same, four columns at a time: cols, ld and places are multiples of 4.
extern "C" __global__ void pointwise4(Matrix a, Matrix b, const float* s, const float* row, Matrix y, int op, float f, float g)
{
    int quads = y.cols >> 2;
    long long total = (long long)y.rows * quads;
    float scalar = s ? *s : 0;
    const float4 none = make_float4(0, 0, 0, 0);
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < total; i += (long long)gridDim.x * blockDim.x) {
        int r = (int)(i / quads), c = (int)(i - (long long)r * quads) * 4;
        float4 x = a.data ? *(float4*)(a.row(r) + c) : none, z = b.data ? *(float4*)(b.row(r) + c) : none;
        float4 w = row ? *(const float4*)(row + c) : none;
        float4* to = (float4*)(y.row(r) + c);
        float4 old = op == ACCUMULATE ? *to : none;
        *to = make_float4(
            apply(op, x.x, z.x, scalar, w.x, f, g, old.x), apply(op, x.y, z.y, scalar, w.y, f, g, old.y),
            apply(op, x.z, z.z, scalar, w.z, f, g, old.z), apply(op, x.w, z.w, scalar, w.w, f, g, old.w));
    }
}

// What follows a product: z = v + bias, y = dropout(activation(z)) + residual, added to y where asked. v may be y itself.
// A thread has the four columns of one Philox block.
// `half`: a copy of y as bf16; all there is of it with `only`.
extern "C" __global__ void epilogue(Matrix v, const float* bias, Matrix factor, Matrix residual, Matrix y, Matrix z, Matrix half, int only,
    int activation, int accumulate, float p, int id, int rowsPerSequence, int sequences, const JobState* job, int firstSequence)
{
    int q = (y.cols + 3) / 4;
    long long total = (long long)y.rows * q;
    unsigned threshold = dropoutThreshold(p);
    float scale = dropoutScale(p);
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < total; i += (long long)gridDim.x * blockDim.x) {
        int r = (int)(i / q), lane = (int)(i - (long long)r * q);
        unsigned words[4];
        if (p > 0) {
            unsigned sequence, row;
            placeOf(r, rowsPerSequence, sequences, firstSequence, sequence, row);
            uint4 w = philox(job, lane, row, sequence, id);
            words[0] = w.x, words[1] = w.y, words[2] = w.z, words[3] = w.w;
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
            int c = lane + j * q;
            if (c >= y.cols) break;
            float x = v.row(r)[c];
            if (bias) x += bias[c];
            if (z.data) z.row(r)[c] = x;
            float other = factor.data ? factor.row(r)[c] : 0;
            switch (activation) {
                case 1: x = gelu(x); break;
                case 2: x = x > 0 ? x : 0; break;
                case 3: x *= geluSlope(other); break;
                case 4: x = other > 0 ? x : 0; break;
                case 5: x *= other; break;
            }
            if (p > 0) x = words[j] >= threshold ? x * scale : 0;
            if (residual.data) x += residual.row(r)[c];
            float* to = y.row(r) + c;
            if (accumulate) x += *to;
            if (!only) *to = x;
            if (half.data) halfRow(half, r)[c] = halfBits(x);
        }
    }
}

// Rows of f32 as bf16.
extern "C" __global__ void castRows(Matrix x, Matrix y)
{
    long long total = (long long)x.rows * x.cols;
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < total; i += (long long)gridDim.x * blockDim.x) {
        int r = (int)(i / x.cols), c = (int)(i - (long long)r * x.cols);
        halfRow(y, r)[c] = halfBits(x.row(r)[c]);
    }
}

// The same, four columns at a time.
extern "C" __global__ void castRows4(Matrix x, Matrix y)
{
    int quads = x.cols >> 2;
    long long total = (long long)x.rows * quads;
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < total; i += (long long)gridDim.x * blockDim.x) {
        int r = (int)(i / quads), c = (int)(i - (long long)r * quads) * 4;
        storeHalf4(halfRow(y, r) + c, *(const float4*)(x.row(r) + c));
    }
}

// y[r] = table[ids[r]], words as they are; zeros where there is no such row.
extern "C" __global__ void gather(Matrix table, Matrix ids, Matrix y)
{
    long long total = (long long)y.rows * y.cols;
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < total; i += (long long)gridDim.x * blockDim.x) {
        int r = (int)(i / y.cols), c = (int)(i - (long long)r * y.cols);
        int id = ((const int*)ids.row(r))[0];
        ((int*)y.row(r))[c] = id >= 0 && id < table.rows ? ((const int*)table.row(id))[c] : 0;
    }
}

// cache[b L + positions[b]] = x[b]
extern "C" __global__ void writeRows(Matrix x, Matrix cache, Matrix positions)
{
    int length = cache.rows / x.rows, total = x.rows * x.cols;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < total; i += gridDim.x * blockDim.x) {
        int b = i / x.cols, c = i - b * x.cols, at = ((const int*)positions.row(b))[0];
        if (at >= 0 && at < length) cache.row(b * length + at)[c] = x.row(b)[c];
    }
}
