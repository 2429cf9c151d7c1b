// Causal attention of long windows without prefix and its gradient, operands in halves, sums and the softmax in fp32. A block's warps
// have 16 rows of queries each and go over the keys, or 16 keys each and go over the queries; what they go over comes into shared memory
// 64 rows at a time, the next 64 on their way meanwhile. Four warps, which multiply together, have the 64 rows of one tile, so that only
// on the diagonal have they to look which keys a query sees. The forward pass leaves the logarithm of every softmax's denominator and the
// result in halves for the gradient. Compiled with HEAD, the columns of a head, a multiple of 32, and DROPOUT, whether there is any.
//
// Lane 4 g + t has rows g and g + 8 of its warp's, and of eight columns 2 t and 2 t + 1.
#include "tiles.cuh"

#define ROWS 128                       // of queries of a block
#define KEYS (HEAD <= 64 ? 192 : 128)  // of a block
#define BLOCKS (HEAD <= 64 ? 2 : 1)    // of a multiprocessor
#define PATIENCE 8                     // by what power of two a row's exponentials may exceed one
#define LOG2E 1.4426950408889634f

// One head of one window of n rows; the rows of this thread's four warps begin at `tile`, those of its warp at `top`.
struct Head {
    int unit, n, row, first, group, tile, top, g, t;
    __device__ const Half* at(const Matrix& x, int i) const { return halfRow(x, row + min(i, n - 1)) + first; }
    // Of element e of a result of 16 x 8: its row, and its column where the eight are `i` of those from `base`.
    __device__ int rowOf(int e) const { return top + g + 8 * (e >> 1); }
    __device__ int columnOf(int base, int i, int e) const { return base + 8 * i + 2 * t + (e & 1); }
    // Of one of its tiles of a matrix's rows.
    __device__ Half* ours(Half* tiles) const { return tiles + group * TILE; }
};

__device__ __forceinline__ Head headOf(const Matrix& q, int windows, int heads, int begin)
{
    int unit = blockIdx.x, window = unit / heads, n = q.rows / windows, lane = threadIdx.x & 31;
    int group = __shfl_sync(FULL_WARP, (int)threadIdx.x >> 7, 0);  // the compiler is to know that a warp agrees on it
    int tile = begin + group * STAGE;
    return {unit, n, window * n, (unit - window * heads) * HEAD, group, tile, tile + ((int)threadIdx.x >> 1 & 48), lane >> 2, lane & 3};
}

struct Mask {
    const JobState* job;
    unsigned id, sequence, row, heads, columns, threshold;
    float scale;
    __device__ float of(int i, int j) const
    {
        return dropoutWord(job, id, sequence, row + min(i, (int)columns - 1) * heads, min(j, (int)columns - 1), columns) >= threshold ? scale : 0;
    }
};

__device__ __forceinline__ Mask maskOf(const Head& at, int heads, float p, int id, int sequences, const JobState* job, int first)
{
    unsigned window = at.unit / heads, head = at.unit % heads;
    return {job, (unsigned)id, first + window % sequences, window / sequences * at.n * heads + head, (unsigned)heads, (unsigned)at.n,
        dropoutThreshold(p), dropoutScale(p)};
}

// Start to bring OF rows from row `base` into tiles, by a block that has BLOCK rows of its own; those beyond the last are the last.
template <int BLOCK, int OF>
__device__ __forceinline__ void bring(Half* tiles, const Matrix& x, int base, const Head& at)
{
#pragma unroll
    for (int i = 0; i < OF * HEAD / 8; i += 2 * BLOCK) {
        int eight = i + threadIdx.x, r = eight / (HEAD / 8), c = 8 * (eight - r * (HEAD / 8));
        if (OF * HEAD / 8 % (2 * BLOCK) == 0 || r < OF) copyLater(placeIn(tiles + r / STAGE * TILE, r % STAGE, c), at.at(x, base + r) + c);
    }
}

