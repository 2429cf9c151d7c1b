// Causal attention of windows of rows and its gradient, on tensor cores. A warp has 16 rows of queries (or of keys) of one head of
// one window and goes over the keys (or queries) it meets, 32 (16) at a time; nothing of n x n size is stored. Keys are numbered with
// the prefix first. Smaller windows are attention_small.cu's.
//
// Compiled with HEAD, the columns of a head rounded up to 8, 16 or a multiple of 32; WHOLE, 1 where that is their number and operands
// lie at multiples of 16 bytes; PASSES of products (common.cuh).
//
// Lane 4 g + t. The order of terms of a product is free, so operands come straight from memory as vectors: along a contraction over
// columns lane t takes ALONG neighbours, along the result's columns lane g takes ACROSS. A contraction over keys takes keys
// 2 t, 2 t + 1 for t, t + 4, and so reads a result of the product before as it is.
#include "common.cuh"

#define STEPS (HEAD / 8)
#define ALONG (HEAD >= 16 ? 4 : 2)
#define ACROSS (HEAD >= 32 ? 4 : HEAD / 8)
#define LOG2E 1.4426950408889634f

// A head of a window, and where this lane stands.
struct Head {
    int window, head, n, m, size, first, width;
    int g, t;
    __device__ int keys() const { return m + n; }
};

__device__ __forceinline__ Head headOf(const Matrix& q, const Matrix& prefix, int unit, int windows, int heads)
{
    Head at;
    at.window = unit / heads;
    at.head = unit - at.window * heads;
    at.n = q.rows / windows;
    at.m = prefix.data ? prefix.rows / windows : 0;
    at.size = q.cols / heads;
    at.first = at.head * at.size;
    at.width = q.cols;
    at.g = (threadIdx.x & 31) >> 2;
    at.t = threadIdx.x & 3;
    return at;
}

// Row i of the window; rows beyond the last are the last.
__device__ __forceinline__ float* queryRow(const Matrix& q, const Head& at, int i)
{
    return q.row(at.window * at.n + min(i, at.n - 1)) + at.first;
}

__device__ __forceinline__ float* keyRow(const Matrix& kv, const Matrix& prefix, const Head& at, int j)
{
    j = min(j, at.keys() - 1);
    return (j < at.m ? prefix.row(at.window * at.m + j) : kv.row(at.window * at.n + j - at.m)) + at.first;
}

// `W` columns of a row from column c; beyond the head's last zero.
template <int W>
__device__ __forceinline__ void load(float (&v)[W], const float* row, int c, int size)
{
    if (WHOLE && W == 4) {
        float4 x = *(const float4*)(row + c);
        v[0] = x.x, v[1 % W] = x.y, v[2 % W] = x.z, v[3 % W] = x.w;
    } else if (WHOLE && W == 2) {
        float2 x = *(const float2*)(row + c);
        v[0] = x.x, v[1 % W] = x.y;
    } else {
#pragma unroll
        for (int i = 0; i < W; i++) v[i] = c + i < size ? row[c + i] : 0;
    }
#pragma unroll
    for (int i = 0; i < W; i++) v[i] = prepared<PASSES>(v[i]);
}

// The lane's columns of one row of an operand that is contracted over its columns.
__device__ __forceinline__ void loadRow(float (&to)[HEAD / 4], const float* row, const Head& at)
{
#pragma unroll
    for (int i = 0; i < HEAD / 4 / ALONG; i++) {
        float v[ALONG];
        load(v, row, 4 * ALONG * i + ALONG * at.t, at.size);
#pragma unroll
        for (int e = 0; e < ALONG; e++) to[ALONG * i + e] = v[e];
    }
}

// 16 rows (low: row g, high: row g + 8), contracted with 8 rows of which this lane's is `row`: s (16 x 8).
struct Rows {
    float low[HEAD / 4], high[HEAD / 4];
};

__device__ __forceinline__ void inner(float (&s)[4], const Rows& rows, const float* row, const Head& at)
{
    float other[HEAD / 4];
    loadRow(other, row, at);
    s[0] = s[1] = s[2] = s[3] = 0;
#pragma unroll
    for (int k = 0; k < STEPS; k++) {
        const float a[4] = {rows.low[2 * k], rows.high[2 * k], rows.low[2 * k + 1], rows.high[2 * k + 1]};
        const float b[2] = {other[2 * k], other[2 * k + 1]};
        multiply<PASSES>(s, a, b);
    }
}

