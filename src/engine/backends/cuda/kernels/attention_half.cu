// Causal attention of small windows and its gradient, products of halves, sums and the softmax in fp32. A block has one head of one window
// (the forward pass of windows of 16 rows: of several), all of whose rows are on their way to shared memory before anything waits; the bits
// of dropout are computed meanwhile. A warp has 16 rows of queries, and their scores in registers. Keys are numbered with the prefix first.
//
// Compiled with HEAD, the columns of a head; ROWS of a window, and the KEYS that its last row sees: multiples of 16; WARPS of the gradient.
//
// Lane 4 g + t. Rows in shared memory are an odd number of 16 bytes: eight of them meet in no bank.
#include "common.cuh"

#define STRIDE (HEAD + 8)
#define ACROSS (KEYS + 8)
#define TILES (HEAD / 8)  // of a result's columns, and the pieces of 16 bytes of a row
#define PREFIX (KEYS - ROWS)
#define ROW_TILES (ROWS / 16)
#define KEY_TILES (KEYS / 16)
#define LOG2E 1.4426950408889634f
typedef unsigned short Half;

// One head of a window; rows in halves from its first, and the lane.
struct Head {
    int window, first, width, warp, lane, g, t;
    __device__ const Half* own(const Matrix& x) const { return halfRow(x, window * ROWS) + first; }
    __device__ const Half* before(const Matrix& x) const { return halfRow(x, window * PREFIX) + first; }
};

__device__ __forceinline__ Head headOf(const Matrix& q)
{
    int lane = threadIdx.x & 31;
    return {(int)(blockIdx.x * blockDim.y + threadIdx.y), (int)blockIdx.y * HEAD, q.cols, (int)threadIdx.x >> 5, lane, lane >> 2, lane & 3};
}

// Start to bring COUNT rows of PIECES times 16 bytes, by THREADS threads; rows are this many bytes apart.
template <int COUNT, int PIECES, int THREADS>
__device__ __forceinline__ void bring(void* to, int toStep, const void* from, long long fromStep)
{
#pragma unroll
    for (int k = 0; k < COUNT * PIECES; k += THREADS) {
        int i = k + (int)threadIdx.x, r = i / PIECES, c = 16 * (i % PIECES);
        bool mine = k + THREADS <= COUNT * PIECES || i < COUNT * PIECES;
        if (mine) copyLater((char*)to + r * toStep + c, (const char*)from + r * fromStep + c);
    }
}

template <int COUNT, int THREADS>
__device__ __forceinline__ void bringHalves(Half* to, const Half* from, int ld)
{
    bring<COUNT, TILES, THREADS>(to, 2 * STRIDE, from, 2LL * ld);
}

// Keys, or with `column` values, of the prefix and then of the window.
template <int THREADS>
__device__ __forceinline__ void bringKeys(Half* to, const Matrix& kv, const Matrix& prefix, int column, const Head& at)
{
    bringHalves<PREFIX, THREADS>(to, at.before(prefix) + column, prefix.ld);
    bringHalves<ROWS, THREADS>(to + PREFIX * STRIDE, at.own(kv) + column, kv.ld);
}

template <int groups, bool alone>
__device__ __forceinline__ void arrived()
{
    waitForCopies<groups>();
    if (alone)
        __syncwarp();
    else
        __syncthreads();
}

struct Dropout {
    float p;
    int id, sequences, firstSequence;
};

// Of the weights of a warp's rows g and g + 8 in tiles of 8 keys, those that dropout keeps. A Philox block's four words are those of keys
// KEYS / 4 apart: if that is a number of tiles, all are this lane's, else two are.
struct Kept {
    unsigned bits[(KEYS + 63) / 64];

    __device__ __forceinline__ void draw(const JobState& job, const Dropout& dropout, const Head& at)
    {
        constexpr int apart = KEYS / 4, mine = KEYS % 32 == 0 ? 4 : 2, calls = KEYS / 8 / mine;
        const unsigned threshold = dropoutThreshold(dropout.p), heads = gridDim.y;
        const unsigned block = at.window / dropout.sequences, sequence = dropout.firstSequence + at.window - block * dropout.sequences;
        const unsigned row = (block * ROWS + 16 * at.warp + at.g) * heads + blockIdx.y;
#pragma unroll
        for (unsigned& each : bits) each = 0;
#pragma unroll
        for (int call = 0; call < calls; call++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int column = 8 * call + 2 * at.t + (e & 1);
                bool second = column >= apart;
                uint4 words = philox(&job, second ? column - apart : column, row + 8 * (e >> 1) * heads, sequence, dropout.id);
                const unsigned all[4] = {words.x, words.y, words.z, words.w};
                const unsigned two[2] = {second ? words.y : words.x, second ? words.w : words.z};
#pragma unroll
                for (int word = 0; word < mine; word++) {
                    int tile = call + word * calls;
                    if ((mine == 4 ? all[word] : two[word & 1]) >= threshold) bits[tile / 8] |= 1u << (4 * (tile % 8) + e);
                }
            }
    }

