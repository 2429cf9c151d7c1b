// What all kernels share: operands, reductions of a warp and of a row, random numbers. Compiled by NVRTC: no includes.
#pragma once

// Elements are float, or halves with `half`, which only kernels that say so can read.
struct Matrix {
    float* data;
    int rows, cols, ld, half;
    __device__ float* row(int r) const { return data + (long long)r * ld; }
};

// Of the step, in device memory, so that a captured job serves every step.
struct JobState {
    unsigned seedLow, seedHigh, step;
    float unscale;  // by which gradients of a scaled loss are to be multiplied
};

#define FULL_WARP 0xffffffffu
#ifndef EMULATED  // The tests' emulator has a definition of its own, here and below.
#define DYNAMIC_SHARED(type, name) extern __shared__ type name[]
#endif
#define INFINITE __int_as_float(0x7f800000)

// Every kernel begins with it: a launch may be on the device before those that it follows have ended.
__device__ __forceinline__ void waitForLaunchesBefore()
{
#if !defined(EMULATED) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ __forceinline__ float4 operator+(float4 a, float4 b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }
__device__ __forceinline__ float4 operator*(float4 a, float4 b) { return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w); }
__device__ __forceinline__ float4 operator*(float4 a, float b) { return make_float4(a.x * b, a.y * b, a.z * b, a.w * b); }
__device__ __forceinline__ float4 operator-(float4 a, float b) { return make_float4(a.x - b, a.y - b, a.z - b, a.w - b); }

__device__ __forceinline__ float warpSum(float v)
{
    for (int d = 16; d > 0; d >>= 1) v += __shfl_xor_sync(FULL_WARP, v, d);
    return v;
}

__device__ __forceinline__ float warpMax(float v)
{
    for (int d = 16; d > 0; d >>= 1) v = fmaxf(v, __shfl_xor_sync(FULL_WARP, v, d));
    return v;
}

// Of four neighbouring lanes, which have a row of a product's tile.
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

// Sum (or maximum) over threadIdx.x for each threadIdx.y; blockDim.x is 32, or the block has one row of threads.
template <bool MAXIMUM>
__device__ __forceinline__ float overRow(float v)
{
    v = MAXIMUM ? warpMax(v) : warpSum(v);
    if (blockDim.x == 32) return v;
    __shared__ float parts[32];
    int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    __syncthreads();
    if (lane == 0) parts[warp] = v;
    __syncthreads();
    v = lane < (int)(blockDim.x >> 5) ? parts[lane] : (MAXIMUM ? -INFINITE : 0.0f);
    return MAXIMUM ? warpMax(v) : warpSum(v);
}

