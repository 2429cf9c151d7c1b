// Causal attention of long windows without prefix and its gradient, operands in halves, sums and the softmax in fp32. A block's four warps
// have 32 rows of queries each and go over the keys, or KEYS keys each and go over the queries; what they go over lies in shared memory,
// 64 rows at a time, the next 64 on their way meanwhile. The forward pass leaves the logarithm of every softmax's denominator and the
// result in halves for the gradient. Compiled with HEAD, the columns of a head: a multiple of 32.
//
// Lane 4 g + t. Rows in shared memory are 4 words more than a multiple of 8 apart: eight rows of 16 bytes meet in no bank.
#include "common.cuh"

#define STEPS (HEAD / 16)  // of a contraction over columns
#define TILES (HEAD / 8)   // of a result's columns
#define STRIDE (HEAD + 8)
#define STAGE 64
#define BUFFER (STAGE * STRIDE)
#define GROUPS (HEAD <= 64 ? 2 : 1)  // of 16 keys of a warp
#define KEYS (16 * GROUPS)
#define LOG2E 1.4426950408889634f
typedef unsigned short Half;

// One head of one window of n rows.
struct Head {
    int unit, n, row, first, warp, g, t;
    __device__ const Half* at(const Matrix& x, int i) const { return halfRow(x, row + min(i, n - 1)) + first; }
};

__device__ __forceinline__ Head headOf(const Matrix& q, int windows, int heads)
{
    int unit = blockIdx.x, window = unit / heads, n = q.rows / windows, lane = threadIdx.x & 31;
    return {unit, n, window * n, (unit - window * heads) * HEAD, (int)(threadIdx.x >> 5), lane >> 2, lane & 3};
}

struct Mask {
    const JobState* job;
    unsigned id, sequence, row, heads, columns, threshold;
    float scale;
    bool on;
    __device__ float of(int i, int j) const
    {
        return dropoutWord(job, id, sequence, row + min(i, (int)columns - 1) * heads, min(j, (int)columns - 1), columns) >= threshold ? scale : 0;
    }
};

__device__ __forceinline__ Mask maskOf(const Head& at, int heads, float p, int id, int sequences, const JobState* job, int first)
{
    unsigned window = at.unit / heads, head = at.unit % heads;
    return {job, (unsigned)id, first + window % sequences, window / sequences * at.n * heads + head, (unsigned)heads, (unsigned)at.n,
        dropoutThreshold(p), dropoutScale(p), p > 0};
}

// Start to bring STAGE rows from row `base` into shared memory; rows beyond the last are the last.
__device__ __forceinline__ void bring(Half* to, const Matrix& x, int base, const Head& at)
{
    for (int i = threadIdx.x; i < STAGE * (HEAD / 8); i += blockDim.x) {
        int r = i / (HEAD / 8), c = 8 * (i - r * (HEAD / 8));
        copyLater(to + r * STRIDE + c, at.at(x, base + r) + c);
    }
}

// Two matrices go through shared memory together, from row `base` up to `end`, in two buffers each that take turns.
struct Stages {
    Half* shared;
    const Matrix &left, &right;
    int end;
    __device__ __forceinline__ Half* leftOf(int base) const { return shared + (base / STAGE & 1) * 2 * BUFFER; }
    __device__ __forceinline__ Half* rightOf(int base) const { return leftOf(base) + BUFFER; }
    __device__ __forceinline__ void start(int base, const Head& at) const
    {
        if (base < end) {
            bring(leftOf(base), left, base, at);
            bring(rightOf(base), right, base, at);
        }
        commitCopies();
    }
    // Rows from `base` are here; those after them are on their way.
    __device__ __forceinline__ void next(int base, const Head& at) const
    {
        __syncthreads();
        start(base + STAGE, at);
        waitForCopies<1>();
        __syncthreads();
    }
};

