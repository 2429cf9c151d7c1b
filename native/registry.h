// What one instruction set offers to the runtime: its kernels, and the packing of weights for its matrix product.
#pragma once
#include "kernel.h"

namespace rivulet {

struct Isa {
	// Tables that end with a null name, and a null table at the end.
	const KernelEntry* const* files;
	// Floats of the packed form of a (depth x columns) right operand of a product.
	size_t (*packedFloats)(int32_t depth, int32_t columns);
	// Pack part `part` of `parts` of b, which is depth x columns, or its transpose when `transpose`.
	void (*pack)(const Matrix& b, bool transpose, float* packed, int32_t part, int32_t parts);
	// Run `rounds` rounds of independent multiply-adds; returns the floating-point operations done. `sink` keeps them alive.
	double (*burn)(int64_t rounds, float* sink);
};

// Index of a kernel: its place in the tables, one after the other; the same for every instruction set. -1: none.
int32_t kernelIndex(const Isa& isa, const char* name);
// The kernel with an index; null when out of range.
const KernelEntry* kernelAt(const Isa& isa, int32_t index);

}  // namespace rivulet
