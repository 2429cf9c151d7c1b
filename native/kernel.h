// What every kernel file sees: a matrix, a call, the table of its kernels (vectors are in vector.h).
// Kernel files are compiled once per instruction set, into namespace rivulet::RIVULET_ISA, with RIVULET_WIDTH floats in a
// register. To add a kernel: write `static void name(const Call&)` in a kernels_*.cpp and add one line to the table at
// its end (`extern const KernelEntry xKernels[] = {{"name", name, "mm?", "m", 3}, ..., {}};`). A new file is one line in
// registry.cpp. Inline functions of headers must be RIVULET_INLINE: the linker would else mix the instruction sets.
// No libc, no libm, no allocation, no exceptions, no static constructors: the same sources are the wasm module.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define RIVULET_INLINE static inline __attribute__((always_inline))

namespace rivulet {

// Element (r, c) is data[r * ld + c]. int32 matrices are read through ints().
struct Matrix {
	float* data;
	int32_t rows, cols, ld;
	__attribute__((always_inline)) float* row(int32_t r) const { return data + (size_t)r * ld; }
	__attribute__((always_inline)) int32_t* ints() const { return (int32_t*)data; }
};

union Word {
	int32_t i;
	float f;
};

// Memory of one thread that a kernel may use during one call; grows on demand, never shrinks, 64-byte aligned.
struct Scratch {
	// At least `floats` floats, 64-byte aligned, of any content. Each `slot` (0..7) is a separate buffer. Null when memory ran
	// out: return at once, the run then fails with an error.
	virtual float* get(int slot, size_t floats) = 0;
};

struct Call {
	const Matrix* in;
	const Matrix* out;
	const Word* attributes;
	int32_t part, parts;
	uint32_t seed[2];
	uint32_t step;
	uint32_t firstSequence;
	Scratch* scratch;
	// Packed form of in[1], when the runtime has one (weights of a matmul); see matmul.cpp.
	const float* packed;
};

typedef void (*Kernel)(const Call&);

// `inputs` and `outputs` have one letter per operand, in order: m required, ? optional. Programs are checked against them.
struct KernelEntry {
	const char* name;
	Kernel kernel;
	const char* inputs;
	const char* outputs;
	int32_t attributes;
};

// Half-open range of part `part` of `parts` over n things.
struct Range {
	int64_t begin, end;
};
RIVULET_INLINE Range partOf(const Call& call, int64_t n) {
	return {n * call.part / call.parts, n * (call.part + 1) / call.parts};
}

}  // namespace rivulet
