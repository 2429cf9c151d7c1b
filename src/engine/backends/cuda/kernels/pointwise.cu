// Ops that treat every element alike. Operands may have gaps between rows; y may be one of the operands. Fewer than 2^31 elements.
#include "common.cuh"

#define EACH_PIECE(i, total) for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < (total); i += gridDim.x * blockDim.x)

enum { GELU, RELU, GELU_GRAD, RELU_GRAD, ADD, SUB, MUL, ADD_ROW, SCALE, SCALE_BY, ADD_SCALED, LERP, CLAMP, CLAMP_GRAD, BROADCAST, COPY, ACCUMULATE };

// a and b element by element; s a scalar; row 1 x cols; f, g constants of the op.
__device__ __forceinline__ float apply(int op, float a, float b, float s, float row, float f, float g, float y)
{
    switch (op) {
        case GELU: return gelu(a);
        case RELU: return a < 0 ? 0 : a;
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
    waitForLaunchesBefore();
    unsigned total = (unsigned)y.rows * y.cols;
    float scalar = s ? *s : 0;
    EACH_PIECE(i, total) {
        int r = i / (unsigned)y.cols, c = i - (unsigned)r * y.cols;
        float x = a.data ? a.row(r)[c] : 0, z = b.data ? b.row(r)[c] : 0;
        float* to = y.row(r) + c;
        *to = apply(op, x, z, scalar, row ? row[c] : 0, f, g, op == ACCUMULATE ? *to : 0);
    }
}

// The same, four columns at a time: cols, ld and places are multiples of 4. `half`: a copy of y as halves; all there is of it with `only`.
extern "C" __global__ void pointwise4(
    Matrix a, Matrix b, const float* s, const float* row, Matrix y, int op, float f, float g, Matrix half, int only)
{
    waitForLaunchesBefore();
    unsigned quads = y.cols >> 2, total = y.rows * quads;
    float scalar = s ? *s : 0;
    const float4 none = make_float4(0, 0, 0, 0);
    EACH_PIECE(i, total) {
        int r = i / quads, c = (i - r * quads) * 4;
        float4 x = a.data ? *(float4*)(a.row(r) + c) : none, z = b.data ? *(float4*)(b.row(r) + c) : none;
        float4 w = row ? *(const float4*)(row + c) : none;
        float4 old = op == ACCUMULATE ? *(const float4*)(y.row(r) + c) : none;
        x = make_float4(
            apply(op, x.x, z.x, scalar, w.x, f, g, old.x), apply(op, x.y, z.y, scalar, w.y, f, g, old.y),
            apply(op, x.z, z.z, scalar, w.z, f, g, old.z), apply(op, x.w, z.w, scalar, w.w, f, g, old.w));
        put(x, y, half, only, r, c);
    }
}

// What follows a product: z = v + bias, y = dropout(activation(z)) + residual, added to y where asked. v may be y itself, or its copy.
// `half`: a copy of y as halves; all there is of it with `only`. v, factor and z may be halves.
struct Epilogue {
    Matrix v;
    const float* bias;
    Matrix factor, residual, y, z, half;
    int only, activation, accumulate;
};

// One element; `keep` is dropout's multiplier.
__device__ __forceinline__ void finish(const Epilogue& e, int r, int c, float keep)
{
    float x = loadAny(e.v, r, c);
    if (e.bias) x += e.bias[c];
    if (e.z.data) storeAny(e.z, r, c, x);
    x = activated(e.activation, x, e.factor.data ? loadAny(e.factor, r, c) : 0) * keep;
    if (e.residual.data) x += e.residual.row(r)[c];
    float* to = e.y.row(r) + c;
    if (e.accumulate) x += *to;
    if (!e.only) *to = x;
    if (e.half.data) halfRow(e.half, r)[c] = halfBits(x);
}

// Four of them.
__device__ __forceinline__ void finish4(const Epilogue& e, int r, int c, float4 keep)
{
    const float4 none = make_float4(0, 0, 0, 0);
    float4 x = loadAny4(e.v, r, c), f = e.factor.data ? loadAny4(e.factor, r, c) : none;
    if (e.bias) x = x + *(const float4*)(e.bias + c);
    if (e.z.data) storeAny4(e.z, r, c, x);
    int a = e.activation;
    x = make_float4(activated(a, x.x, f.x), activated(a, x.y, f.y), activated(a, x.z, f.z), activated(a, x.w, f.w)) * keep;
    if (e.residual.data) x = x + *(const float4*)(e.residual.row(r) + c);
    if (e.accumulate) x = x + *(const float4*)(e.y.row(r) + c);
    put(x, e.y, e.half, e.only, r, c);
}

// A thread has the four columns of one Philox block.
extern "C" __global__ void epilogue(Matrix v, const float* bias, Matrix factor, Matrix residual, Matrix y, Matrix z, Matrix half, int only,
    int activation, int accumulate, float p, int id, int rowsPerSequence, int sequences, const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    const Epilogue e = {v, bias, factor, residual, y, z, half, only, activation, accumulate};
    unsigned q = (y.cols + 3) / 4, total = y.rows * q, threshold = dropoutThreshold(p);
    float scale = dropoutScale(p);
    EACH_PIECE(i, total) {
        int r = i / q, lane = i - r * q;
        float keep[4] = {1, 1, 1, 1};
        if (p > 0) {
            unsigned sequence, row;
            placeOf(r, rowsPerSequence, sequences, firstSequence, sequence, row);
            uint4 w = philox(job, lane, row, sequence, id);
            const unsigned words[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
            for (int j = 0; j < 4; j++) keep[j] = words[j] >= threshold ? scale : 0;
        }
#pragma unroll
        for (int j = 0; j < 4; j++)
            if (lane + j * (int)q < y.cols) finish(e, r, lane + j * q, keep[j]);
    }
}

// The same for operands in fours without dropout.
extern "C" __global__ void epilogue4(Matrix v, const float* bias, Matrix factor, Matrix residual, Matrix y, Matrix z, Matrix half, int only,
    int activation, int accumulate)
{
    waitForLaunchesBefore();
    const Epilogue e = {v, bias, factor, residual, y, z, half, only, activation, accumulate};
    unsigned quads = y.cols >> 2, total = y.rows * quads;
    EACH_PIECE(i, total) {
        int r = i / quads;
        finish4(e, r, 4 * (i - r * quads), make_float4(1, 1, 1, 1));
    }
}

// With dropout, columns in sixteens: a thread has four neighbouring Philox blocks.
extern "C" __global__ void epilogue4Dropout(Matrix v, const float* bias, Matrix factor, Matrix residual, Matrix y, Matrix z, Matrix half,
    int only, int activation, int accumulate, float p, int id, int rowsPerSequence, int sequences, const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    const Epilogue e = {v, bias, factor, residual, y, z, half, only, activation, accumulate};
    const RowDropout dropout = {p, id, rowsPerSequence, sequences, job, firstSequence};
    unsigned q = y.cols >> 2, quads = q >> 2, total = y.rows * quads;
    EACH_PIECE(i, total) {
        int r = i / quads, lane = 4 * (i - r * quads);
        float4 keep[4];
        multipliers(keep, dropout, r, lane);
#pragma unroll
        for (int j = 0; j < 4; j++) finish4(e, r, lane + j * q, keep[j]);
    }
}

// df = alpha dpresent + alpha dpast and ds = dpast, and dropout of the two, df above ds, where that is given. Where f is given, a row of
// `dots` for each block: its part of the dots of dpresent and f, and of dpast and f. Columns in sixteens; a thread has sixteen of them.
extern "C" __global__ void __launch_bounds__(64) carryGrad(Matrix dpresent, Matrix dpast, const float* alpha, Matrix f, float2* dots, Matrix df,
    Matrix dfHalf, int dfOnly, Matrix ds, Matrix dsHalf, int dsOnly, Matrix y, Matrix yHalf, int yOnly, float p, int id, int rowsPerSequence,
    int sequences, const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    const RowDropout dropout = {p, id, rowsPerSequence, sequences, job, firstSequence};
    unsigned q = df.cols >> 2, quads = q >> 2, i = blockIdx.x * blockDim.x + threadIdx.x;
    float2 dot = make_float2(0, 0);
    if (i < df.rows * quads) {
        int r = i / quads, lane = 4 * (i - r * quads), below = r + df.rows;
        float4 present[4], past[4], value[4], keepF[4], keepS[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            int c = lane + j * q;
            present[j] = *(const float4*)(dpresent.row(r) + c), past[j] = *(const float4*)(dpast.row(r) + c);
            if (f.data) value[j] = *(const float4*)(f.row(r) + c);
        }
        float share = *alpha;
        if (y.data) multipliers(keepF, dropout, r, lane), multipliers(keepS, dropout, below, lane);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            int c = lane + j * q;
            float4 sum = present[j] * share + past[j] * share;
            put(sum, df, dfHalf, dfOnly, r, c);
            put(past[j], ds, dsHalf, dsOnly, r, c);
            if (y.data) {
                put(sum * keepF[j], y, yHalf, yOnly, r, c);
                put(past[j] * keepS[j], y, yHalf, yOnly, below, c);
            }
            if (!f.data) continue;
            float4 a = present[j] * value[j], b = past[j] * value[j];
            dot.x += (a.x + a.y) + (a.z + a.w), dot.y += (b.x + b.y) + (b.z + b.w);
        }
    }
    if (!f.data) return;
    __shared__ float2 parts[2];
    dot = make_float2(warpSum(dot.x), warpSum(dot.y));
    if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5] = dot;
    __syncthreads();
    if (threadIdx.x == 0) dots[blockIdx.x] = make_float2(parts[0].x + parts[1].x, parts[0].y + parts[1].y);
}