// Philox-4x32-10, docs/engine.md "Random numbers".
__device__ __forceinline__ uint4 philox(const JobState* job, unsigned lane, unsigned row, unsigned sequence, unsigned id)
{
    unsigned c0 = lane, c1 = row, c2 = sequence, c3 = id;
    unsigned k0 = job->seedLow, k1 = job->seedHigh ^ job->step;
#pragma unroll
    for (int round = 0; round < 10; round++) {
        unsigned h0 = __umulhi(0xd2511f53u, c0), l0 = 0xd2511f53u * c0;
        unsigned h1 = __umulhi(0xcd9e8d57u, c2), l1 = 0xcd9e8d57u * c2;
        c0 = h1 ^ c1 ^ k0;
        c1 = l1;
        c2 = h0 ^ c3 ^ k1;
        c3 = l0;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    return make_uint4(c0, c1, c2, c3);
}

// The word of one element of a row of `columns`: word floor(c / q) of lane c mod q, q = ceil(columns / 4).
__device__ __forceinline__ unsigned dropoutWord(
    const JobState* job, unsigned id, unsigned sequence, unsigned row, unsigned column, unsigned columns)
{
    unsigned q = (columns + 3) / 4, word = column / q;
    uint4 words = philox(job, column - word * q, row, sequence, id);
    return word == 0 ? words.x : word == 1 ? words.y : word == 2 ? words.z : words.w;
}

// Kept when the word is at least this.
__device__ __forceinline__ unsigned dropoutThreshold(float p)
{
    return p >= 1 ? 0xffffffffu : (unsigned)((double)p * 4294967296.0);
}

__device__ __forceinline__ float dropoutScale(float p)
{
    return p >= 1 ? 0.0f : 1.0f / (1.0f - p);
}

// Where row r of a group-major matrix stands.
__device__ __forceinline__ void placeOf(int r, int rowsPerSequence, int sequences, int first, unsigned& sequence, unsigned& row)
{
    int block = r / rowsPerSequence;
    sequence = first + block % sequences;
    row = block / sequences * rowsPerSequence + r % rowsPerSequence;
}

#ifndef EMULATED
__device__ __forceinline__ float fastExp2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float fastInverse(float x)
{
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
#endif

// Phi(x) of the normal distribution and exp(-x^2/2), by which both GELU and its slope are given. Abramowitz and Stegun 7.1.26, at most 1e-7
// off: less than half the instructions of erff, and the exponential is wanted anyhow.
struct Normal {
    float below, density;
};

__device__ __forceinline__ Normal normalOf(float x)
{
    float t = fastInverse(1.0f + 0.23164190f * fabsf(x)), e = fastExp2(-0.72134752f * x * x);
    float tail = t * (0.127414796f + t * (-0.142248368f + t * (0.7107068705f + t * (-0.7265760135f + t * 0.5307027145f)))) * e;
    return {x < 0 ? tail : 1.0f - tail, 0.39894228040143268f * e};
}

__device__ __forceinline__ float gelu(float x)
{
    return x * normalOf(x).below;
}

__device__ __forceinline__ float geluSlope(float x)
{
    Normal at = normalOf(x);
    return at.below + x * at.density;
}

// What a product's attribute `activation` says is done to x; `other` is the factor of the last three.
__device__ __forceinline__ float activated(int activation, float x, float other)
{
    switch (activation) {
        case 1: return gelu(x);
        case 2: return x < 0 ? 0 : x;  // a NaN comes through, as everywhere
        case 3: return x * geluSlope(other);
        case 4: return other > 0 ? x : 0;
        case 5: return x * other;
        default: return x;
    }
}

// Halves: numbers of 16 bits, in bf16 or, compiled with FP16, in fp16. No other file knows which.
#if FP16
#define HALF_TYPE "f16"
#else
#define HALF_TYPE "bf16"
#endif

// A row of a matrix of halves.
__device__ __forceinline__ unsigned short* halfRow(const Matrix& x, int r)
{
    return (unsigned short*)x.data + (long long)r * x.ld;
}

// A number as a half, rounded to nearest, ties to even; what is beyond fp16's 65504 is infinite. Two of them as a pair. The number of a
// half, and the two of a pair.
#ifndef EMULATED
__device__ __forceinline__ unsigned short halfBits(float x)
{
    unsigned short bits;
    asm("cvt.rn." HALF_TYPE ".f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

__device__ __forceinline__ unsigned halfPair(float low, float high)
{
    unsigned bits;
    asm("cvt.rn." HALF_TYPE "x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
}

__device__ __forceinline__ float numberOf(unsigned short half)
{
#if FP16
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(half));
    return x;
#else
    return __uint_as_float((unsigned)half << 16);
#endif
}

__device__ __forceinline__ float2 numbersOf(unsigned pair)
{
#if FP16
    return make_float2(numberOf((unsigned short)pair), numberOf((unsigned short)(pair >> 16)));
#else
    return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u));
#endif
}
#endif

// `to` at a multiple of 8 bytes.
__device__ __forceinline__ void storeHalf4(unsigned short* to, float4 x)
{
    *(uint2*)to = make_uint2(halfPair(x.x, x.y), halfPair(x.z, x.w));
}

// Four elements of a result: as they are unless only halves are wanted, and as halves where those are.
__device__ __forceinline__ void put(float4 value, const Matrix& y, const Matrix& half, int only, int r, int c)
{
    if (!only) *(float4*)(y.row(r) + c) = value;
    if (half.data) storeHalf4(halfRow(half, r) + c, value);
}

// Dropout of whole rows.
struct RowDropout {
    float p;
    int id, rowsPerSequence, sequences;
    const JobState* job;
    int first;
};

// What dropout multiplies columns lane .. lane + 3 by, and those one, two and three quarters of a row further, as they lie in `to`.
__device__ __forceinline__ void multipliers(float4 (&to)[4], const RowDropout& d, int r, unsigned lane)
{
    unsigned sequence, row, threshold = dropoutThreshold(d.p);
    float scale = dropoutScale(d.p), *at = &to[0].x;
    placeOf(r, d.rowsPerSequence, d.sequences, d.first, sequence, row);
#pragma unroll
    for (int e = 0; e < 4; e++) {
        uint4 w = philox(d.job, lane + e, row, sequence, d.id);
        const unsigned words[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
        for (int j = 0; j < 4; j++) at[4 * j + e] = words[j] >= threshold ? scale : 0;
    }
}

// Elements of a matrix of either kind; fours at a multiple of their size.
__device__ __forceinline__ float loadAny(const Matrix& x, int r, int c)
{
    return x.half ? numberOf(halfRow(x, r)[c]) : x.row(r)[c];
}

__device__ __forceinline__ float4 loadHalf4(const Matrix& x, int r, int c)
{
    uint2 pairs = *(const uint2*)(halfRow(x, r) + c);
    float2 low = numbersOf(pairs.x), high = numbersOf(pairs.y);
    return make_float4(low.x, low.y, high.x, high.y);
}

__device__ __forceinline__ float4 loadAny4(const Matrix& x, int r, int c)
{
    return x.half ? loadHalf4(x, r, c) : *(const float4*)(x.row(r) + c);
}

// Eight halves in one go.
struct Eight {
    float4 low, high;
};

__device__ __forceinline__ Eight loadHalf8(const Matrix& x, int r, int c)
{
    uint4 pairs = *(const uint4*)(halfRow(x, r) + c);
    float2 a = numbersOf(pairs.x), b = numbersOf(pairs.y), d = numbersOf(pairs.z), e = numbersOf(pairs.w);
    return {make_float4(a.x, a.y, b.x, b.y), make_float4(d.x, d.y, e.x, e.y)};
}

__device__ __forceinline__ void storeAny(const Matrix& x, int r, int c, float v)
{
    if (x.half)
        halfRow(x, r)[c] = halfBits(v);
    else
        x.row(r)[c] = v;
}

__device__ __forceinline__ void storeAny4(const Matrix& x, int r, int c, float4 v)
{
    if (x.half)
        storeHalf4(halfRow(x, r) + c, v);
    else
        *(float4*)(x.row(r) + c) = v;
}

// Operands of products on tensor cores: fp32 rounded to tf32. With three passes a value is the sum of two of them, which keeps all of
// fp32 but its last bit or two; the product of the two small parts is left out.
__device__ __forceinline__ float roundToTf32(float x)
{
#ifdef EMULATED
    return __uint_as_float((__float_as_uint(x) + 0x1000u) & 0xffffe000u);
#else
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return __uint_as_float(bits);
#endif
}

// d (16 x 8) += a (16 x 8) b (8 x 8), by a warp. Lane 4 g + t holds a: (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4);
// b: (t, g), (t + 4, g); d: (g, 2 t), (g, 2 t + 1), (g + 8, 2 t), (g + 8, 2 t + 1).
#ifndef EMULATED
__device__ __forceinline__ void multiplyTiles(float (&d)[4], const float (&a)[4], const float (&b)[2])
{
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])), "r"(__float_as_uint(a[3])),
          "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
}
#endif

