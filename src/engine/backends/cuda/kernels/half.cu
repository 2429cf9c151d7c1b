// Weights as bf16, for products of that precision: element i of y is x[i] rounded to nearest, ties to even.

extern "C" __global__ void castToHalf(const float* x, unsigned short* y, int n)
{
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        unsigned bits = __float_as_uint(x[i]);
        bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
        y[i] = nan ? (unsigned short)0x7fc0 : (unsigned short)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
    }
}
