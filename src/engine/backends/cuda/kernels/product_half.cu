// Products of halves whose time is that of the way to memory and back, with what follows them done to the sums before they leave. A block
// has a tile of ROWS x COLUMNS of the result; its warps, DOWN x ACROSS of them, have a part each, as sums in registers. Rows of both
// operands come to shared memory in stages of INNER, STAGES - 1 of them on their way at once: all there are, where they fit.
//
// Compiled with these; TRANSPOSED, whether b is n x k; and the ACTIVATION of an epilogue, numbered as in common.cuh. INNER divides k; m is
// any number, n a multiple of 8: what a tile has beyond them is neither read nor written.
//
// Lane 4 g + t. Rows in shared memory are an odd number of 16 bytes: eight of them meet in no bank.
#include "common.cuh"

#define WARPS (DOWN * ACROSS)
#define THREADS (32 * WARPS)
#define TALL (ROWS / DOWN)
#define WIDE (COLUMNS / ACROSS)
#define PADDED(halves) ((halves) + 8)
typedef unsigned short Half;

constexpr int sizeA = ROWS * PADDED(INNER), sizeB = TRANSPOSED ? COLUMNS * PADDED(INNER) : INNER * PADDED(COLUMNS);

// Where a thread stands: the tile's first row and column, the warp's within it.
struct Place {
    int row, column, top, left, warp, lane, g, t;
};

__device__ __forceinline__ Place placeOfThread()
{
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    int top = warp / ACROSS * TALL, left = warp % ACROSS * WIDE;
    return {(int)blockIdx.y * ROWS, (int)blockIdx.x * COLUMNS, top, left, warp, lane, lane >> 2, lane & 3};
}

__device__ __forceinline__ int columnsOf(const Matrix& b) { return TRANSPOSED ? b.rows : b.cols; }

// Start to bring COUNT rows of LENGTH halves, by STEP threads of which this is the given one; `from` tells where the halves of a row from a
// column on are, or null.
template <int COUNT, int LENGTH, int STEP, class From>
__device__ __forceinline__ void bring(Half* to, int thread, From from)
{
    constexpr int pieces = LENGTH / 8;
#pragma unroll
    for (int k = 0; k < COUNT * pieces; k += STEP) {
        int i = k + thread, r = i / pieces, c = 8 * (i % pieces);
        const Half* piece = k + STEP <= COUNT * pieces || i < COUNT * pieces ? from(r, c) : nullptr;
        if (piece) copyLater(to + r * PADDED(LENGTH) + c, piece);
    }
}

// Rows [k, k + INNER) of what is contracted over.
__device__ __forceinline__ void bringStage(Half* to, const Matrix& a, const Matrix& b, int k, const Place& at)
{
    bring<ROWS, INNER, THREADS>(to, threadIdx.x, [&](int r, int c) {
        return at.row + r < a.rows ? halfRow(a, at.row + r) + k + c : nullptr;
    });
    if constexpr (TRANSPOSED)
        bring<COLUMNS, INNER, THREADS>(to + sizeA, threadIdx.x, [&](int r, int c) {
            return at.column + r < columnsOf(b) ? halfRow(b, at.column + r) + k + c : nullptr;
        });
    else
        bring<INNER, COLUMNS, THREADS>(to + sizeA, threadIdx.x, [&](int r, int c) {
            return at.column + c < columnsOf(b) ? halfRow(b, k + r) + at.column + c : nullptr;
        });
}

// Sums of a warp's part, in tiles of 16 x 8.
typedef float Sums[TALL / 16][WIDE / 8][4];

__device__ __forceinline__ void addStage(Sums& sums, const Half* a, const Place& at)
{
    const Half* b = a + sizeA;
#pragma unroll
    for (int k = 0; k < INNER; k += 16) {
        unsigned left[TALL / 16][4], right[WIDE / 16][4];
#pragma unroll
        for (int i = 0; i < TALL / 16; i++)
            loadMatrices(left[i], a + (at.top + 16 * i + (at.lane & 15)) * PADDED(INNER) + k + 8 * (at.lane >> 4));
#pragma unroll
        for (int j = 0; j < WIDE / 16; j++)
            if constexpr (TRANSPOSED)
                loadMatrices(right[j], b + (at.left + 16 * j + (at.lane & 7) + 8 * (at.lane >> 4)) * PADDED(INNER) + k + (at.lane & 8));
            else
                loadMatricesAcross(right[j], b + (k + (at.lane & 15)) * PADDED(COLUMNS) + at.left + 16 * j + 8 * (at.lane >> 4));
#pragma unroll
        for (int j = 0; j < WIDE / 8; j++) {
            const unsigned pair[2] = {right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]};
#pragma unroll
            for (int i = 0; i < TALL / 16; i++) multiplyHalves(sums[i][j], left[i], pair);
        }
    }
}