// sum (16 x HEAD) += w (16 x 8) times 8 rows of HEAD columns, of which this lane's are 2 t and 2 t + 1.
__device__ __forceinline__ void addOuter(
    float (&sum)[STEPS][4], const float (&w)[4], const float* row0, const float* row1, const Head& at)
{
    const float a[4] = {prepared<PASSES>(w[0]), prepared<PASSES>(w[2]), prepared<PASSES>(w[1]), prepared<PASSES>(w[3])};
#pragma unroll
    for (int k = 0; k < STEPS / ACROSS; k++) {
        float v0[ACROSS], v1[ACROSS];
        load(v0, row0, 8 * ACROSS * k + ACROSS * at.g, at.size);
        load(v1, row1, 8 * ACROSS * k + ACROSS * at.g, at.size);
#pragma unroll
        for (int i = 0; i < ACROSS; i++) {
            const float b[2] = {v0[i], v1[i]};
            multiply<PASSES>(sum[ACROSS * k + i], a, b);
        }
    }
}

// A row of a result and of its copy in halves; either may be absent.
struct Place {
    float* row;
    unsigned short* copy;
};

// A result, its copy in halves (or none), and whether that is all that is wanted.
struct Result {
    const Matrix &y, &copy;
    int only;
    __device__ Place row(int r, int column) const
    {
        return {only ? nullptr : y.row(r) + column, copy.data ? halfRow(copy, r) + column : nullptr};
    }
};

// The lane's columns of row g (half 0) or g + 8 (half 1) of such a sum, times `scale`.
__device__ __forceinline__ void store(const Place& to, const float (&sum)[STEPS][4], int half, float scale, const Head& at)
{
#pragma unroll
    for (int k = 0; k < STEPS / ACROSS; k++) {
#pragma unroll
        for (int e = 0; e < 2; e++) {
            int c = 8 * ACROSS * k + ACROSS * (2 * at.t + e);
            float v[4];
#pragma unroll
            for (int i = 0; i < ACROSS; i++) v[i] = sum[ACROSS * k + i][2 * half + e] * scale;
            if (WHOLE && ACROSS == 4) {
                float4 all = make_float4(v[0], v[1], v[2], v[3]);
                if (to.row) *(float4*)(to.row + c) = all;
                if (to.copy) storeHalf4(to.copy + c, all);
            } else
#pragma unroll
                for (int i = 0; i < ACROSS; i++) {
                    if (c + i >= at.size) continue;
                    if (to.row) to.row[c + i] = v[i];
                    if (to.copy) to.copy[c + i] = halfBits(v[i]);
                }
        }
    }
}

// The op's dropout, for one head of one window.
struct Mask {
    const JobState* job;
    unsigned id, sequence, row, heads, q, threshold;
    float scale;
    bool on;
    // Multiplier of key j for query i.
    __device__ float of(int i, int j) const
    {
        unsigned word = j / q;
        uint4 words = philox(job, j - word * q, row + i * heads, sequence, id);
        return keep(words, word);
    }
    __device__ float keep(const uint4& words, unsigned word) const
    {
        unsigned w = word == 0 ? words.x : word == 1 ? words.y : word == 2 ? words.z : words.w;
        return w >= threshold ? scale : 0;
    }
};

__device__ __forceinline__ Mask maskOf(const Head& at, int heads, float p, int id, int sequences, const JobState* job, int first)
{
    unsigned row = at.window / sequences * at.n * heads + at.head;
    unsigned sequence = first + at.window % sequences;
    return {job, (unsigned)id, sequence, row, (unsigned)heads, (unsigned)(at.keys() + 3) / 4, dropoutThreshold(p), dropoutScale(p), p > 0};
}