// The lane's columns of 8 rows in shared memory that are contracted over their columns: two pairs for each step.
__device__ __forceinline__ void loadRows(unsigned (&to)[STEPS][2], const Half* rows)
{
    int lane = threadIdx.x & 31;
#pragma unroll
    for (int k = 0; k < STEPS; k += 2) {
        unsigned four[4];
        loadMatrices(four, rows + (lane & 7) * STRIDE + 16 * k + 8 * (lane >> 3));
        to[k][0] = four[0], to[k][1] = four[1], to[k + 1][0] = four[2], to[k + 1][1] = four[3];
    }
}

// 16 rows, of which this lane's are `g` and `g + 8`, contracted over columns.
struct Rows {
    unsigned low[STEPS][2], high[STEPS][2];
    __device__ __forceinline__ void load(const Matrix& x, int top, const Head& at)
    {
        const unsigned *first = (const unsigned*)at.at(x, top + at.g), *second = (const unsigned*)at.at(x, top + at.g + 8);
#pragma unroll
        for (int k = 0; k < STEPS; k++)
#pragma unroll
            for (int h = 0; h < 2; h++) low[k][h] = first[8 * k + 4 * h + at.t], high[k][h] = second[8 * k + 4 * h + at.t];
    }
    __device__ __forceinline__ void times(float (&s)[4], const unsigned (&other)[STEPS][2]) const
    {
        s[0] = s[1] = s[2] = s[3] = 0;
#pragma unroll
        for (int k = 0; k < STEPS; k++) {
            const unsigned a[4] = {low[k][0], high[k][0], low[k][1], high[k][1]};
            multiplyHalves(s, a, other[k]);
        }
    }
};

// sums (N times 16 x HEAD) += w (N times 16 x 16) times 16 rows in shared memory; w as two results of products stand side by side.
template <int N>
__device__ __forceinline__ void addOuter(float (&sums)[N][TILES][4], const unsigned (&w)[N][4], const Half* rows)
{
    int lane = threadIdx.x & 31;
#pragma unroll
    for (int k = 0; k < TILES; k += 2) {
        unsigned four[4];
        loadMatricesAcross(four, rows + (lane & 15) * STRIDE + 8 * (k + (lane >> 4)));
        const unsigned left[2] = {four[0], four[1]}, right[2] = {four[2], four[3]};
#pragma unroll
        for (int one = 0; one < N; one++) {
            multiplyHalves(sums[one][k], w[one], left);
            multiplyHalves(sums[one][k + 1], w[one], right);
        }
    }
}

// Row i of such a sum times `scale`, to any of two matrices; i is this lane's row g (half 0) or g + 8 (half 1).
__device__ __forceinline__ void store(
    const Matrix& y, const Matrix& copy, const float (&sum)[TILES][4], int half, int i, int column, float scale, const Head& at)
{
    if (i >= at.n) return;
#pragma unroll
    for (int k = 0; k < TILES; k++) {
        int c = column + at.first + 8 * k + 2 * at.t;
        float left = sum[k][2 * half] * scale, right = sum[k][2 * half + 1] * scale;
        if (y.data) *(float2*)(y.row(at.row + i) + c) = make_float2(left, right);
        if (copy.data) *(unsigned*)(halfRow(copy, at.row + i) + c) = halfPair(left, right);
    }
}

// Two results of 16 x 8 side by side, as the first factor of the next product.
__device__ __forceinline__ void pack(unsigned (&to)[4], const float (&left)[4], const float (&right)[4])
{
    to[0] = halfPair(left[0], left[1]);
    to[1] = halfPair(left[2], left[3]);
    to[2] = halfPair(right[0], right[1]);
    to[3] = halfPair(right[2], right[3]);
}