// Shared memory: the tiles of a block's own rows of two matrices, OWN rows; tiles of two others, which go through together from a tile's
// first row up to `end`, in two buffers that take turns; words of the rows that go through.
template <int OWN>
struct Stages {
    const Matrix &left, &right;
    int end;
    Half *own, *now, *next;
    __device__ __forceinline__ Stages(Half* shared, const Matrix& left, const Matrix& right, int end) : left(left), right(right), end(end)
    {
        own = shared + ((-(unsigned long long)shared & 1023) >> 1);
        now = own + 2 * OWN * HEAD, next = now + 2 * TILE;
    }
    __device__ __forceinline__ Half* worth() const { return own + OWN * HEAD; }
    __device__ __forceinline__ float* words() const { return (float*)(own + 2 * OWN * HEAD + 4 * TILE); }
    __device__ __forceinline__ void start(int base, const Head& at) const
    {
        if (base < end) {
            bring<OWN, STAGE>(next, left, base, at);
            bring<OWN, STAGE>(next + TILE, right, base, at);
        }
        commitCopies();
    }
    // Rows from `base` are here, and all that was started before them; those after them are on their way, to where those before were:
    // behind the barrier all products with them have ended.
    __device__ __forceinline__ void turn(int base, const Head& at)
    {
        Half* free = now;
        now = next, next = free;
        waitForCopies<0>();
        showTiles();
        __syncthreads();
        start(base + STAGE, at);
    }
};

// s = the block's own rows times those of the left matrix that are here, and on its way d = the others times those of the right.
template <int OWN>
__device__ __forceinline__ void startBoth(float (&s)[8][4], float (&d)[8][4], const Stages<OWN>& stages, const Head& at)
{
    beginProducts();
    timesRows(s, at.ours(stages.own), stages.now);
    commitProducts();
    timesRows(d, at.ours(stages.worth()), stages.now + TILE);
    commitProducts();
    waitForProducts<1>();
    arrived(s);
}

// Sums times a factor for either row, to any of three matrices, of which the last two are halves, from column `column` of the head on.
// Halves go through a tile that no thread reads any more, to leave it as whole rows.
__device__ __forceinline__ void store(
    const Matrix& y, const Matrix& copy, const Matrix& kept, const Sums& sums, int column, float low, float high, const Head& at, Half* tile)
{
    const int top = at.top - at.tile, lane = threadIdx.x & 31;
#pragma unroll
    for (int e = 0; e < 4; e += 2) {
        const int i = at.rowOf(e);
#pragma unroll
        for (int k = 0; k < HEAD / 8; k++) {
            const float* pair = sums.panel[8 * k / PANEL][k % (PANEL / 8)] + e;
            float2 values = make_float2(pair[0] * (e ? high : low), pair[1] * (e ? high : low));
            if (y.data && i < at.n) *(float2*)(y.row(at.row + i) + at.first + at.columnOf(column, k, 0)) = values;
            *(unsigned*)(placeIn(tile, i - at.tile, 8 * k) + 2 * at.t) = halfPair(values.x, values.y);
        }
    }
    __syncwarp();
#pragma unroll
    for (int k = 0; k < HEAD / 16; k++) {
        const int eight = 32 * k + lane, r = eight / (HEAD / 8), c = 8 * (eight - r * (HEAD / 8)), i = at.top + r;
        if (i >= at.n) continue;
        const uint4 halves = *(const uint4*)placeIn(tile, top + r, c);
        if (copy.data) *(uint4*)(halfRow(copy, at.row + i) + at.first + column + c) = halves;
        if (kept.data) *(uint4*)(halfRow(kept, at.row + i) + at.first + column + c) = halves;
    }
}