// What an operand is when it is loaded: with one pass rounded at once, with three as it is.
template <int passes>
__device__ __forceinline__ float prepared(float x)
{
    return passes == 1 ? roundToTf32(x) : x;
}

template <int passes>
__device__ __forceinline__ void multiply(float (&d)[4], const float (&a)[4], const float (&b)[2])
{
    if constexpr (passes == 1)
        multiplyTiles(d, a, b);
    else {
        float highA[4], lowA[4], highB[2], lowB[2];
#pragma unroll
        for (int i = 0; i < 4; i++) highA[i] = roundToTf32(a[i]), lowA[i] = roundToTf32(a[i] - highA[i]);
#pragma unroll
        for (int i = 0; i < 2; i++) highB[i] = roundToTf32(b[i]), lowB[i] = roundToTf32(b[i] - highB[i]);
        multiplyTiles(d, lowA, highB);
        multiplyTiles(d, highA, lowB);
        multiplyTiles(d, highA, highB);
    }
}

// d (16 x 8) += a (16 x 16) b (16 x 8), pairs of halves. Lane 4 g + t holds a: (g, 2 t), (g + 8, 2 t), (g, 2 t + 8), (g + 8, 2 t + 8), each
// with the column after it; b: (2 t, g), (2 t + 8, g), each with the row after it.
#ifndef EMULATED
__device__ __forceinline__ void multiplyHalves(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2])
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32." HALF_TYPE "." HALF_TYPE ".f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four matrices of 8 x 8 halves in shared memory, of which lane 8 i + r names row r of matrix i: lane 4 g + t gets (g, 2 t) and the element
// after it of each; `Across`: (2 t, g) and the one below it.
__device__ __forceinline__ void loadMatrices(unsigned (&to)[4], const unsigned short* row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"((unsigned)__cvta_generic_to_shared(row)));
}

__device__ __forceinline__ void loadMatricesAcross(unsigned (&to)[4], const unsigned short* row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"((unsigned)__cvta_generic_to_shared(row)));
}

// 16 bytes from memory to shared memory, without waiting; the copies begun since the last `commitCopies` are a group, and all but the
// last `groups` groups are waited for.
__device__ __forceinline__ void copyLater(void* shared, const void* from)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((unsigned)__cvta_generic_to_shared(shared)), "l"(from) : "memory");
}

__device__ __forceinline__ void commitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

template <int groups>
__device__ __forceinline__ void waitForCopies()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
}
#endif
