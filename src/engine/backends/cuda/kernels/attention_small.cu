// Causal attention of windows so small that a block holds one head of one in shared memory, and its gradient, on tensor cores. Operands
// are read once; the tiles of every product are shared out among the block's warps, and eight lanes have a row of the softmax. Keys are
// numbered with the prefix first.
//
// Compiled with HEAD, the columns of a head rounded up to 8, 16 or a multiple of 32; WHOLE, 1 where that is their number and operands
// lie at multiples of 16 bytes; PASSES of products (common.cuh); TURNS, the eighths of a quarter of the keys, rounded up.
//
// Lane 4 g + t. Rows in shared memory are 8 words more than a multiple of 32 apart (scores: 4 more than one of 8), so that lanes that
// read along rows, or along columns, meet in no bank.
#include "common.cuh"

#define STRIDE (HEAD == 8 ? 8 : HEAD + 8)
#define TILES (HEAD / 8)
#define LOG2E 1.4426950408889634f

// One head of a window of n rows, with m rows of prefix; rows and keys rounded up to 16.
struct Head {
    int window, n, m, keys, size, first, width, rows, columns, stride;
    unsigned sequence, row, heads;
};

__device__ __forceinline__ Head headOf(const Matrix& q, const Matrix& prefix, int windows, int heads, int sequences, int firstSequence)
{
    Head at;
    int unit = blockIdx.x, head = unit % heads;
    at.window = unit / heads;
    at.n = q.rows / windows;
    at.m = prefix.data ? prefix.rows / windows : 0;
    at.keys = at.m + at.n;
    at.size = q.cols / heads;
    at.first = head * at.size;
    at.width = q.cols;
    at.rows = (at.n + 15) / 16 * 16;
    at.columns = (at.keys + 15) / 16 * 16;
    at.stride = at.columns + 4;
    at.sequence = firstSequence + at.window % sequences;
    at.row = at.window / sequences * at.n * heads + head;
    at.heads = heads;
    return at;
}

// Four columns of a row, zeros beyond the head's last.
__device__ __forceinline__ float4 fourOf(const float* from, int c, const Head& at)
{
    if (WHOLE) return *(const float4*)(from + c);
    return make_float4(c < at.size ? from[c] : 0, c + 1 < at.size ? from[c + 1] : 0, c + 2 < at.size ? from[c + 2] : 0,
        c + 3 < at.size ? from[c + 3] : 0);
}

// A thread's part of some rows on its way from memory to shared memory, as operands of products; zeros beyond the last row. It has the same four
// columns of rows `step` apart. All that a thread fetches is on its way at once: a block has no other work meanwhile.
template <int TOGETHER>
struct Bringing {
    float4 v[TOGETHER];

    // Columns c to c + 3 of rows r, r + step, ..: the first `low` rows lie at `under`, those from there to `held` at `over`.
    __device__ __forceinline__ void fetch(
        int r, int step, int c, int low, int held, const float* under, int underStep, const float* over, int overStep, const Head& at)
    {
#pragma unroll
        for (int k = 0; k < TOGETHER; k++, r += step) {
            const float* from = r < low ? under + r * underStep : over + (r - low) * overStep;
            v[k] = r < held ? fourOf(from, c, at) : make_float4(0, 0, 0, 0);
        }
    }

    __device__ __forceinline__ void keep(float* to, int r, int step, int c, int rows) const
    {
#pragma unroll
        for (int k = 0; k < TOGETHER; k++, r += step) {
            if (r >= rows) break;
            float4 x = v[k];
            *(float4*)(to + r * STRIDE + c) =
                make_float4(prepared<PASSES>(x.x), prepared<PASSES>(x.y), prepared<PASSES>(x.z), prepared<PASSES>(x.w));
        }
    }
};

