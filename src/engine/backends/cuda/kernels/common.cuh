// What all kernels share: operands, reductions of a warp and of a row, random numbers. Compiled by NVRTC: no includes.
#pragma once

struct Matrix {
    float* data;
    int rows, cols, ld, pad;
    __device__ float* row(int r) const { return data + (long long)r * ld; }
};

// Of the step, in device memory, so that a captured job serves every step.
struct JobState {
    unsigned seedLow, seedHigh, step, pad;
};

#define FULL_WARP 0xffffffffu
#define INFINITE __int_as_float(0x7f800000)

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

__device__ __forceinline__ float gelu(float x)
{
    return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
}

__device__ __forceinline__ float geluSlope(float x)
{
    return 0.5f * (1.0f + erff(x * 0.70710678118654752f)) + x * 0.39894228040143268f * expf(-0.5f * x * x);
}