// q, keys and values, and `kept`, the result kept for the gradient, are halves; o or its copy may be absent. log: a word for each row of
// each head.
extern "C" __global__ void __launch_bounds__(128) attentionLong(Matrix q, Matrix keys, Matrix values, Matrix o, Matrix copy, Matrix kept,
    float* log, int windows, int heads, float p, int id, int sequences, const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    const Head at = headOf(q, windows, heads);
    const Mask mask = maskOf(at, heads, p, id, sequences, job, firstSequence);
    DYNAMIC_SHARED(Half, shared);
    // The last rows, which see the most keys, first.
    int begin = (gridDim.y - 1 - blockIdx.y) * 128, top = begin + 32 * at.warp;
    const Stages stages = {shared, keys, values, min(begin + 128, at.n)};
    stages.start(0, at);
    Rows queries[2];
    queries[0].load(q, top, at);
    queries[1].load(q, top + 16, at);
    const float scale = LOG2E * rsqrtf((float)HEAD);
    float most[4] = {-INFINITE, -INFINITE, -INFINITE, -INFINITE}, total[4] = {0, 0, 0, 0};
    float sums[2][TILES][4] = {};
    for (int base = 0; base < stages.end; base += 32) {
        if (base % STAGE == 0) stages.next(base, at);
        if (base > top || top >= at.n) continue;
        const Half *keyRows = stages.leftOf(base) + base % STAGE * STRIDE, *valueRows = stages.rightOf(base) + base % STAGE * STRIDE;
        float s[2][4][4];
#pragma unroll
        for (int tile = 0; tile < 4; tile++) {
            unsigned key[STEPS][2];
            loadRows(key, keyRows + 8 * tile * STRIDE);
            queries[0].times(s[0][tile], key);
            queries[1].times(s[1][tile], key);
        }
        if (base == top)
#pragma unroll
            for (int one = 0; one < 2; one++)
#pragma unroll
                for (int tile = 0; tile < 4; tile++)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        if (8 * tile + 2 * at.t + (e & 1) > 16 * one + at.g + 8 * (e >> 1)) s[one][tile][e] = -INFINITE;
        float factor[4];
        bool higher = false;
#pragma unroll
        for (int h = 0; h < 4; h++) {
            float now = -INFINITE;
#pragma unroll
            for (int tile = 0; tile < 4; tile++) now = fmaxf(now, fmaxf(s[h >> 1][tile][2 * (h & 1)], s[h >> 1][tile][2 * (h & 1) + 1]));
            now = fmaxf(quadMax(now) * scale, most[h]);
            factor[h] = fastExp2(most[h] - now);
            higher |= now > most[h];
            most[h] = now;
            float sum = 0;
#pragma unroll
            for (int tile = 0; tile < 4; tile++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    float& x = s[h >> 1][tile][2 * (h & 1) + e];
                    x = fastExp2(x * scale - now);
                    sum += x;
                }
            total[h] = total[h] * factor[h] + sum;
        }
        if (__any_sync(FULL_WARP, higher))
#pragma unroll
            for (int i = 0; i < 2 * TILES * 4; i++)
                sums[i / (4 * TILES)][i / 4 % TILES][i & 3] *= factor[i / (4 * TILES) * 2 + (i >> 1 & 1)];
        if (mask.on)
#pragma unroll
            for (int i = 0; i < 32; i++)
                s[i >> 4][i >> 2 & 3][i & 3] *=
                    mask.of(top + 16 * (i >> 4) + at.g + 8 * (i >> 1 & 1), base + 8 * (i >> 2 & 3) + 2 * at.t + (i & 1));
#pragma unroll
        for (int half = 0; half < 2; half++) {
            unsigned w[2][4];
            pack(w[0], s[0][2 * half], s[0][2 * half + 1]);
            pack(w[1], s[1][2 * half], s[1][2 * half + 1]);
            addOuter(sums, w, valueRows + 16 * half * STRIDE);
        }
    }
#pragma unroll
    for (int h = 0; h < 4; h++) {
        float all = quadSum(total[h]);
        int i = top + 16 * (h >> 1) + at.g + 8 * (h & 1);
        store(o, copy, sums[h >> 1], h & 1, i, 0, 1 / all, at);
        store({}, kept, sums[h >> 1], h & 1, i, 0, 1 / all, at);
        if (log && at.t == 0 && i < at.n) log[(long long)at.unit * at.n + i] = most[h] + log2f(all);
    }
}

