// Tiles of 64 rows by HEAD halves in shared memory, and products with them: four warps together on compute capability 9 (`wgmma`), each
// warp for itself elsewhere, with the same lanes holding the same numbers. Four warps in a row, of which the first is a multiple of four,
// have 16 rows each of a result of 64 and call these functions together.
//
// A tile is HEAD / PANEL panels of 64 rows of PANEL columns; of a row's eights of columns, eight c is where c ^ turn(row) would be, so that
// neither eight rows of one eight of columns nor eight eights of one row meet in a bank. That is the layout wgmma calls swizzled by the
// bytes of a panel's row, 128 or 64, and it asks that a tile begin at a multiple of 1024 bytes.
#pragma once
#include "common.cuh"

#define STAGE 64
#define PANEL (HEAD % 64 == 0 ? 64 : 32)
#define PANELS (HEAD / PANEL)
#define STEPS (HEAD / 16)  // of a contraction over columns
#define TILE (STAGE * HEAD)
typedef unsigned short Half;

#if !defined(EMULATED) && defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define TOGETHER 1
#endif

// Column c, a multiple of 8, of row r.
__device__ __forceinline__ Half* placeIn(Half* tile, int r, int c)
{
    int turn = PANEL == 64 ? r & 7 : r >> 1 & 3;
    return tile + c / PANEL * (STAGE * PANEL) + r * PANEL + ((c % PANEL / 8 ^ turn) << 3);
}

#if TOGETHER
// What the tensor cores are told of a tile: where it begins, how far eight rows are from the next eight, how it is swizzled.
__device__ __forceinline__ unsigned long long descriptorOf(const Half* tile)
{
    unsigned address = (unsigned)__cvta_generic_to_shared(tile);
    return (unsigned long long)(PANEL == 64 ? 1 : 2) << 62 | (unsigned long long)(8 * PANEL * 2 >> 4) << 32 | 1 << 16 | address >> 4 & 0x3fff;
}

#define FOUR(d, i) "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
#define EIGHT(d) FOUR(d, 0), FOUR(d, 1), FOUR(d, 2), FOUR(d, 3), FOUR(d, 4), FOUR(d, 5), FOUR(d, 6), FOUR(d, 7)
#define NUMBERS16 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define NUMBERS32 NUMBERS16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define PRODUCT(columns) "wgmma.mma_async.sync.aligned.m64n" columns "k16.f32." HALF_TYPE "." HALF_TYPE " "

// d (64 x 64) = (`more`: +=) the 64 x 16 that `a` describes times the transpose of the 64 x 16 that `b` describes.
__device__ __forceinline__ void multiplyTogether(float (&d)[8][4], unsigned long long a, unsigned long long b, bool more)
{
    asm volatile("{.reg .pred more; setp.ne.b32 more, %34, 0;" PRODUCT("64") NUMBERS32 "}, %32, %33, more, 1, 1, 0, 0;}"
        : EIGHT(d) : "l"(a), "l"(b), "r"((int)more));
}