// q, keys and values, and `kept`, the result kept for the gradient, are halves; o or its copy may be absent. log: a word for each row of
// each head.
extern "C" __global__ void __launch_bounds__(2 * ROWS, BLOCKS) attentionLong(Matrix q, Matrix keys, Matrix values, Matrix o, Matrix copy,
    Matrix kept, float* log, int windows, int heads, float p, int id, int sequences, const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    // The last rows, which see the most keys, first.
    const int begin = (gridDim.y - 1 - blockIdx.y) * ROWS;
    const Head at = headOf(q, windows, heads, begin);
    const Mask mask = maskOf(at, heads, p, id, sequences, job, firstSequence);
    DYNAMIC_SHARED(Half, shared);
    Stages<ROWS> stages(shared, keys, values, min(begin + ROWS, at.n));
    bring<ROWS, ROWS>(stages.own, q, begin, at);
    stages.start(0, at);
    const float scale = LOG2E * rsqrtf((float)HEAD);
    float most[2] = {-INFINITE, -INFINITE}, total[2] = {0, 0};
    Sums sums = {};
    for (int base = 0; base < stages.end; base += STAGE) {
        stages.turn(base, at);
        if (base > at.tile || at.tile >= at.n) continue;
        float s[8][4];
        beginProducts();
        timesRows(s, at.ours(stages.own), stages.now);
        commitProducts();
        waitForProducts<0>();
        arrived(s);
        if (base == at.tile)
#pragma unroll
            for (int i = 0; i < 32; i++)
                if (at.columnOf(base, i >> 2, i & 3) > at.rowOf(i & 3)) s[i >> 2][i & 3] = -INFINITE;
        float factor[2];
        bool higher = false;
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float now = -INFINITE;
#pragma unroll
            for (int i = 0; i < 8; i++) now = fmaxf(now, fmaxf(s[i][2 * h], s[i][2 * h + 1]));
            now = quadMax(now) * scale;
            // What is left of a smaller maximum cancels in the end.
            now = now > most[h] + PATIENCE ? now : most[h];
            factor[h] = fastExp2(most[h] - now);
            higher |= now > most[h];
            most[h] = now;
            float sum = 0;
#pragma unroll
            for (int i = 0; i < 16; i++) {
                float& x = s[i >> 1][2 * h + (i & 1)];
                x = fastExp2(x * scale - now);
                sum += x;
            }
            total[h] = total[h] * factor[h] + sum;
        }
        if (__any_sync(FULL_WARP, higher))
#pragma unroll
            for (int i = 0; i < HEAD / 2; i++) sums.panel[2 * i / PANEL][i / 4 % (PANEL / 8)][i & 3] *= factor[i >> 1 & 1];
        if (DROPOUT)
#pragma unroll
            for (int i = 0; i < 32; i++) s[i >> 2][i & 3] *= mask.of(at.rowOf(i & 3), at.columnOf(base, i >> 2, i & 3));
        unsigned w[4][4];
#pragma unroll
        for (int k = 0; k < 4; k++) pack(w[k], s[2 * k], s[2 * k + 1]);
        beginProducts();
        sums.add(w, stages.now + TILE);
        commitProducts();
        waitForProducts<0>();
        sums.arrived();
    }
    __syncthreads();
    const float low = quadSum(total[0]), high = quadSum(total[1]);
    store(o, copy, kept, sums, 0, 1 / low, 1 / high, at, at.ours(stages.own));
    if (log && at.t == 0)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            int i = at.rowOf(2 * h);
            if (i < at.n) log[(long long)at.unit * at.n + i] = most[h] + log2f(h ? high : low);
        }
}