// Queries, and where they are wanted the gradients of the result; keys and values.
__device__ __forceinline__ void bring(float* queries, const Matrix& q, float* douts, const Matrix& dout, float* keys,
    float* values, const Matrix& kv, const Matrix& prefix, const Head& at)
{
    constexpr int across = HEAD / 4, ofQueries = 2, ofKeys = 4;
    const int c = 4 * ((int)threadIdx.x % across), step = (int)blockDim.x / across;
    const float *query = q.row(at.window * at.n) + at.first, *slope = douts ? dout.row(at.window * at.n) + at.first : nullptr;
    const float *own = kv.row(at.window * at.n) + at.first, *before = prefix.data ? prefix.row(at.window * at.m) + at.first : nullptr;
    int r = (int)threadIdx.x / across, j = r;
    // Threads beyond a whole number of rows have none.
    if (r >= step) r = j = max(at.rows, at.columns);
    for (; r < at.rows || j < at.columns; r += ofQueries * step, j += ofKeys * step) {
        Bringing<ofQueries> someQueries, someSlopes;
        Bringing<ofKeys> someKeys, someValues;
        someQueries.fetch(r, step, c, at.n, at.n, query, q.ld, nullptr, 0, at);
        if (douts) someSlopes.fetch(r, step, c, at.n, at.n, slope, dout.ld, nullptr, 0, at);
        someKeys.fetch(j, step, c, at.m, at.keys, before, prefix.ld, own, kv.ld, at);
        someValues.fetch(j, step, c, at.m, at.keys, before + at.width, prefix.ld, own + at.width, kv.ld, at);
        someQueries.keep(queries, r, step, c, at.rows);
        if (douts) someSlopes.keep(douts, r, step, c, at.rows);
        someKeys.keep(keys, j, step, c, at.columns);
        someValues.keep(values, j, step, c, at.columns);
    }
}

// d (16 x 8) = 16 rows of a times 8 rows of b, contracted over columns. The order of terms is free: lane t takes neighbours.
__device__ __forceinline__ void inner(float (&d)[4], const float* a, const float* b)
{
    int g = (threadIdx.x & 31) >> 2, t = threadIdx.x & 3;
    d[0] = d[1] = d[2] = d[3] = 0;
#pragma unroll
    for (int k = 0; k < HEAD; k += 8) {
        float2 low = *(const float2*)(a + g * STRIDE + k + 2 * t), high = *(const float2*)(a + (g + 8) * STRIDE + k + 2 * t);
        float2 other = *(const float2*)(b + g * STRIDE + k + 2 * t);
        const float left[4] = {low.x, high.x, low.y, high.y}, right[2] = {other.x, other.y};
        multiply<PASSES>(d, left, right);
    }
}

// d (16 x 8) = w (16 x count) times `count` rows of b, of which these are 8 columns; w(r, k) at w[r * rowStep + k * step].
__device__ __forceinline__ void outer(float (&d)[4], const float* w, int rowStep, int step, const float* b, int count)
{
    int g = (threadIdx.x & 31) >> 2, t = threadIdx.x & 3;
    d[0] = d[1] = d[2] = d[3] = 0;
    const float *low = w + g * rowStep + t * step, *high = low + 8 * rowStep, *other = b + t * STRIDE + g;
#pragma unroll 4
    for (int k = 0; k < count; k += 8) {
        const float left[4] = {low[k * step], high[k * step], low[(k + 4) * step], high[(k + 4) * step]};
        const float right[2] = {other[k * STRIDE], other[(k + 4) * STRIDE]};
        multiply<PASSES>(d, left, right);
    }
}

// A result, its copy in halves (or none), and whether that is all that is wanted.
struct Result {
    const Matrix &y, &copy;
    int only;
};

// Two neighbours of row r, columns c and c + 1 of the head.
__device__ __forceinline__ void store(const Result& to, int r, int column, int c, float left, float right, const Head& at)
{
    float* y = to.only ? nullptr : to.y.row(r) + column + at.first + c;
    unsigned short* copy = to.copy.data ? halfRow(to.copy, r) + column + at.first + c : nullptr;
    if (WHOLE) {
        if (y) *(float2*)y = make_float2(left, right);
        if (copy) *(unsigned*)copy = halfPair(left, right);
        return;
    }
    if (c < at.size) {
        if (y) y[0] = left;
        if (copy) copy[0] = halfBits(left);
    }
    if (c + 1 < at.size) {
        if (y) y[1] = right;
        if (copy) copy[1] = halfBits(right);
    }
}

// Scores (16 rows by 8 keys, for the tiles that are this warp's) to shared memory; with `douts` also the slopes do v^T.
__device__ __forceinline__ void scores(float* s, float* d, const float* queries, const float* keys, const float* douts, const float* values,
    const Head& at)
{
    int lane = threadIdx.x & 31, across = at.columns / 8, tiles = at.rows / 16 * across;
    for (int tile = threadIdx.x >> 5; tile < tiles; tile += blockDim.x >> 5) {
        int i = tile / across * 16, j = (tile - tile / across * across) * 8;
        // Keys that none of these rows sees.
        if (j > at.m + i + 15) continue;
        float one[4];
#pragma unroll
        for (int which = 0; which < 2; which++) {
            if (which && !douts) break;
            inner(one, (which ? douts : queries) + i * STRIDE, (which ? values : keys) + j * STRIDE);
            float* to = (which ? d : s) + (i + (lane >> 2)) * at.stride + j + 2 * (lane & 3);
            to[0] = one[0], to[1] = one[1];
            to[8 * at.stride] = one[2], to[8 * at.stride + 1] = one[3];
        }
    }
}