// d (64 x 32, 64 x 64) += a (64 x 16, a warp's 16 rows as multiplyHalves has them) times the 16 rows that `b` describes.
__device__ __forceinline__ void addTogether(float (&d)[4][4], const unsigned (&a)[4], unsigned long long b)
{
    asm volatile(PRODUCT("32") NUMBERS16 "}, {%16, %17, %18, %19}, %20, 1, 1, 1, 1;"
        : FOUR(d, 0), FOUR(d, 1), FOUR(d, 2), FOUR(d, 3) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

__device__ __forceinline__ void addTogether(float (&d)[8][4], const unsigned (&a)[4], unsigned long long b)
{
    asm volatile(PRODUCT("64") NUMBERS32 "}, {%32, %33, %34, %35}, %36, 1, 1, 1, 1;"
        : EIGHT(d) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}
#endif

// Before products whose operands this thread has just written to registers.
__device__ __forceinline__ void beginProducts()
{
#if TOGETHER
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

// Ends a group of products, which go on by themselves. Their operands and results are not to be touched until `waitForProducts`.
__device__ __forceinline__ void commitProducts()
{
#if TOGETHER
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

// Waits for all groups but the last `groups`.
template <int groups>
__device__ __forceinline__ void waitForProducts()
{
#if TOGETHER
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(groups) : "memory");
#endif
}

// Keeps the compiler from reading a result before it has been waited for.
template <int N>
__device__ __forceinline__ void arrived(float (&d)[N][4])
{
#if TOGETHER
#pragma unroll
    for (int i = 0; i < N; i++) asm volatile("" : FOUR(d, i)::"memory");
#endif
}

// Copies that have been waited for become visible to the tensor cores; a barrier must follow.
__device__ __forceinline__ void showTiles()
{
#if TOGETHER
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// s (a warp's 16 x 64) = rows of one tile times rows of another.
__device__ __forceinline__ void timesRows(float (&s)[8][4], Half* ours, Half* others)
{
#if TOGETHER
    const unsigned long long a = descriptorOf(ours), b = descriptorOf(others);
#pragma unroll
    for (int k = 0; k < STEPS; k++) {
        int step = (16 * k / PANEL * (STAGE * PANEL) + 16 * k % PANEL) / 8;
        multiplyTogether(s, a + step, b + step, k > 0);
    }
#else
    int lane = threadIdx.x & 31, row = threadIdx.x >> 1 & 48;
#pragma unroll
    for (int i = 0; i < 32; i++) s[i >> 2][i & 3] = 0;
#pragma unroll
    for (int k = 0; k < STEPS; k++) {
        unsigned a[4];
        loadMatrices(a, placeIn(ours, row + (lane & 15), 16 * k + 8 * (lane >> 4)));
#pragma unroll
        for (int i = 0; i < 8; i += 2) {
            unsigned four[4];
            loadMatrices(four, placeIn(others, 8 * (i + (lane >> 4)) + (lane & 7), 16 * k + (lane & 8)));
            const unsigned left[2] = {four[0], four[1]}, right[2] = {four[2], four[3]};
            multiplyHalves(s[i], a, left);
            multiplyHalves(s[i + 1], a, right);
        }
    }
#endif
}

// A sum of products of 16 rows of a warp with tiles: HEAD columns.
struct Sums {
    float panel[PANELS][PANEL / 8][4];
    // += w (16 x 64 of a warp) times a tile.
    __device__ __forceinline__ void add(const unsigned (&w)[4][4], Half* tile)
    {
#if TOGETHER
        const unsigned long long all = descriptorOf(tile);
#pragma unroll
        for (int k = 0; k < 4; k++)
#pragma unroll
            for (int i = 0; i < PANELS; i++) addTogether(panel[i], w[k], all + (i * STAGE + 16 * k) * PANEL / 8);
#else
        int lane = threadIdx.x & 31;
#pragma unroll
        for (int k = 0; k < 4; k++)
#pragma unroll
            for (int i = 0; i < HEAD / 8; i += 2) {
                unsigned four[4];
                loadMatricesAcross(four, placeIn(tile, 16 * k + (lane & 15), 8 * i + 8 * (lane >> 4)));
                const unsigned left[2] = {four[0], four[1]}, right[2] = {four[2], four[3]};
                multiplyHalves(panel[8 * i / PANEL][i % (PANEL / 8)], w[k], left);
                multiplyHalves(panel[8 * i / PANEL][i % (PANEL / 8) + 1], w[k], right);
            }
#endif
    }
    __device__ __forceinline__ void arrived()
    {
#pragma unroll
        for (int i = 0; i < PANELS; i++) ::arrived(panel[i]);
    }
};

// Two results of 16 x 8 side by side, as the first factor of the next product.
__device__ __forceinline__ void pack(unsigned (&to)[4], const float (&left)[4], const float (&right)[4])
{
    to[0] = halfPair(left[0], left[1]);
    to[1] = halfPair(left[2], left[3]);
    to[2] = halfPair(right[0], right[1]);
    to[3] = halfPair(right[2], right[3]);
}