// Multipliers of 32 keys from `base` for rows i, i + 8 of this lane. Keys that share a block of words come one after the other.
__device__ __forceinline__ void multipliers(float (&keep)[4][4], const Mask& mask, int i, int base, const Head& at)
{
#pragma unroll
    for (int e = 0; e < 4; e++) {
        unsigned last = 0xffffffffu;
        uint4 words;
#pragma unroll
        for (int order = 0; order < 4; order++) {
            int tile = (order & 1) * 2 + (order >> 1);
            unsigned j = base + 8 * tile + 2 * at.t + (e & 1), word = j / mask.q, lane = j - word * mask.q;
            if (lane != last) words = philox(mask.job, lane, mask.row + (i + (e >> 1) * 8) * mask.heads, mask.sequence, mask.id);
            last = lane;
            keep[tile][e] = mask.keep(words, word);
        }
    }
}

// Scores of rows `top`.. against 32 keys from `base`, in units of log 2; -infinity where a row does not see a key.
__device__ __forceinline__ void scoresOf(
    float (&s)[4][4], const Rows& queries, const Matrix& kv, const Matrix& prefix, int top, int base, float scale, const Head& at)
{
#pragma unroll
    for (int tile = 0; tile < 4; tile++) {
        inner(s[tile], queries, keyRow(kv, prefix, at, base + 8 * tile + at.g), at);
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int j = base + 8 * tile + 2 * at.t + (e & 1), i = top + at.g + (e >> 1) * 8;
            s[tile][e] = j <= at.m + i ? s[tile][e] * scale : -INFINITE;
        }
    }
}

// A softmax over chunks of keys, for two rows: largest score so far, and this lane's sums relative to it.
struct Running {
    float top[2], total[2];
};

// The scores of one more chunk become exponentials; `factor` is what sums so far are to be multiplied by.
__device__ __forceinline__ void advance(Running& run, float (&s)[4][4], float (&factor)[2])
{
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float most = run.top[half];
#pragma unroll
        for (int tile = 0; tile < 4; tile++) most = fmaxf(most, fmaxf(s[tile][2 * half], s[tile][2 * half + 1]));
        most = quadMax(most);
        factor[half] = exp2f(run.top[half] - most);
        run.top[half] = most;
        float sum = 0;
#pragma unroll
        for (int tile = 0; tile < 4; tile++) {
            s[tile][2 * half] = exp2f(s[tile][2 * half] - most);
            s[tile][2 * half + 1] = exp2f(s[tile][2 * half + 1] - most);
            sum += s[tile][2 * half] + s[tile][2 * half + 1];
        }
        run.total[half] = run.total[half] * factor[half] + sum;
    }
}

// Blocks: (windows x heads, tiles of 16 rows); a warp per tile, the longest first.
extern "C" __global__ void __launch_bounds__(128) attention(Matrix q, Matrix kv, Matrix prefix, Matrix o, Matrix copy, int only,
    int windows, int heads, float p, int id, int sequences, const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    const Head at = headOf(q, prefix, blockIdx.x, windows, heads);
    const Mask mask = maskOf(at, heads, p, id, sequences, job, firstSequence);
    int top = ((at.n + 15) / 16 - 1 - (int)(blockIdx.y * (blockDim.x >> 5) + (threadIdx.x >> 5))) * 16;
    if (top < 0) return;
    Rows queries;
    loadRow(queries.low, queryRow(q, at, top + at.g), at);
    loadRow(queries.high, queryRow(q, at, top + at.g + 8), at);
    const Result result = {o, copy, only};
    const float scale = LOG2E / sqrtf((float)at.size);
    Running run = {{-INFINITE, -INFINITE}, {0, 0}};
    float sum[STEPS][4] = {};
    int end = min(at.m + top + 16, at.keys());
    for (int base = 0; base < end; base += 32) {
        float s[4][4], factor[2];
        scoresOf(s, queries, kv, prefix, top, base, scale, at);
        advance(run, s, factor);
        if (base > 0)
#pragma unroll
            for (int k = 0; k < STEPS; k++)
#pragma unroll
                for (int e = 0; e < 4; e++) sum[k][e] *= factor[e >> 1];
        if (mask.on) {
            float keep[4][4];
            multipliers(keep, mask, top + at.g, base, at);
#pragma unroll
            for (int tile = 0; tile < 4; tile++)
#pragma unroll
                for (int e = 0; e < 4; e++) s[tile][e] *= keep[tile][e];
        }
#pragma unroll
        for (int tile = 0; tile < 4; tile++) {
            int j = base + 8 * tile + 2 * at.t;
            addOuter(sum, s[tile], keyRow(kv, prefix, at, j) + at.width, keyRow(kv, prefix, at, j + 1) + at.width, at);
        }
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float total = quadSum(run.total[half]);
        int i = top + at.g + 8 * half;
        if (i < at.n) store(result.row(at.window * at.n + i, at.first), sum, half, 1 / total, at);
    }
}