    __device__ __forceinline__ bool operator()(int tile, int e) const { return bits[tile / 8] >> (4 * (tile % 8) + e) & 1; }
};

// s (16 x KEYS) = 16 rows times those keys (or values) of the first `tiles` tiles of 16, contracted over columns.
__device__ __forceinline__ void inner(float (&s)[2 * KEY_TILES][4], const Half* rows, const Half* keys, int tiles, int lane)
{
    unsigned a[HEAD / 16][4];
#pragma unroll
    for (int k = 0; k < HEAD / 16; k++) loadMatrices(a[k], rows + (lane & 15) * STRIDE + 16 * k + 8 * (lane >> 4));
#pragma unroll
    for (int j = 0; j < KEY_TILES; j++) {
#pragma unroll
        for (int e = 0; e < 8; e++) s[2 * j + (e >> 2)][e & 3] = 0;
        if (ROW_TILES > 1 && j >= tiles) continue;
#pragma unroll
        for (int k = 0; k < HEAD / 16; k++) {
            unsigned b[4];
            loadMatrices(b, keys + (16 * j + (lane & 7) + 8 * (lane >> 4)) * STRIDE + 16 * k + (lane & 8));
            const unsigned left[2] = {b[0], b[1]}, right[2] = {b[2], b[3]};
            multiplyHalves(s[2 * j], a[k], left);
            multiplyHalves(s[2 * j + 1], a[k], right);
        }
    }
}

// sums (16 x HEAD) += w (16 x 16) times 16 rows in shared memory.
__device__ __forceinline__ void addOuter(float (&sums)[TILES][4], const unsigned (&w)[4], const Half* rows, int lane)
{
#pragma unroll
    for (int k = 0; k < TILES; k += 2) {
        unsigned b[4];
        loadMatricesAcross(b, rows + (lane & 15) * STRIDE + 8 * (k + (lane >> 4)));
        const unsigned left[2] = {b[0], b[1]}, right[2] = {b[2], b[3]};
        multiplyHalves(sums[k], w, left);
        multiplyHalves(sums[k + 1], w, right);
    }
}

// Scores become powers of e, zero for keys that a row does not see; `share`: by which those of rows g and g + 8 become weights.
__device__ __forceinline__ void softmax(float (&s)[2 * KEY_TILES][4], float (&share)[2], const Head& at)
{
    const float scale = LOG2E * rsqrtf((float)HEAD);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float most = -INFINITE, total = 0;
#pragma unroll
        for (int i = 0; i < 4 * KEY_TILES; i++) {
            int tile = i >> 1, key = 8 * tile + 2 * at.t + (i & 1);
            float& x = s[tile][2 * h + (i & 1)];
            if (8 * tile >= PREFIX && key - PREFIX > 16 * at.warp + at.g + 8 * h) x = -INFINITE;
            most = fmaxf(most, x);
        }
        most = quadMax(most) * scale;
#pragma unroll
        for (int i = 0; i < 4 * KEY_TILES; i++) {
            float& x = s[i >> 1][2 * h + (i & 1)];
            x = fastExp2(x * scale - most);
            total += x;
        }
        share[h] = fastInverse(quadSum(total));
    }
}

// A result in fp32 and in halves; either may be absent.
struct Result {
    const Matrix &y, &copy;
};

// 16 rows of a result, from row `row` and column `column` on. Halves go through shared memory, to be stored 16 bytes at a time.
__device__ __forceinline__ void store(const Result& to, int row, int column, const float (&sums)[TILES][4], Half* between, const Head& at)
{
    if (to.y.data)
#pragma unroll
        for (int i = 0; i < 2 * TILES; i++) {
            int k = i >> 1, h = i & 1;
            *(float2*)(to.y.row(row + at.g + 8 * h) + column + 8 * k + 2 * at.t) = make_float2(sums[k][2 * h], sums[k][2 * h + 1]);
        }
    if (!to.copy.data) return;
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 2 * TILES; i++) {
        int k = i >> 1, h = i & 1;
        *(unsigned*)(between + (at.g + 8 * h) * STRIDE + 8 * k + 2 * at.t) = halfPair(sums[k][2 * h], sums[k][2 * h + 1]);
    }
    __syncwarp();