// Half a row of each of the warp's 16, of which lane 2 r has the first and lane 2 r + 1 the second half.
struct HalfRow {
    uint4 eights[HEAD / 16];
    __device__ __forceinline__ void load(const Matrix& x, const Head& at)
    {
        const int lane = threadIdx.x & 31;
        const uint4* row = (const uint4*)at.at(x, at.top + (lane >> 1)) + (lane & 1) * (HEAD / 16);
#pragma unroll
        for (int k = 0; k < HEAD / 16; k++) eights[k] = row[k];
    }
    // The row times that of a tile, known to both lanes.
    __device__ __forceinline__ float times(Half* tile, const Head& at) const
    {
        const int lane = threadIdx.x & 31;
        float sum = 0;
        auto add = [&](unsigned x, unsigned y) {
            float2 a = numbersOf(x), b = numbersOf(y);
            sum += a.x * b.x + a.y * b.y;
        };
#pragma unroll
        for (int k = 0; k < HEAD / 16; k++) {
            const uint4 x = eights[k], y = *(const uint4*)placeIn(tile, at.top - at.tile + (lane >> 1), 8 * ((lane & 1) * (HEAD / 16) + k));
            add(x.x, y.x), add(x.y, y.y), add(x.z, y.z), add(x.w, y.w);
        }
        return sum + __shfl_xor_sync(FULL_WARP, sum, 1);
    }
};

// dq, and for attentionLongKeys mean[unit n + i] = sum over the head's columns of do times o. Blocks as of attentionLong.
extern "C" __global__ void __launch_bounds__(2 * ROWS, BLOCKS) attentionLongQueries(Matrix q, Matrix keys, Matrix values, Matrix dout, Matrix kept,
    Matrix dq, Matrix copy, const float* log, float* mean, int windows, int heads, float p, int id, int sequences, const JobState* job,
    int firstSequence)
{
    waitForLaunchesBefore();
    const int begin = (gridDim.y - 1 - blockIdx.y) * ROWS;
    const Head at = headOf(q, windows, heads, begin);
    const Mask mask = maskOf(at, heads, p, id, sequences, job, firstSequence);
    DYNAMIC_SHARED(Half, shared);
    Stages<ROWS> stages(shared, keys, values, min(begin + ROWS, at.n));
    bring<ROWS, ROWS>(stages.own, q, begin, at);
    bring<ROWS, ROWS>(stages.worth(), dout, begin, at);
    stages.start(0, at);
    HalfRow results;
    results.load(kept, at);
    waitForCopies<0>();
    __syncthreads();
    const float all = results.times(at.ours(stages.worth()), at);
    const int lane = threadIdx.x & 31, mine = at.top + (lane >> 1);
    const long long place = (long long)at.unit * at.n;
    if (!(lane & 1) && mine < at.n) mean[place + mine] = all;
    float means[2], logs[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        means[h] = __shfl_sync(FULL_WARP, all, 2 * (at.g + 8 * h));
        logs[h] = log[place + min(at.rowOf(2 * h), at.n - 1)];
    }
    const float plain = rsqrtf((float)HEAD), scale = LOG2E * plain;
    Sums sums = {};
    for (int base = 0; base < stages.end; base += STAGE) {
        stages.turn(base, at);
        if (base > at.tile || at.tile >= at.n) continue;
        float s[8][4], d[8][4];
        startBoth(s, d, stages, at);
#pragma unroll
        for (int i = 0; i < 32; i++) {
            float& x = s[i >> 2][i & 3];
            x = fastExp2(x * scale - logs[i >> 1 & 1]);
        }
        if (base == at.tile)
#pragma unroll
            for (int i = 0; i < 32; i++)
                if (at.columnOf(base, i >> 2, i & 3) > at.rowOf(i & 3)) s[i >> 2][i & 3] = 0;
        waitForProducts<0>();
        arrived(d);
        if (DROPOUT)
#pragma unroll
            for (int i = 0; i < 32; i++) d[i >> 2][i & 3] *= mask.of(at.rowOf(i & 3), at.columnOf(base, i >> 2, i & 3));
#pragma unroll
        for (int i = 0; i < 32; i++) s[i >> 2][i & 3] *= d[i >> 2][i & 3] - means[i >> 1 & 1];
        unsigned w[4][4];
#pragma unroll
        for (int k = 0; k < 4; k++) pack(w[k], s[2 * k], s[2 * k + 1]);
        beginProducts();
        sums.add(w, stages.now);
        commitProducts();
        waitForProducts<0>();
        sums.arrived();
    }
    __syncthreads();
    store(dq, copy, {}, sums, 0, plain, plain, at, at.ours(stages.own));
}

