// CUDA C on a processor: every thread of a block is a fiber, run in turn until it comes to a barrier. Slow and exact about one thing,
// which values meet: memory is real, shared memory starts as NaN, a barrier that not all threads reach is an error.
#pragma once
#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <ucontext.h>
#include <vector>

#define EMULATED 1
#define __device__
#define __global__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)
#define __restrict__

using std::isfinite;
using std::isnan;
using std::max;
using std::min;

struct uint2 { unsigned x, y; };
struct int2 { int x, y; };
struct uint4 { unsigned x, y, z, w; };
struct float4 { float x, y, z, w; };
struct float2 { float x, y; };
struct uint3 { unsigned x, y, z; };
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }

template <class To, class From>
inline To bitsAs(From from)
{
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
inline unsigned __float_as_uint(float x) { return bitsAs<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return bitsAs<float>(x); }
inline float __int_as_float(int x) { return bitsAs<float>(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((uint64_t)a * b) >> 32); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(unsigned x) { return __builtin_ffs((int)x); }

static uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {

enum Waiting { NOTHING, FOR_WARP, FOR_BLOCK, DONE };

// A context begins a fiber; from then on it is left and entered by jumps, which ask nothing of the system.
struct Fiber {
    ucontext_t context;
    jmp_buf place;
    bool begun;
    std::vector<char> stack;
    uint3 index;
    Waiting waiting;
};

static std::vector<Fiber*> fibers;
static jmp_buf scheduler;
static int current, threads;
static void (*body)();
// What lanes show to each other: 8 words each.
static unsigned shown[1024][8];
static float dynamicShared[(227 << 10) / 4];
// Copies begun and not waited for, by thread and group. Each library has its own (a static of an inline function would be one for all that
// are loaded), and each block begins with none.
static std::vector<std::pair<void*, const void*>> copies[1024][8];

static void start()
{
    body();
    fibers[current]->waiting = DONE;
    _longjmp(scheduler, 1);
}

inline void wait(Waiting what)
{
    Fiber* fiber = fibers[current];
    fiber->waiting = what;
    if (!_setjmp(fiber->place)) _longjmp(scheduler, 1);
}

static void enter(Fiber* fiber)
{
    if (_setjmp(scheduler)) return;
    if (fiber->begun) _longjmp(fiber->place, 1);
    fiber->begun = true;
    setcontext(&fiber->context);
}

// Can all of threads [begin, end) that still live go on from a barrier of this kind?
static bool arrived(int begin, int end, Waiting what)
{
    bool any = false;
    for (int i = begin; i < end; i++) {
        if (fibers[i]->waiting != what && fibers[i]->waiting != DONE) return false;
        any |= fibers[i]->waiting == what;
    }
    return any;
}

static void release(int begin, int end)
{
    for (int i = begin; i < end; i++)
        if (fibers[i]->waiting != DONE) fibers[i]->waiting = NOTHING;
}

static void runBlock()
{
    while ((int)fibers.size() < threads) {
        fibers.push_back(new Fiber);
        fibers.back()->stack.resize(128 << 10);
    }
    for (int i = 0; i < threads; i++) {
        Fiber& fiber = *fibers[i];
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = fiber.stack.size();
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, start, 0);
        fiber.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
        fiber.waiting = NOTHING;
        fiber.begun = false;
        for (auto& group : copies[i]) group.clear();
    }
    for (;;) {
        bool ran = false, done = true;
        for (int i = 0; i < threads; i++) {
            if (fibers[i]->waiting == NOTHING) {
                current = i;
                threadIdx = fibers[i]->index;
                enter(fibers[i]);
                ran = true;
            }
            done &= fibers[i]->waiting == DONE;
        }
        if (done) return;
        for (int w = 0; w < threads; w += 32) {
            int end = min(w + 32, threads);
            if (arrived(w, end, FOR_WARP)) release(w, end), ran = true;
        }
        if (arrived(0, threads, FOR_BLOCK)) release(0, threads), ran = true;
        if (!ran) {
            fprintf(stderr, "emulator: threads wait for one another forever\n");
            abort();
        }
    }
}

// Words that every lane of the warp shows; read with `of`, then `seen` before the next.
template <int N>
inline void show(const unsigned (&words)[N])
{
    for (int i = 0; i < N; i++) shown[current][i] = words[i];
    wait(FOR_WARP);
}
inline unsigned of(int lane, int word) { return shown[current / 32 * 32 + lane][word]; }
inline void seen() { wait(FOR_WARP); }

template <class... Parameters, size_t... I>
static void call(void (*kernel)(Parameters...), void** parameters, std::index_sequence<I...>)
{
    kernel(*(std::remove_reference_t<Parameters>*)parameters[I]...);
}

static void** given;

template <auto kernel, class... Parameters>
static void run(void (*)(Parameters...), const unsigned* sizes, void** parameters)
{
    given = parameters;
    gridDim = {sizes[0], sizes[1], sizes[2]};
    blockDim = {sizes[3], sizes[4], sizes[5]};
    threads = blockDim.x * blockDim.y * blockDim.z;
    body = [] { call(kernel, given, std::index_sequence_for<Parameters...>{}); };
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) {
                memset(dynamicShared, 0xff, sizes[6]);
                runBlock();
            }
}

}  // namespace emulator

