// The most multiply-adds this instruction set can do: independent chains in registers, no memory.
#pragma once
#include "vector.h"

namespace rivulet::RIVULET_ISA {

RIVULET_INLINE double burn(int64_t rounds, float* sink) {
	constexpr int chains = 10;
	vf sums[chains];
	for (int i = 0; i < chains; i++) sums[i] = splat((float)i);
	const vf factor = splat(0.999f), addend = splat(0.001f);
	for (int64_t round = 0; round < rounds; round++)
#pragma GCC unroll 10
		for (int i = 0; i < chains; i++) sums[i] = sums[i] * factor + addend;
	vf total = {};
	for (int i = 0; i < chains; i++) total += sums[i];
	*sink = sum(total);
	return (double)rounds * chains * width * 2;
}

}  // namespace rivulet::RIVULET_ISA
