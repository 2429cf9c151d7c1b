// Causal attention of long windows without prefix and its gradient, operands in bf16, sums and the softmax in fp32. A warp goes over the
// keys with 32 rows of queries, or over the queries with 16 keys; what it reads, its neighbours in the block read too, and find it in
// the first cache. The forward pass leaves the logarithm of every softmax's denominator and the result in bf16 for the gradient.
// Compiled with HEAD, the columns of a head: a multiple of 32. Lanes as in attention.cu: vectors straight from memory, the order of a
// contraction's terms being free.
#include "common.cuh"

#define STEPS (HEAD / 16)  // of a contraction over columns
#define TILES (HEAD / 8)   // of a result's columns
#define ACROSS (HEAD % 64 ? 4 : 8)
#define LOG2E 1.4426950408889634f
typedef const unsigned short* Halves;

// One head of one window of n rows.
struct Head {
    int unit, n, row, first, g, t;
    __device__ Halves at(const Matrix& x, int i) const { return halfRow(x, row + min(i, n - 1)) + first; }
};

__device__ __forceinline__ Head headOf(const Matrix& q, int windows, int heads)
{
    int unit = blockIdx.x, window = unit / heads, n = q.rows / windows, lane = threadIdx.x & 31;
    return {unit, n, window * n, (unit - window * heads) * HEAD, lane >> 2, lane & 3};
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

// The lane's columns of a row that is contracted over its columns: two pairs for each step.
__device__ __forceinline__ void loadRow(unsigned (&to)[STEPS][2], Halves row, const Head& at)
{
#pragma unroll
    for (int i = 0; i < STEPS / 2; i++) {
        uint4 x = *(const uint4*)(row + 32 * i + 8 * at.t);
        to[2 * i][0] = x.x, to[2 * i][1] = x.y, to[2 * i + 1][0] = x.z, to[2 * i + 1][1] = x.w;
    }
}

// 16 rows, of which this lane's are `g` and `g + 8`, contracted over columns.
struct Rows {
    unsigned low[STEPS][2], high[STEPS][2];
    __device__ __forceinline__ void load(const Matrix& x, int top, const Head& at)
    {
        loadRow(low, at.at(x, top + at.g), at);
        loadRow(high, at.at(x, top + at.g + 8), at);
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

// ACROSS columns of a row.
struct Vector {
    unsigned pair[ACROSS / 2];
    __device__ __forceinline__ void load(Halves from)
    {
#if ACROSS == 8
        uint4 x = *(const uint4*)from;
        pair[0] = x.x, pair[1] = x.y, pair[2] = x.z, pair[3] = x.w;
#else
        uint2 x = *(const uint2*)from;
        pair[0] = x.x, pair[1] = x.y;
#endif
    }
};

// sums (N times 16 x HEAD) += w (N times 16 x 16) times 16 rows from row i of x; w as two results of products stand side by side.
template <int N>
__device__ __forceinline__ void addOuter(float (&sums)[N][TILES][4], const unsigned (&w)[N][4], const Matrix& x, int i, const Head& at)
{
    Halves rows[4];
#pragma unroll
    for (int r = 0; r < 4; r++) rows[r] = at.at(x, i + 8 * (r >> 1) + 2 * at.t + (r & 1)) + ACROSS * at.g;
#pragma unroll
    for (int k = 0; k < TILES / ACROSS; k++) {
        Vector v[4];
#pragma unroll
        for (int r = 0; r < 4; r++) v[r].load(rows[r] + 8 * ACROSS * k);
#pragma unroll
        for (int c = 0; c < ACROSS; c++) {
            unsigned which = c & 1 ? 0x7632 : 0x5410;
            const unsigned b[2] = {
                __byte_perm(v[0].pair[c / 2], v[1].pair[c / 2], which), __byte_perm(v[2].pair[c / 2], v[3].pair[c / 2], which)};
#pragma unroll
            for (int one = 0; one < N; one++) multiplyHalves(sums[one][ACROSS * k + c], w[one], b);
        }
    }
}

// Row i of such a sum times `scale`, to any of two matrices; i is this lane's row g (half 0) or g + 8 (half 1).
__device__ __forceinline__ void store(
    const Matrix& y, const Matrix& copy, const float (&sum)[TILES][4], int half, int i, int column, float scale, const Head& at)
{
    if (i >= at.n) return;
#pragma unroll
    for (int k = 0; k < TILES / ACROSS; k++) {
#pragma unroll
        for (int e = 0; e < 2; e++) {
            int c = column + at.first + 8 * ACROSS * k + ACROSS * (2 * at.t + e);
#pragma unroll
            for (int j = 0; j < ACROSS; j += 4) {
                float4 v = make_float4(sum[ACROSS * k + j][2 * half + e] * scale, sum[ACROSS * k + j + 1][2 * half + e] * scale,
                    sum[ACROSS * k + j + 2][2 * half + e] * scale, sum[ACROSS * k + j + 3][2 * half + e] * scale);
                if (y.data) *(float4*)(y.row(at.row + i) + c + j) = v;
                if (copy.data) storeHalf4(halfRow(copy, at.row + i) + c + j, v);
            }
        }
    }
}

__device__ __forceinline__ float quadSum(float v)
{
    v += __shfl_xor_sync(FULL_WARP, v, 1);
    return v + __shfl_xor_sync(FULL_WARP, v, 2);
}

__device__ __forceinline__ float quadMax(float v)
{
    v = fmaxf(v, __shfl_xor_sync(FULL_WARP, v, 1));
    return fmaxf(v, __shfl_xor_sync(FULL_WARP, v, 2));
}

// Two results of 16 x 8 side by side, as the first factor of the next product.
__device__ __forceinline__ void pack(unsigned (&to)[4], const float (&left)[4], const float (&right)[4])
{
    to[0] = packHalves(left[0], left[1]);
    to[1] = packHalves(left[2], left[3]);
    to[2] = packHalves(right[0], right[1]);
    to[3] = packHalves(right[2], right[3]);
}

// The first row of a warp's 32, the last rows first.
__device__ __forceinline__ int topOf(const Head& at)
{
    return ((at.n + 31) / 32 - 1 - (int)(blockIdx.y * (blockDim.x >> 5) + (threadIdx.x >> 5))) * 32;
}

// q, keys and values, and `kept`, the result kept for the gradient, are bf16; o or its copy may be absent. log: a word for each row of each head.
extern "C" __global__ void __launch_bounds__(128) attentionLong(Matrix q, Matrix keys, Matrix values, Matrix o, Matrix copy, Matrix kept,
    float* log, int windows, int heads, float p, int id, int sequences, const JobState* job, int firstSequence)
{
    const Head at = headOf(q, windows, heads);
    const Mask mask = maskOf(at, heads, p, id, sequences, job, firstSequence);
    int top = topOf(at);
    if (top < 0) return;
    Rows queries[2];
    queries[0].load(q, top, at);
    queries[1].load(q, top + 16, at);
    const float scale = LOG2E * rsqrtf((float)HEAD);
    float most[4] = {-INFINITE, -INFINITE, -INFINITE, -INFINITE}, total[4] = {0, 0, 0, 0};
    float sums[2][TILES][4] = {};
    for (int base = 0; base <= top; base += 32) {
        float s[2][4][4];
#pragma unroll
        for (int tile = 0; tile < 4; tile++) {
            unsigned key[STEPS][2];
            loadRow(key, at.at(keys, base + 8 * tile + at.g), at);
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
            addOuter(sums, w, values, base + 16 * half, at);
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
    int n = dout.rows / windows, lane = threadIdx.x & 31;
    long long which = blockIdx.x * (long long)(blockDim.x >> 5) + (threadIdx.x >> 5);
    if (which >= (long long)dout.rows * heads) return;
    int unit = (int)(which / n), window = unit / heads, row = window * n + (int)(which % n), first = (unit - window * heads) * HEAD;
    float sum = 0;
    for (int c = 2 * lane; c < HEAD; c += 64) {
        unsigned a = *(const unsigned*)(halfRow(dout, row) + first + c), b = *(const unsigned*)(halfRow(kept, row) + first + c);
        sum += __uint_as_float(a << 16) * __uint_as_float(b << 16) + __uint_as_float(a & 0xffff0000u) * __uint_as_float(b & 0xffff0000u);
    }
    sum = warpSum(sum);
    if (lane == 0) mean[which] = sum;
}

// dq; blocks as of attentionLong.
extern "C" __global__ void __launch_bounds__(128) attentionLongQueries(Matrix q, Matrix keys, Matrix values, Matrix dout, Matrix dq, Matrix copy,
    const float* log, const float* mean, int windows, int heads, float p, int id, int sequences, const JobState* job, int firstSequence)
{
    const Head at = headOf(q, windows, heads);
    const Mask mask = maskOf(at, heads, p, id, sequences, job, firstSequence);
    int top = topOf(at);
    if (top < 0) return;
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
    for (int base = 0; base <= top + 16; base += 16) {
        if (base >= at.n) break;
        float w[2][2][4];
#pragma unroll
        for (int tile = 0; tile < 2; tile++) {
            unsigned key[STEPS][2], value[STEPS][2];
            loadRow(key, at.at(keys, base + 8 * tile + at.g), at);
            loadRow(value, at.at(values, base + 8 * tile + at.g), at);
#pragma unroll
            for (int one = 0; one < 2; one++) {
                float s[4], d[4];
                queries[one].times(s, key);
                douts[one].times(d, value);
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    int i = top + 16 * one + at.g + 8 * (e >> 1), j = base + 8 * tile + 2 * at.t + (e & 1), h = 2 * one + (e >> 1);
                    float weight = j <= i ? fastExp2(s[e] * scale - logs[h]) : 0;
                    float keep = mask.on ? mask.of(i, j) : 1;
                    w[one][tile][e] = weight * (d[e] * keep - means[h]) * plain;
                }
            }
        }
        unsigned packed[2][4];
        pack(packed[0], w[0][0], w[0][1]);
        pack(packed[1], w[1][0], w[1][1]);
        addOuter(sums, packed, keys, base, at);
    }
#pragma unroll
    for (int h = 0; h < 4; h++) store(dq, copy, sums[h >> 1], h & 1, top + 16 * (h >> 1) + at.g + 8 * (h & 1), 0, 1, at);
}

// dk and dv, side by side in dkv: a warp has 16 keys, the first keys first.
extern "C" __global__ void __launch_bounds__(128) attentionLongKeys(Matrix q, Matrix keys, Matrix values, Matrix dout, Matrix dkv, Matrix copy,
    const float* log, const float* mean, int windows, int heads, float p, int id, int sequences, const JobState* job, int firstSequence)
{
    const Head at = headOf(q, windows, heads);
    const Mask mask = maskOf(at, heads, p, id, sequences, job, firstSequence);
    int top = (blockIdx.y * (blockDim.x >> 5) + (threadIdx.x >> 5)) * 16;
    if (top >= at.n) return;
    Rows mine, worth;
    mine.load(keys, top, at);
    worth.load(values, top, at);
    const float plain = rsqrtf((float)HEAD), scale = LOG2E * plain;
    float dk[1][TILES][4] = {}, dv[1][TILES][4] = {};
    log += (long long)at.unit * at.n;
    mean += (long long)at.unit * at.n;
    for (int base = top; base < at.n; base += 16) {
        float w[2][4], slopes[2][4];
#pragma unroll
        for (int tile = 0; tile < 2; tile++) {
            unsigned query[STEPS][2], slope[STEPS][2];
            loadRow(query, at.at(q, base + 8 * tile + at.g), at);
            loadRow(slope, at.at(dout, base + 8 * tile + at.g), at);
            float s[4], d[4];
            mine.times(s, query);
            worth.times(d, slope);
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int i = base + 8 * tile + 2 * at.t + (e & 1), j = top + at.g + 8 * (e >> 1), row = min(i, at.n - 1);
                float weight = j <= i && i < at.n ? fastExp2(s[e] * scale - log[row]) : 0;
                float keep = mask.on ? mask.of(i, j) : 1;
                w[tile][e] = weight * keep;
                slopes[tile][e] = weight * (d[e] * keep - mean[row]) * plain;
            }
        }
        unsigned packed[1][4];
        pack(packed[0], w[0], w[1]);
        addOuter(dv, packed, dout, base, at);
        pack(packed[0], slopes[0], slopes[1]);
        addOuter(dk, packed, q, base, at);
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int j = top + at.g + 8 * half;
        store(dkv, copy, dk[0], half, j, 0, 1, at);
        store(dkv, copy, dv[0], half, j, q.cols, 1, at);
    }
}
