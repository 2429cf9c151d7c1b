// The table of this instruction set. A new file of kernels is declared and listed here.
#include "registry.h"
#include "pack.h"
#include "peak.h"

namespace rivulet::RIVULET_ISA {

extern const KernelEntry matmulKernels[], attentionKernels[], attentionGradKernels[], decodeKernels[], elementwiseKernels[], gatherKernels[],
    lossKernels[], minGruKernels[], normKernels[], optimizerKernels[], reduceKernels[];

static const KernelEntry* const files[] = {
    matmulKernels, attentionKernels, attentionGradKernels, decodeKernels, elementwiseKernels, gatherKernels,
    lossKernels,   minGruKernels,    normKernels,          optimizerKernels, reduceKernels, nullptr,
};

extern const Isa isa = {files, packedFloats, pack, burn};

}  // namespace rivulet::RIVULET_ISA