// sums += the tile's product; `beside` begins the copies of what is wanted after it.
template <class Beside>
__device__ __forceinline__ void addProduct(Sums& sums, const Matrix& a, const Matrix& b, Half* stages, const Place& at, Beside beside)
{
    const int steps = a.cols / INNER;
    const auto begin = [&](int step) {
        if (step < steps) bringStage(stages + step % STAGES * (sizeA + sizeB), a, b, step * INNER, at);
        commitCopies();
    };
#pragma unroll
    for (int step = 0; step < STAGES - 1; step++) begin(step);
    beside();
    for (int step = 0; step < steps; step++) {
        waitForCopies<STAGES - 2>();
        // From here on nobody reads the stage before this one, whose place the next takes.
        __syncthreads();
        begin(step + STAGES - 1);
        addStage(sums, stages + step % STAGES * (sizeA + sizeB), at);
    }
    waitForCopies<0>();
}

// What is done to the two neighbours at (r, c) of a warp's part.
template <class Do>
__device__ __forceinline__ void each2(Sums& sums, const Place& at, Do what)
{
#pragma unroll
    for (int i = 0; i < TALL / 16; i++)
#pragma unroll
        for (int j = 0; j < WIDE / 8; j++)
#pragma unroll
            for (int h = 0; h < 2; h++) what(16 * i + at.g + 8 * h, 8 * j + 2 * at.t, sums[i][j][2 * h], sums[i][j][2 * h + 1]);
}

// A warp's part to where it belongs, if that is anywhere. Halves go by way of `between`, to be stored 16 bytes at a time.
__device__ __forceinline__ void leave(const Matrix& to, Sums& sums, Half* between, const Place& at)
{
    if (!to.data) return;
    const int row = at.row + at.top, column = at.column + at.left;
    if (!to.half) {
        each2(sums, at, [&](int r, int c, float x, float y) {
            if (row + r < to.rows && column + c < to.cols) *(float2*)(to.row(row + r) + column + c) = make_float2(x, y);
        });
        return;
    }
    __syncwarp();
    each2(sums, at, [&](int r, int c, float x, float y) { *(unsigned*)(between + r * PADDED(WIDE) + c) = halfPair(x, y); });
    __syncwarp();
#pragma unroll
    for (int i = at.lane; i < TALL * WIDE / 8; i += 32) {
        int r = i / (WIDE / 8), c = 8 * (i % (WIDE / 8));
        if (row + r < to.rows && column + c < to.cols)
            *(uint4*)(halfRow(to, row + r) + column + c) = *(const uint4*)(between + r * PADDED(WIDE) + c);
    }
}

// z = a b + bias; y = activation(z), with a factor (halves) that or z times its slope there. y in fp32 and in halves, z in either; any may
// be absent. Shared: for each warp its part of the factor, and then of results in halves; the stages.
extern "C" __global__ void __launch_bounds__(THREADS) productHalf(Matrix a, Matrix b, const float* bias, Matrix factor, Matrix y, Matrix half,
    Matrix z)
{
    waitForLaunchesBefore();
    DYNAMIC_SHARED(Half, shared);
    const Place at = placeOfThread();
    Half *between = shared + at.warp * TALL * PADDED(WIDE), *stages = shared + WARPS * TALL * PADDED(WIDE);
    const int row = at.row + at.top, column = at.column + at.left;
    Sums sums = {};
    addProduct(sums, a, b, stages, at, [&] {
        if (factor.data)
            bring<TALL, WIDE, 32>(between, at.lane, [&](int r, int c) {
                return row + r < factor.rows && column + c < factor.cols ? halfRow(factor, row + r) + column + c : nullptr;
            });
    });
    if (bias)
        each2(sums, at, [&](int, int c, float& x, float& y) {
            if (column + c < columnsOf(b)) x += bias[column + c], y += bias[column + c + 1];
        });
    leave(z, sums, between, at);
    __syncwarp();
    each2(sums, at, [&](int r, int c, float& x, float& y) {
        float2 by = make_float2(0, 0);
        if (factor.data) by = numbersOf(*(const unsigned*)(between + r * PADDED(WIDE) + c));
        x = activated(ACTIVATION, x, by.x), y = activated(ACTIVATION, y, by.y);
    });
    leave(y, sums, between, at);
    leave(half, sums, between, at);
}