inline void __syncthreads() { emulator::wait(emulator::FOR_BLOCK); }
inline void __syncwarp(unsigned = 0) { emulator::wait(emulator::FOR_WARP); }

template <class T>
inline T __shfl_sync(unsigned, T v, int lane)
{
    emulator::show<1>({bitsAs<unsigned>(v)});
    T result = bitsAs<T>(emulator::of(lane & 31, 0));
    emulator::seen();
    return result;
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T v, int with) { return __shfl_sync(mask, v, (emulator::current & 31) ^ with); }

inline unsigned __ballot_sync(unsigned, bool vote)
{
    emulator::show<1>({vote});
    unsigned votes = 0;
    for (int i = 0; i < 32; i++) votes |= emulator::of(i, 0) << i;
    emulator::seen();
    return votes;
}

// The tensor core: operands rounded as it does, by cutting off.
inline void multiplyTiles(float (&d)[4], const float (&a)[4], const float (&b)[2])
{
    using namespace emulator;
    unsigned words[6];
    for (int i = 0; i < 4; i++) words[i] = __float_as_uint(a[i]) & 0xffffe000u;
    for (int i = 0; i < 2; i++) words[4 + i] = __float_as_uint(b[i]) & 0xffffe000u;
    show(words);
    int g = current % 32 / 4, t = current % 4;
    for (int e = 0; e < 4; e++) {
        int row = e >> 1, col = 2 * t + (e & 1);
        for (int k = 0; k < 8; k++)
            d[e] += __uint_as_float(of(4 * g + k % 4, row + 2 * (k / 4))) * __uint_as_float(of(4 * col + k % 4, 4 + k / 4));
    }
    seen();
}

// Both formats of halves, by themselves: rounded to nearest, ties to even.
inline unsigned short toBf16(float x)
{
    unsigned bits = __float_as_uint(x);
    bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    return nan ? (unsigned short)0x7fff : (unsigned short)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
inline float fromBf16(unsigned short half) { return __uint_as_float((unsigned)half << 16); }
inline unsigned short toFp16(float x)
{
    unsigned bits = __float_as_uint(x), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) return 0x7fff;
    // Half of the last place beyond 65504 and more; below 2^-14 multiples of 2^-24, which is the last place of 1/2.
    if (size >= 0x477ff000u) return sign | 0x7c00u;
    if (size < 0x38800000u) return sign | (__float_as_uint(__uint_as_float(size) + 0.5f) - 0x3f000000u);
    return sign | (size - 0x38000000u + 0xfffu + (size >> 13 & 1u)) >> 13;
}
inline float fromFp16(unsigned short half)
{
    unsigned sign = (half & 0x8000u) << 16, size = (half & 0x7fffu) << 13;
    bool finite = size < 0x0f800000u;
    // The exponent's bias is 112 less.
    return __uint_as_float(sign | (finite ? __float_as_uint(__uint_as_float(size) * 0x1p112f) : size | 0x7f800000u));
}
#if FP16
inline unsigned short halfBits(float x) { return toFp16(x); }
inline float numberOf(unsigned short half) { return fromFp16(half); }
#else
inline unsigned short halfBits(float x) { return toBf16(x); }
inline float numberOf(unsigned short half) { return fromBf16(half); }
#endif
inline unsigned halfPair(float low, float high) { return halfBits(low) | (unsigned)halfBits(high) << 16; }
inline float2 numbersOf(unsigned pair) { return make_float2(numberOf((unsigned short)pair), numberOf((unsigned short)(pair >> 16))); }