__device__ __forceinline__ float eighthSum(float v)
{
    v += __shfl_xor_sync(FULL_WARP, v, 1);
    v += __shfl_xor_sync(FULL_WARP, v, 2);
    return v + __shfl_xor_sync(FULL_WARP, v, 4);
}

__device__ __forceinline__ float eighthMax(float v)
{
    v = fmaxf(v, __shfl_xor_sync(FULL_WARP, v, 1));
    v = fmaxf(v, __shfl_xor_sync(FULL_WARP, v, 2));
    return fmaxf(v, __shfl_xor_sync(FULL_WARP, v, 4));
}

struct Dropout {
    float p;
    int id;
    const JobState* job;
};

// Scores become weights times dropout's multipliers; with slopes d, those become the gradient of the scores. Rows beyond the last and
// keys that a row does not see: zeros. A lane has the four keys of each Philox block that is its own.
__device__ __forceinline__ void softmax(float* s, float* d, const Dropout& dropout, const Head& at)
{
    const unsigned threshold = dropoutThreshold(dropout.p);
    const float multiplier = dropoutScale(dropout.p), plain = 1 / sqrtf((float)at.size), scale = LOG2E * plain;
    int own = threadIdx.x & 7, q = (at.keys + 3) / 4;
    // All lanes of a warp go together: rows come in sixteens, a warp has four at a time.
    for (int i = threadIdx.x >> 3; i < at.rows; i += blockDim.x >> 3) {
        float* row = s + i * at.stride;
        int seen = i < at.n ? at.m + i + 1 : 0;
        float w[TURNS][4], most = -INFINITE, total = 0;
#pragma unroll
        for (int turn = 0; turn < TURNS; turn++)
#pragma unroll
            for (int word = 0; word < 4; word++) {
                int lane = own + 8 * turn, j = lane + word * q;
                w[turn][word] = lane < q && j < seen ? row[j] * scale : -INFINITE;
                most = fmaxf(most, w[turn][word]);
            }
        most = eighthMax(most);
        if (seen == 0) most = 0;
#pragma unroll
        for (int turn = 0; turn < TURNS; turn++)
#pragma unroll
            for (int word = 0; word < 4; word++) {
                w[turn][word] = exp2f(w[turn][word] - most);
                total += w[turn][word];
            }
        total = eighthSum(total);
        const float share = seen == 0 ? 0 : 1 / total;
        float keep[TURNS][4], slopes[TURNS][4], mean = 0;
#pragma unroll
        for (int turn = 0; turn < TURNS; turn++) {
            uint4 words = make_uint4(threshold, threshold, threshold, threshold);
            if (dropout.p > 0)
                words = philox(dropout.job, own + 8 * turn, at.row + i * at.heads, at.sequence, dropout.id);
            const unsigned each[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
            for (int word = 0; word < 4; word++) {
                int lane = own + 8 * turn, j = lane + word * q;
                w[turn][word] *= share;
                keep[turn][word] = dropout.p > 0 ? (each[word] >= threshold ? multiplier : 0) : 1;
                slopes[turn][word] = d && lane < q && j < seen ? d[i * at.stride + j] * keep[turn][word] : 0;
                mean += w[turn][word] * slopes[turn][word];
            }
        }
        if (d) mean = eighthSum(mean);
#pragma unroll
        for (int turn = 0; turn < TURNS; turn++)
#pragma unroll
            for (int word = 0; word < 4; word++) {
                int lane = own + 8 * turn, j = lane + word * q;
                if (lane >= q || j >= at.columns) continue;
                row[j] = prepared<PASSES>(w[turn][word] * keep[turn][word]);
                if (d) d[i * at.stride + j] = prepared<PASSES>(w[turn][word] * (slopes[turn][word] - mean) * plain);
            }
        // Keys that round up their number to 16.
        for (int j = 4 * q + own; j < at.columns; j += 8) {
            row[j] = 0;
            if (d) d[i * at.stride + j] = 0;
        }
    }
}

// A block for each head of each window. Shared: queries, keys, values, weights.
extern "C" __global__ void __launch_bounds__(256) attentionSmall(Matrix q, Matrix kv, Matrix prefix, Matrix o, Matrix copy, int only,
    int windows, int heads, float p, int id, int sequences, const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    DYNAMIC_SHARED(float, shared);
    const Head at = headOf(q, prefix, windows, heads, sequences, firstSequence);
    float *queries = shared, *keys = queries + at.rows * STRIDE, *values = keys + at.columns * STRIDE, *s = values + at.columns * STRIDE;
    bring(queries, q, nullptr, q, keys, values, kv, prefix, at);
    __syncthreads();
    scores(s, nullptr, queries, keys, nullptr, nullptr, at);
    __syncthreads();
    softmax(s, nullptr, {p, id, job}, at);
    __syncthreads();
    int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    for (int tile = threadIdx.x >> 5; tile < at.rows / 16 * TILES; tile += blockDim.x >> 5) {
        int i = tile / TILES * 16, c = (tile % TILES) * 8;
        float sum[4];
        outer(sum, s + i * at.stride, at.stride, 1, values + c, min(at.columns, (at.m + i + 16 + 7) / 8 * 8));
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int r = i + g + 8 * half;
            if (r < at.n) store({o, copy, only}, at.window * at.n + r, 0, c + 2 * t, sum[2 * half], sum[2 * half + 1], at);
        }
    }
}