// mean[unit n + i] = sum over the head's columns of do times o. A warp per row and head.
extern "C" __global__ void attentionMeans(Matrix dout, Matrix kept, float* mean, int windows, int heads)
{
    waitForLaunchesBefore();
    int n = dout.rows / windows, lane = threadIdx.x & 31;
    long long which = blockIdx.x * (long long)(blockDim.x >> 5) + (threadIdx.x >> 5);
    if (which >= (long long)dout.rows * heads) return;
    int unit = (int)(which / n), window = unit / heads, row = window * n + (int)(which % n), first = (unit - window * heads) * HEAD;
    float sum = 0;
    for (int c = 2 * lane; c < HEAD; c += 64) {
        unsigned a = *(const unsigned*)(halfRow(dout, row) + first + c), b = *(const unsigned*)(halfRow(kept, row) + first + c);
        float2 x = numbersOf(a), y = numbersOf(b);
        sum += x.x * y.x + x.y * y.y;
    }
    sum = warpSum(sum);
    if (lane == 0) mean[which] = sum;
}

// dq; blocks as of attentionLong.
extern "C" __global__ void __launch_bounds__(128) attentionLongQueries(Matrix q, Matrix keys, Matrix values, Matrix dout, Matrix dq, Matrix copy,
    const float* log, const float* mean, int windows, int heads, float p, int id, int sequences, const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    const Head at = headOf(q, windows, heads);
    const Mask mask = maskOf(at, heads, p, id, sequences, job, firstSequence);
    DYNAMIC_SHARED(Half, shared);
    int begin = (gridDim.y - 1 - blockIdx.y) * 128, top = begin + 32 * at.warp;
    const Stages stages = {shared, keys, values, min(begin + 128, at.n)};
    stages.start(0, at);
    Rows queries[2], douts[2];
#pragma unroll
    for (int one = 0; one < 2; one++) {
        queries[one].load(q, top + 16 * one, at);
        douts[one].load(dout, top + 16 * one, at);
    }
    const float plain = rsqrtf((float)HEAD), scale = LOG2E * plain;
    float logs[4], means[4];
#pragma unroll
    for (int h = 0; h < 4; h++) {
        long long place = (long long)at.unit * at.n + min(top + 16 * (h >> 1) + at.g + 8 * (h & 1), at.n - 1);
        logs[h] = log[place];
        means[h] = mean[place];
    }
    float sums[2][TILES][4] = {};
    for (int base = 0; base < stages.end; base += 16) {
        if (base % STAGE == 0) stages.next(base, at);
        if (base > top + 31 || top >= at.n) continue;
        const Half *keyRows = stages.leftOf(base) + base % STAGE * STRIDE, *valueRows = stages.rightOf(base) + base % STAGE * STRIDE;
        bool whole = base + 15 <= top;
        float w[2][2][4];
#pragma unroll
        for (int tile = 0; tile < 2; tile++) {
            unsigned key[STEPS][2], value[STEPS][2];
            loadRows(key, keyRows + 8 * tile * STRIDE);
            loadRows(value, valueRows + 8 * tile * STRIDE);
#pragma unroll
            for (int one = 0; one < 2; one++) {
                float s[4], d[4];
                queries[one].times(s, key);
                douts[one].times(d, value);
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    int i = top + 16 * one + at.g + 8 * (e >> 1), j = base + 8 * tile + 2 * at.t + (e & 1), h = 2 * one + (e >> 1);
                    float weight = whole || j <= i ? fastExp2(s[e] * scale - logs[h]) : 0;
                    float slope = mask.on ? d[e] * mask.of(i, j) : d[e];
                    w[one][tile][e] = weight * (slope - means[h]) * plain;
                }
            }
        }
        unsigned packed[2][4];
        pack(packed[0], w[0][0], w[0][1]);
        pack(packed[1], w[1][0], w[1][1]);
        addOuter(sums, packed, keyRows);
    }
#pragma unroll
    for (int h = 0; h < 4; h++) store(dq, copy, sums[h >> 1], h & 1, top + 16 * (h >> 1) + at.g + 8 * (h & 1), 0, 1, at);
}