// y = activation(v), or v times the slope of the activation at `factor`; all halves without gaps, eight at a time.
template <int ACTIVATION>
__device__ __forceinline__ void activateHalves(const uint4* v, const uint4* factor, uint4* y, int eights)
{
    const auto pair = [](unsigned x, unsigned f) {
        float2 a = numbersOf(x), b = numbersOf(f);
        return halfPair(activated(ACTIVATION, a.x, b.x), activated(ACTIVATION, a.y, b.y));
    };
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < eights; i += gridDim.x * blockDim.x) {
        uint4 x = v[i], f = factor ? factor[i] : make_uint4(0, 0, 0, 0);
        y[i] = make_uint4(pair(x.x, f.x), pair(x.y, f.y), pair(x.z, f.z), pair(x.w, f.w));
    }
}

extern "C" __global__ void epilogueHalves(const uint4* v, const uint4* factor, uint4* y, int eights, int activation)
{
    waitForLaunchesBefore();
    switch (activation) {
        case 1: return activateHalves<1>(v, factor, y, eights);
        case 2: return activateHalves<2>(v, factor, y, eights);
        case 3: return activateHalves<3>(v, factor, y, eights);
        case 4: return activateHalves<4>(v, factor, y, eights);
        case 5: return activateHalves<5>(v, factor, y, eights);
        default: return activateHalves<0>(v, factor, y, eights);
    }
}