#pragma unroll
    for (int i = at.lane; i < 16 * TILES; i += 32) {
        int r = i / TILES, c = 8 * (i % TILES);
        *(uint4*)(halfRow(to.copy, row + r) + column + c) = *(const uint4*)(between + r * STRIDE + c);
    }
}

// Shared, for each of the block's windows: queries, keys, values.
extern "C" __global__ void __launch_bounds__(128) attentionHalf(Matrix q, Matrix kv, Matrix prefix, Matrix o, Matrix copy, int windows,
    float p, int id, int sequences, const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    DYNAMIC_SHARED(Half, shared);
    const Head at = headOf(q);
    // Only where a warp is alone with its window are there several of them in a block.
    if (at.window >= windows) return;
    const JobState state = *job;
    Half *queries = shared + threadIdx.y * (ROWS + 2 * KEYS) * STRIDE, *keys = queries + ROWS * STRIDE, *values = keys + KEYS * STRIDE;
    constexpr int threads = 32 * ROW_TILES;
    bringHalves<ROWS, threads>(queries, at.own(q), q.ld);
    bringKeys<threads>(keys, kv, prefix, 0, at);
    commitCopies();
    bringKeys<threads>(values, kv, prefix, at.width, at);
    commitCopies();
    Kept kept;
    if (p > 0) kept.draw(state, {p, id, sequences, firstSequence}, at);
    arrived<1, ROW_TILES == 1>();
    const int tiles = PREFIX / 16 + at.warp + 1;
    queries += 16 * at.warp * STRIDE;
    float s[2 * KEY_TILES][4], share[2], sums[TILES][4] = {};
    inner(s, queries, keys, tiles, at.lane);
    softmax(s, share, at);
    arrived<0, ROW_TILES == 1>();
#pragma unroll
    for (int j = 0; j < KEY_TILES; j++) {
        if (ROW_TILES > 1 && j >= tiles) break;
        if (p > 0)
#pragma unroll
            for (int e = 0; e < 8; e++)
                if (!kept(2 * j + (e >> 2), e & 3)) s[2 * j + (e >> 2)][e & 3] = 0;
        const float(&a)[4] = s[2 * j], (&b)[4] = s[2 * j + 1];
        const unsigned w[4] = {halfPair(a[0], a[1]), halfPair(a[2], a[3]), halfPair(b[0], b[1]), halfPair(b[2], b[3])};
        addOuter(sums, w, values + 16 * j * STRIDE, at.lane);
    }
    const float scale = dropoutScale(p);
#pragma unroll
    for (int i = 0; i < 4 * TILES; i++) sums[i >> 2][i & 3] *= share[i >> 1 & 1] * scale;
    store({o, copy}, at.window * ROWS + 16 * at.warp, at.first, sums, queries, at);
}

// Shared, for the gradient: queries, gradients of the result, keys, values; weights, gradients of scores; results on their way; what is
// added.
struct Places {
    Half *queries, *douts, *keys, *values, *weights, *slopes, *between;
    float* added;
    __device__ explicit Places(Half* shared)
    {
        queries = shared, douts = queries + ROWS * STRIDE, keys = douts + ROWS * STRIDE, values = keys + KEYS * STRIDE;
        weights = values + KEYS * STRIDE, slopes = weights + ROWS * ACROSS, between = slopes + ROWS * ACROSS;
        added = (float*)(between + WARPS * 16 * STRIDE);
    }
};

// Start to bring what is added to the gradients of the prefix's keys, and then of its values.
__device__ __forceinline__ void bringAdded(float* to, const Matrix& added, const Head& at)
{
    const float* from = added.row(at.window * PREFIX) + at.first;
#pragma unroll
    for (int which = 0; which < 2; which++)
        bring<PREFIX, 2 * TILES, 32 * WARPS>(to + which * PREFIX * STRIDE, 4 * STRIDE, from + which * at.width, 4LL * added.ld);
}

// 16 rows in shared memory, as sums to go on from.
__device__ __forceinline__ void beginWith(float (&sums)[TILES][4], const float* from, const Head& at)
{
#pragma unroll
    for (int i = 0; i < 2 * TILES; i++) {
        int k = i >> 1, h = i & 1;
        float2 two = *(const float2*)(from + (at.g + 8 * h) * STRIDE + 8 * k + 2 * at.t);
        sums[k][2 * h] = two.x, sums[k][2 * h + 1] = two.y;
    }
}