// dk and dv, side by side in dkv: a warp has KEYS keys, the first keys, which the most queries see, first. Behind the stages in shared
// memory: logarithms and means of a stage's rows.
extern "C" __global__ void __launch_bounds__(128) attentionLongKeys(Matrix q, Matrix keys, Matrix values, Matrix dout, Matrix dkv, Matrix copy,
    const float* log, const float* mean, int windows, int heads, float p, int id, int sequences, const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    const Head at = headOf(q, windows, heads);
    const Mask mask = maskOf(at, heads, p, id, sequences, job, firstSequence);
    DYNAMIC_SHARED(Half, shared);
    float* rowLogs = (float*)(shared + 4 * BUFFER);
    int begin = blockIdx.y * 4 * KEYS, top = begin + KEYS * at.warp;
    const Stages stages = {shared, q, dout, at.n};
    stages.start(begin, at);
    Rows mine[GROUPS], worth[GROUPS];
#pragma unroll
    for (int one = 0; one < GROUPS; one++) {
        mine[one].load(keys, top + 16 * one, at);
        worth[one].load(values, top + 16 * one, at);
    }
    const float plain = rsqrtf((float)HEAD), scale = LOG2E * plain;
    float dk[GROUPS][TILES][4] = {}, dv[GROUPS][TILES][4] = {};
    for (int base = begin; base < at.n; base += 16) {
        if (base % STAGE == 0) {
            __syncthreads();
            // The logarithm of a row that is none makes its weights zero.
            int i = base + (threadIdx.x & (STAGE - 1));
            bool isMean = threadIdx.x >= STAGE;
            rowLogs[threadIdx.x] = i < at.n ? (isMean ? mean : log)[(long long)at.unit * at.n + i] : isMean ? 0 : INFINITE;
            stages.next(base, at);
        }
        if (base + 15 < top || top >= at.n) continue;
        const Half *queryRows = stages.leftOf(base) + base % STAGE * STRIDE, *slopeRows = stages.rightOf(base) + base % STAGE * STRIDE;
        bool whole = base >= top + KEYS - 1;
        unsigned weights[GROUPS][4], slopes[GROUPS][4];
#pragma unroll
        for (int tile = 0; tile < 2; tile++) {
            unsigned query[STEPS][2], slope[STEPS][2];
            loadRows(query, queryRows + 8 * tile * STRIDE);
            loadRows(slope, slopeRows + 8 * tile * STRIDE);
            const float* row = rowLogs + base % STAGE + 8 * tile + 2 * at.t;
            const float2 logs = *(const float2*)row, means = *(const float2*)(row + STAGE);
#pragma unroll
            for (int one = 0; one < GROUPS; one++) {
                float s[4], d[4];
                mine[one].times(s, query);
                worth[one].times(d, slope);
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    int i = base + 8 * tile + 2 * at.t + (e & 1), j = top + 16 * one + at.g + 8 * (e >> 1);
                    float weight = whole || j <= i ? fastExp2(s[e] * scale - (e & 1 ? logs.y : logs.x)) : 0;
                    float keep = mask.on ? mask.of(i, j) : 1;
                    d[e] = weight * (d[e] * keep - (e & 1 ? means.y : means.x)) * plain;
                    s[e] = weight * keep;
                }
                weights[one][2 * tile] = halfPair(s[0], s[1]), weights[one][2 * tile + 1] = halfPair(s[2], s[3]);
                slopes[one][2 * tile] = halfPair(d[0], d[1]), slopes[one][2 * tile + 1] = halfPair(d[2], d[3]);
            }
        }
        addOuter(dv, weights, slopeRows);
        addOuter(dk, slopes, queryRows);
    }
#pragma unroll
    for (int h = 0; h < 2 * GROUPS; h++) {
        int one = h >> 1, j = top + 16 * one + at.g + 8 * (h & 1);
        store(dkv, copy, dk[one], h & 1, j, 0, 1, at);
        store(dkv, copy, dv[one], h & 1, j, q.cols, 1, at);
    }
}
