// What the runtime itself launches where products are of halves.
#include "common.cuh"

// Weights as halves: element i of y is x[i].
extern "C" __global__ void castToHalf(const float* x, unsigned short* y, int n)
{
    waitForLaunchesBefore();
    int quads = n >> 2, first = blockIdx.x * blockDim.x + threadIdx.x;
    for (int i = first; i < quads; i += gridDim.x * blockDim.x) storeHalf4(y + 4 * i, ((const float4*)x)[i]);
    int rest = 4 * quads + first;
    if (rest < n) y[rest] = halfBits(x[rest]);
}

// Gradients of a scaled loss become those of the loss.
extern "C" __global__ void unscale(float* x, int n, const JobState* job)
{
    waitForLaunchesBefore();
    float factor = job->unscale;
    int quads = n >> 2, first = blockIdx.x * blockDim.x + threadIdx.x;
    for (int i = first; i < quads; i += gridDim.x * blockDim.x) ((float4*)x)[i] = ((const float4*)x)[i] * factor;
    int rest = 4 * quads + first;
    if (rest < n) x[rest] *= factor;
}