// `added` (or none) goes to the prefix's gradient. Shared: queries, gradients of the result, keys, values, weights, slopes.
extern "C" __global__ void __launch_bounds__(256) attentionSmallGrad(Matrix q, Matrix kv, Matrix prefix, Matrix dout, Matrix dq,
    Matrix queriesCopy, int onlyQueries, Matrix dkv, Matrix keysCopy, int onlyKeys, Matrix dprefix, Matrix prefixCopy, int onlyPrefix,
    Matrix added, int windows, int heads, float p, int id, int sequences, const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    DYNAMIC_SHARED(float, shared);
    const Head at = headOf(q, prefix, windows, heads, sequences, firstSequence);
    float *queries = shared, *douts = queries + at.rows * STRIDE, *keys = douts + at.rows * STRIDE;
    float *values = keys + at.columns * STRIDE, *s = values + at.columns * STRIDE, *d = s + at.rows * at.stride;
    bring(queries, q, douts, dout, keys, values, kv, prefix, at);
    __syncthreads();
    scores(s, d, queries, keys, douts, values, at);
    __syncthreads();
    softmax(s, d, {p, id, job}, at);
    __syncthreads();
    int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    int rowTiles = at.rows / 16 * TILES, keyTiles = at.columns / 16 * TILES;
    // Tiles of dq, then of dk, then of dv.
    for (int tile = threadIdx.x >> 5; tile < rowTiles + 2 * keyTiles; tile += blockDim.x >> 5) {
        float sum[4];
        if (tile < rowTiles) {
            int i = tile / TILES * 16, c = (tile % TILES) * 8;
            outer(sum, d + i * at.stride, at.stride, 1, keys + c, min(at.columns, (at.m + i + 16 + 7) / 8 * 8));
#pragma unroll
            for (int half = 0; half < 2; half++) {
                int r = i + g + 8 * half;
                if (r < at.n)
                    store({dq, queriesCopy, onlyQueries}, at.window * at.n + r, 0, c + 2 * t, sum[2 * half], sum[2 * half + 1], at);
            }
            continue;
        }
        bool value = tile >= rowTiles + keyTiles;
        int one = tile - rowTiles - (value ? keyTiles : 0), j = one / TILES * 16, c = (one % TILES) * 8;
        float more[2][2] = {};
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int key = j + g + 8 * half;
            if (!added.data || key >= at.m) continue;
            const float* from = added.row(at.window * at.m + key) + (value ? at.width : 0) + at.first + c + 2 * t;
            if (c + 2 * t < at.size) more[half][0] = from[0];
            if (c + 2 * t + 1 < at.size) more[half][1] = from[1];
        }
        // Rows before the first that sees one of these keys add nothing.
        int i = max(0, j - at.m) / 8 * 8;
        outer(sum, (value ? s : d) + i * at.stride + j, 1, at.stride, (value ? douts : queries) + i * STRIDE + c, at.rows - i);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int key = j + g + 8 * half, column = value ? at.width : 0;
            if (key >= at.keys || (key < at.m && !dprefix.data)) continue;
            float left = sum[2 * half] + more[half][0], right = sum[2 * half + 1] + more[half][1];
            if (key < at.m)
                store({dprefix, prefixCopy, onlyPrefix}, at.window * at.m + key, column, c + 2 * t, left, right, at);
            else
                store({dkv, keysCopy, onlyKeys}, at.window * at.n + key - at.m, column, c + 2 * t, left, right, at);
        }
    }
}