// The tensor core on pairs of halves.
inline void multiplyHalves(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2])
{
    using namespace emulator;
    show<6>({a[0], a[1], a[2], a[3], b[0], b[1]});
    auto half = [](unsigned pair, int high) { return numberOf((unsigned short)(high ? pair >> 16 : pair)); };
    int g = current % 32 / 4, t = current % 4;
    for (int e = 0; e < 4; e++) {
        int row = e >> 1, col = 2 * t + (e & 1);
        for (int k = 0; k < 16; k++)
            d[e] += half(of(4 * g + k % 8 / 2, row + 2 * (k / 8)), k % 2) * half(of(4 * col + k % 8 / 2, 4 + k / 8), k % 2);
    }
    seen();
}
// Rows of 8 x 8 matrices that lanes name, told to every lane.
inline void rowsOf(uint16_t (&to)[4][8][8], const unsigned short* row)
{
    using namespace emulator;
    uint64_t place = (uint64_t)row;
    show<2>({(unsigned)place, (unsigned)(place >> 32)});
    for (int i = 0; i < 32; i++) memcpy(to[i / 8][i % 8], (const void*)(of(i, 0) | (uint64_t)of(i, 1) << 32), 16);
    seen();
}
inline void loadMatrices(unsigned (&to)[4], const unsigned short* row)
{
    uint16_t all[4][8][8];
    rowsOf(all, row);
    int g = emulator::current % 32 / 4, t = emulator::current % 4;
    for (int i = 0; i < 4; i++) to[i] = all[i][g][2 * t] | (unsigned)all[i][g][2 * t + 1] << 16;
}
inline void loadMatricesAcross(unsigned (&to)[4], const unsigned short* row)
{
    uint16_t all[4][8][8];
    rowsOf(all, row);
    int g = emulator::current % 32 / 4, t = emulator::current % 4;
    for (int i = 0; i < 4; i++) to[i] = all[i][2 * t][g] | (unsigned)all[i][2 * t + 1][g] << 16;
}
// Copies that nobody has waited for are not there yet: made when they are waited for.
static std::vector<std::pair<void*, const void*>>& copiesOf(int group) { return emulator::copies[emulator::current][group]; }
inline void copyLater(void* shared, const void* from) { copiesOf(0).push_back({shared, from}); }
inline void commitCopies()
{
    if (!copiesOf(7).empty()) abort();
    for (int group = 7; group > 0; group--) copiesOf(group) = copiesOf(group - 1);
    copiesOf(0).clear();
}
template <int groups>
inline void waitForCopies()
{
    for (int group = 7; group > groups; group--) {
        for (auto [to, from] : copiesOf(group)) memcpy(to, from, 16);
        copiesOf(group).clear();
    }
}

inline float fastExp2(float x) { return exp2f(x); }
inline float fastInverse(float x) { return 1 / x; }
inline float __expf(float x) { return expf(x); }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline bool __any_sync(unsigned mask, bool vote) { return __ballot_sync(mask, vote) != 0; }
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned which)
{
    uint64_t bytes = a | (uint64_t)b << 32;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) result |= (unsigned)(bytes >> 8 * (which >> 4 * i & 7) & 255) << 8 * i;
    return result;
}

#define DYNAMIC_SHARED(type, name) type* name = (type*)emulator::dynamicShared

// Row-major y = op(a) op(b) (+ bias) (+ c); sizes: m, n, k, batch, transposeA, transposeB, type of a and b, then ld and stride of a, b,
// c, y, and type of y. Types as cuBLASLt numbers them: 0 fp32, 2 fp16, 14 bf16.
extern "C" void emulatedProduct(const void* a, const void* b, const float* c, const float* bias, void* y, const int64_t* sizes)
{
    const int64_t m = sizes[0], n = sizes[1], k = sizes[2];
    auto at = [type = sizes[6]](const void* x, int64_t i) {
        if (type == 0) return ((const float*)x)[i];
        unsigned short half = ((const unsigned short*)x)[i];
        return type == 2 ? fromFp16(half) : fromBf16(half);
    };
    for (int64_t s = 0; s < sizes[3]; s++)
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;
                for (int64_t l = 0; l < k; l++)
                    sum += (double)at(a, s * sizes[8] + (sizes[4] ? l * sizes[7] + i : i * sizes[7] + l)) *
                        at(b, s * sizes[10] + (sizes[5] ? j * sizes[9] + l : l * sizes[9] + j));
                if (bias) sum += bias[j];
                if (c) sum += c[s * sizes[12] + i * sizes[11] + j];
                int64_t to = s * sizes[14] + i * sizes[13] + j;
                if (sizes[15] == 0) ((float*)y)[to] = (float)sum;
                else ((unsigned short*)y)[to] = sizes[15] == 2 ? toFp16((float)sum) : toBf16((float)sum);
            }
}
