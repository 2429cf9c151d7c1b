// The scan of a minGRU over the rows of each sequence, and its gradient: a thread per sequence and column, row after row.
#include "common.cuh"

// sigmoid(x) and 1 - sigmoid(x), neither by a difference.
struct Sigmoid {
    float open, shut;
};

__device__ __forceinline__ Sigmoid sigmoid(float x)
{
    float e = expf(-fabsf(x)), larger = 1 / (1 + e), smaller = e * larger;
    return x >= 0 ? Sigmoid{larger, smaller} : Sigmoid{smaller, larger};
}

extern "C" __global__ void minGru(Matrix gate, Matrix candidate, Matrix initial, Matrix h, int sequences)
{
    waitForLaunchesBefore();
    int length = h.rows / sequences;
    int c = blockIdx.x * blockDim.x + threadIdx.x, b = blockIdx.y;
    if (c >= h.cols) return;
    float state = initial.data ? initial.row(b)[c] : 0;
#pragma unroll 4
    for (int r = b * length; r < (b + 1) * length; r++) {
        float x = candidate.row(r)[c];
        Sigmoid z = sigmoid(gate.row(r)[c]);
        state = z.shut * state + z.open * (x >= 0 ? x + 0.5f : sigmoid(x).open);
        h.row(r)[c] = state;
    }
}

extern "C" __global__ void minGruGrad(Matrix dh, Matrix gate, Matrix candidate, Matrix h, Matrix initial, Matrix dGate, Matrix dCandidate,
    Matrix dInitial, int sequences)
{
    waitForLaunchesBefore();
    int length = h.rows / sequences;
    int c = blockIdx.x * blockDim.x + threadIdx.x, b = blockIdx.y;
    if (c >= h.cols) return;
    float carried = 0;
#pragma unroll 4
    for (int r = (b + 1) * length - 1; r >= b * length; r--) {
        float d = dh.row(r)[c] + carried, x = candidate.row(r)[c];
        float before = r > b * length ? h.row(r - 1)[c] : initial.data ? initial.row(b)[c] : 0;
        Sigmoid z = sigmoid(gate.row(r)[c]), s = sigmoid(x);
        dGate.row(r)[c] = d * ((x >= 0 ? x + 0.5f : s.open) - before) * (z.open * z.shut);
        dCandidate.row(r)[c] = d * z.open * (x >= 0 ? 1 : s.open * s.shut);
        carried = d * z.shut;
    }
    if (dInitial.data) dInitial.row(b)[c] = carried;
}