// What the gradient needs of 16 rows of queries against 32 keys: scores, and the slopes do v^T times dropout's multipliers.
__device__ __forceinline__ void slopesOf(float (&d)[4][4], float (&keep)[4][4], const Rows& douts, const Matrix& kv, const Matrix& prefix,
    const Mask& mask, int top, int base, const Head& at)
{
    if (mask.on) multipliers(keep, mask, top + at.g, base, at);
#pragma unroll
    for (int tile = 0; tile < 4; tile++) {
        inner(d[tile], douts, keyRow(kv, prefix, at, base + 8 * tile + at.g) + at.width, at);
#pragma unroll
        for (int e = 0; e < 4; e++) {
            if (!mask.on) keep[tile][e] = 1;
            d[tile][e] *= keep[tile][e];
        }
    }
}

// Where the gradient of queries leaves what the gradient of keys wants: per row the logarithm (base 2) of the softmax's denominator
// and the mean slope.
struct Left {
    float *log, *mean;
};

// dq of rows top..top + 15.
__device__ __forceinline__ void queriesGrad(const Matrix& q, const Matrix& kv, const Matrix& prefix, const Matrix& dout, const Result& dq,
    const Mask& mask, int top, const Left& left, const Head& at)
{
    Rows queries, douts;
    loadRow(queries.low, queryRow(q, at, top + at.g), at);
    loadRow(queries.high, queryRow(q, at, top + at.g + 8), at);
    loadRow(douts.low, queryRow(dout, at, top + at.g), at);
    loadRow(douts.high, queryRow(dout, at, top + at.g + 8), at);
    const float plain = 1 / sqrtf((float)at.size), scale = LOG2E * plain;
    Running run = {{-INFINITE, -INFINITE}, {0, 0}};
    float mean[2] = {0, 0}, log[2];
    float s[4][4], d[4][4], keep[4][4];
    int end = min(at.m + top + 16, at.keys()), base = 0;
    for (;; base += 32) {
        float e[4][4], factor[2];
        scoresOf(s, queries, kv, prefix, top, base, scale, at);
        slopesOf(d, keep, douts, kv, prefix, mask, top, base, at);
#pragma unroll
        for (int i = 0; i < 16; i++) e[i >> 2][i & 3] = s[i >> 2][i & 3];
        advance(run, e, factor);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            mean[half] *= factor[half];
#pragma unroll
            for (int tile = 0; tile < 4; tile++)
                mean[half] += e[tile][2 * half] * d[tile][2 * half] + e[tile][2 * half + 1] * d[tile][2 * half + 1];
        }
        if (base + 32 >= end) break;
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float total = quadSum(run.total[half]);
        mean[half] = quadSum(mean[half]) / total;
        log[half] = run.top[half] + log2f(total);
        int i = top + at.g + 8 * half;
        if (at.t == 0 && i < at.n) left.log[i] = log[half], left.mean[i] = mean[half];
    }
    float sum[STEPS][4] = {};
    // Backwards: the last chunk is still at hand.
    for (;;) {
#pragma unroll
        for (int tile = 0; tile < 4; tile++) {
            float w[4];
            int j = base + 8 * tile + 2 * at.t;
#pragma unroll
            for (int e = 0; e < 4; e++) {
                float weight = exp2f(s[tile][e] - log[e >> 1]);
                w[e] = weight * (d[tile][e] - mean[e >> 1]) * plain;
            }
            addOuter(sum, w, keyRow(kv, prefix, at, j), keyRow(kv, prefix, at, j + 1), at);
        }
        if (base == 0) break;
        base -= 32;
        scoresOf(s, queries, kv, prefix, top, base, scale, at);
        slopesOf(d, keep, douts, kv, prefix, mask, top, base, at);
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int i = top + at.g + 8 * half;
        if (i < at.n) store(dq.row(at.window * at.n + i, at.first), sum, half, 1, at);
    }
}