// dk and dv, side by side in dkv: a warp has 16 keys, the first keys, which the most queries see, first. Words of the rows that go through:
// in two turns, of 64 rows the logarithms, then the means.
extern "C" __global__ void __launch_bounds__(2 * KEYS, 1) attentionLongKeys(Matrix q, Matrix keys, Matrix values, Matrix dout, Matrix dkv, Matrix copy,
    const float* log, const float* mean, int windows, int heads, float p, int id, int sequences, const JobState* job, int firstSequence)
{
    waitForLaunchesBefore();
    const int begin = blockIdx.y * KEYS;
    const Head at = headOf(q, windows, heads, begin);
    const Mask mask = maskOf(at, heads, p, id, sequences, job, firstSequence);
    DYNAMIC_SHARED(Half, shared);
    Stages<KEYS> stages(shared, q, dout, at.n);
    bring<KEYS, KEYS>(stages.own, keys, begin, at);
    bring<KEYS, KEYS>(stages.worth(), values, begin, at);
    stages.start(begin, at);
    // A row that is none has weight zero by its logarithm.
    const int mine = threadIdx.x & (STAGE - 1);
    const bool isMean = threadIdx.x & STAGE;
    const float* words = (isMean ? mean : log) + (long long)at.unit * at.n;
    auto wordOf = [&](int base) { return base + mine < at.n ? words[base + mine] : isMean ? 0 : INFINITE; };
    float word = wordOf(begin);
    const float plain = rsqrtf((float)HEAD), scale = LOG2E * plain;
    Sums dk = {}, dv = {};
    for (int base = begin; base < at.n; base += STAGE) {
        float* rows = stages.words() + (base / STAGE & 1) * 2 * STAGE;
        if (threadIdx.x < 2 * STAGE) rows[threadIdx.x] = word;
        stages.turn(base, at);
        word = wordOf(base + STAGE);
        if (base < at.tile || at.tile >= at.n) continue;
        float s[8][4], d[8][4];
        startBoth(s, d, stages, at);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const float2 logs = *(const float2*)(rows + 8 * i + 2 * at.t);
#pragma unroll
            for (int e = 0; e < 4; e++) s[i][e] = fastExp2(s[i][e] * scale - (e & 1 ? logs.y : logs.x));
        }
        if (base == at.tile)
#pragma unroll
            for (int i = 0; i < 32; i++)
                if (at.columnOf(base, i >> 2, i & 3) < at.rowOf(i & 3)) s[i >> 2][i & 3] = 0;
        waitForProducts<0>();
        arrived(d);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const float2 means = *(const float2*)(rows + STAGE + 8 * i + 2 * at.t);
#pragma unroll
            for (int e = 0; e < 4; e++) {
                float keep = DROPOUT ? mask.of(at.columnOf(base, i, e), at.rowOf(e)) : 1;
                d[i][e] = s[i][e] * (d[i][e] * keep - (e & 1 ? means.y : means.x));
                s[i][e] *= keep;
            }
        }
        unsigned weights[4][4], slopes[4][4];
#pragma unroll
        for (int k = 0; k < 4; k++) pack(weights[k], s[2 * k], s[2 * k + 1]), pack(slopes[k], d[2 * k], d[2 * k + 1]);
        beginProducts();
        dv.add(weights, stages.now + TILE);
        dk.add(slopes, stages.now);
        commitProducts();
        waitForProducts<0>();
        dk.arrived();
        dv.arrived();
    }
    __syncthreads();
    store(dkv, copy, {}, dk, 0, plain, plain, at, at.ours(stages.own));
    store(dkv, copy, {}, dv, q.cols, 1, 1, at, at.ours(stages.worth()));
}