// The weights, and the gradients of the scores, of a warp's 16 rows, to shared memory.
__device__ __forceinline__ void slopes(const Places& in, const Kept& kept, float p, const Head& at)
{
    const int tiles = PREFIX / 16 + at.warp + 1, top = 16 * at.warp;
    float s[2 * KEY_TILES][4], d[2 * KEY_TILES][4], share[2];
    inner(s, in.queries + top * STRIDE, in.keys, tiles, at.lane);
    inner(d, in.douts + top * STRIDE, in.values, tiles, at.lane);
    softmax(s, share, at);
    const float scale = dropoutScale(p), plain = rsqrtf((float)HEAD);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float mean = 0;
#pragma unroll
        for (int i = 0; i < 4 * KEY_TILES; i++) {
            int tile = i >> 1, e = 2 * h + (i & 1);
            if (p > 0) d[tile][e] = kept(tile, e) ? d[tile][e] * scale : 0;
            mean += s[tile][e] * d[tile][e];
        }
        mean = quadSum(mean) * share[h];
#pragma unroll
        for (int tile = 0; tile < 2 * KEY_TILES; tile++) {
            if (ROW_TILES > 1 && tile >= 2 * tiles) break;
            float w[2];
#pragma unroll
            for (int i = 0; i < 2; i++) {
                int e = 2 * h + i;
                w[i] = s[tile][e] * share[h];
                d[tile][e] = w[i] * (d[tile][e] - mean) * plain;
                if (p > 0) w[i] = kept(tile, e) ? w[i] * scale : 0;
            }
            int place = (top + at.g + 8 * h) * ACROSS + 8 * tile + 2 * at.t;
            *(unsigned*)(in.weights + place) = halfPair(w[0], w[1]);
            *(unsigned*)(in.slopes + place) = halfPair(d[tile][2 * h], d[tile][2 * h + 1]);
        }
    }
}

// `added` (or none) goes to the prefix's gradient. The first warps have rows of queries; then each has some tiles of 16 rows of results.
extern "C" __global__ void __launch_bounds__(32 * WARPS) attentionHalfGrad(Matrix q, Matrix kv, Matrix prefix, Matrix dout, Matrix dq,
    Matrix queriesCopy, Matrix dkv, Matrix keysCopy, Matrix dprefix, Matrix prefixCopy, Matrix added, float p, int id, int sequences,
    const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    DYNAMIC_SHARED(Half, shared);
    const Head at = headOf(q);
    const JobState state = *job;
    const Places in(shared);
    constexpr int threads = 32 * WARPS;
    bringHalves<ROWS, threads>(in.queries, at.own(q), q.ld);
    bringKeys<threads>(in.keys, kv, prefix, 0, at);
    bringHalves<ROWS, threads>(in.douts, at.own(dout), dout.ld);
    bringKeys<threads>(in.values, kv, prefix, at.width, at);
    commitCopies();
    if (added.data) bringAdded(in.added, added, at);
    commitCopies();
    Kept kept;
    if (p > 0 && at.warp < ROW_TILES) kept.draw(state, {p, id, sequences, firstSequence}, at);
    arrived<1, false>();
    if (at.warp < ROW_TILES) slopes(in, kept, p, at);
    arrived<0, false>();
    Half* between = in.between + at.warp * 16 * STRIDE;
    for (int tile = at.warp; tile < ROW_TILES + 2 * KEY_TILES; tile += WARPS) {
        float sums[TILES][4] = {};
        unsigned w[4];
        if (tile < ROW_TILES) {
            for (int j = 0; j <= PREFIX / 16 + tile; j++) {
                loadMatrices(w, in.slopes + (16 * tile + (at.lane & 15)) * ACROSS + 16 * j + 8 * (at.lane >> 4));
                addOuter(sums, w, in.keys + 16 * j * STRIDE, at.lane);
            }
            store({dq, queriesCopy}, at.window * ROWS + 16 * tile, at.first, sums, between, at);
            continue;
        }
        int which = tile < ROW_TILES + KEY_TILES ? 0 : 1, j = tile - ROW_TILES - which * KEY_TILES, column = which * at.width + at.first;
        bool own = j >= PREFIX / 16;
        if (!own && added.data) beginWith(sums, in.added + (which * PREFIX + 16 * j) * STRIDE, at);
        const Half *left = which ? in.weights : in.slopes, *right = which ? in.douts : in.queries;
        // Rows before the first that sees one of these keys add nothing.
        for (int i = own ? j - PREFIX / 16 : 0; i < ROW_TILES; i++) {
            loadMatricesAcross(w, left + (16 * i + (at.lane & 7) + 8 * (at.lane >> 4)) * ACROSS + 16 * j + (at.lane & 8));
            addOuter(sums, w, right + 16 * i * STRIDE, at.lane);
        }
        if (own)
            store({dkv, keysCopy}, at.window * ROWS + 16 * j - PREFIX, column, sums, between, at);
        else
            store({dprefix, prefixCopy}, at.window * PREFIX + 16 * j, column, sums, between, at);
    }
}
