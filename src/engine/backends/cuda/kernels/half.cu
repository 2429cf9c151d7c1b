// Weights as halves, for products of that precision: element i of y is x[i].
#include "common.cuh"

extern "C" __global__ void castToHalf(const float* x, unsigned short* y, int n)
{
    int quads = n >> 2, first = blockIdx.x * blockDim.x + threadIdx.x;
    for (int i = first; i < quads; i += gridDim.x * blockDim.x) storeHalf4(y + 4 * i, ((const float4*)x)[i]);
    int rest = 4 * quads + first;
    if (rest < n) y[rest] = halfBits(x[rest]);
}