// Gradients of 16 keys and their values to their rows.
__device__ __forceinline__ void storeKeys(
    const Result& dkv, const Matrix& dprefix, int top, const float (&keys)[STEPS][4], const float (&values)[STEPS][4], const Head& at)
{
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int j = top + at.g + 8 * half;
        if (j >= at.keys() || (j < at.m && !dprefix.data)) continue;
#pragma unroll
        for (int value = 0; value < 2; value++) {
            int column = at.first + value * at.width;
            Place to = j < at.m ? Place{dprefix.row(at.window * at.m + j) + column, nullptr} : dkv.row(at.window * at.n + j - at.m, column);
            store(to, value ? values : keys, half, 1, at);
        }
    }
}

// Windows of any size, first the queries. Blocks as of `attention`; log and mean hold a word for each row of each head.
extern "C" __global__ void __launch_bounds__(128) attentionGradQueries(Matrix q, Matrix kv, Matrix prefix, Matrix dout, Matrix dq, Matrix copy,
    int only, float* log, float* mean, int windows, int heads, float p, int id, int sequences, const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    const Head at = headOf(q, prefix, blockIdx.x, windows, heads);
    const Mask mask = maskOf(at, heads, p, id, sequences, job, firstSequence);
    int top = ((at.n + 15) / 16 - 1 - (int)(blockIdx.y * (blockDim.x >> 5) + (threadIdx.x >> 5))) * 16;
    if (top < 0) return;
    long long offset = (long long)blockIdx.x * at.n;
    const Left left = {log + offset, mean + offset};
    queriesGrad(q, kv, prefix, dout, {dq, copy, only}, mask, top, left, at);
}

// Then the keys: a warp has 16 of them and goes over the queries that see them, 16 at a time.
extern "C" __global__ void __launch_bounds__(128) attentionGradKeys(Matrix q, Matrix kv, Matrix prefix, Matrix dout, Matrix dkv, Matrix copy, int only,
    Matrix dprefix, const float* log, const float* mean, int windows, int heads, float p, int id, int sequences, const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    const Head at = headOf(q, prefix, blockIdx.x, windows, heads);
    const Mask mask = maskOf(at, heads, p, id, sequences, job, firstSequence);
    int top = (blockIdx.y * (blockDim.x >> 5) + (threadIdx.x >> 5)) * 16;
    if (top >= at.keys()) return;
    log += (long long)blockIdx.x * at.n;
    mean += (long long)blockIdx.x * at.n;
    Rows keyRows, valueRows;
    const float *low = keyRow(kv, prefix, at, top + at.g), *high = keyRow(kv, prefix, at, top + at.g + 8);
    loadRow(keyRows.low, low, at);
    loadRow(keyRows.high, high, at);
    loadRow(valueRows.low, low + at.width, at);
    loadRow(valueRows.high, high + at.width, at);
    const float plain = 1 / sqrtf((float)at.size), scale = LOG2E * plain;
    float keys[STEPS][4] = {}, values[STEPS][4] = {};
    for (int i = max(0, top - at.m) / 16 * 16; i < at.n; i += 8) {
        float s[4], d[4], w[4];
        inner(s, keyRows, queryRow(q, at, i + at.g), at);
        inner(d, valueRows, queryRow(dout, at, i + at.g), at);
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int query = i + 2 * at.t + (e & 1), key = top + at.g + 8 * (e >> 1);
            bool sees = query < at.n && key <= at.m + query;
            int row = min(query, at.n - 1);
            float weight = sees ? exp2f(s[e] * scale - log[row]) : 0;
            float keep = mask.on ? mask.of(row, min(key, at.keys() - 1)) : 1;
            w[e] = weight * keep;
            d[e] = weight * (d[e] * keep - mean[row]) * plain;
        }
        int i0 = i + 2 * at.t;
        addOuter(values, w, queryRow(dout, at, i0), queryRow(dout, at, i0 + 1), at);
        addOuter(keys, d, queryRow(q, at, i0), queryRow(q, at, i0 + 1), at);
    }
    storeKeys({dkv, copy, only}, dprefix, top, keys, values, at);
}