// Rows of f32 as halves.
extern "C" __global__ void castRows(Matrix x, Matrix y)
{
    waitForLaunchesBefore();
    unsigned total = (unsigned)x.rows * x.cols;
    EACH_PIECE(i, total) {
        int r = i / (unsigned)x.cols, c = i - (unsigned)r * x.cols;
        halfRow(y, r)[c] = halfBits(x.row(r)[c]);
    }
}

// The same, four columns at a time.
extern "C" __global__ void castRows4(Matrix x, Matrix y)
{
    waitForLaunchesBefore();
    unsigned quads = x.cols >> 2, total = x.rows * quads;
    EACH_PIECE(i, total) {
        int r = i / quads, c = (i - r * quads) * 4;
        storeHalf4(halfRow(y, r) + c, *(const float4*)(x.row(r) + c));
    }
}

// y[r] = table[ids[r]], words as they are; zeros where there is no such row.
extern "C" __global__ void gather(Matrix table, Matrix ids, Matrix y)
{
    waitForLaunchesBefore();
    unsigned total = (unsigned)y.rows * y.cols;
    EACH_PIECE(i, total) {
        int r = i / (unsigned)y.cols, c = i - (unsigned)r * y.cols;
        int id = ((const int*)ids.row(r))[0];
        ((int*)y.row(r))[c] = id >= 0 && id < table.rows ? ((const int*)table.row(id))[c] : 0;
    }
}

// y[r] = dropout(table[ids[r]] + other[places[r]]), nothing where there is no such row; p 0: no dropout. Columns in sixteens.
extern "C" __global__ void embed(Matrix table, Matrix ids, Matrix other, Matrix places, Matrix y, Matrix half, int only, float p, int id,
    int rowsPerSequence, int sequences, const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    const RowDropout dropout = {p, id, rowsPerSequence, sequences, job, firstSequence};
    const float4 none = make_float4(0, 0, 0, 0), one = make_float4(1, 1, 1, 1);
    unsigned q = y.cols >> 2, quads = q >> 2, total = y.rows * quads;
    EACH_PIECE(i, total) {
        int r = i / quads, lane = 4 * (i - r * quads);
        int token = *(const int*)ids.row(r), place = *(const int*)places.row(r);
        float4 a[4], b[4], keep[4] = {one, one, one, one};
#pragma unroll
        for (int j = 0; j < 4; j++) {
            a[j] = token >= 0 && token < table.rows ? *(const float4*)(table.row(token) + lane + j * q) : none;
            b[j] = place >= 0 && place < other.rows ? *(const float4*)(other.row(place) + lane + j * q) : none;
        }
        if (p > 0) multipliers(keep, dropout, r, lane);
#pragma unroll
        for (int j = 0; j < 4; j++) put((a[j] + b[j]) * keep[j], y, half, only, r, lane + j * q);
    }
}

// cache[b L + positions[b]] = x[b]
extern "C" __global__ void writeRows(Matrix x, Matrix cache, Matrix positions)
{
    waitForLaunchesBefore();
    int length = cache.rows / x.rows, total = x.rows * x.cols;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < total; i += gridDim.x * blockDim.x) {
        int b = i / x.cols, c = i - b * x.cols, at = ((const int*)positions.row(b))[0];
        if (at >= 0 && at < length) cache.row(b * length + at)[c] = x.row(b)[c];
    }
}
