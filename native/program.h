// A program as the runtime keeps it: checked words, kernels by address. native/ABI.md has the words.
#pragma once
#include "memory.h"
#include "registry.h"

namespace rivulet {

enum Space { parameters, gradients, arena, inputs, constants, outputs, shared, optimizer, slices, state, spaceCount };

// Also in src/engine/backends/encode.ts, as text. Positive from rivulet_run, negative from rivulet_program.
enum Failure {
	none,
	outOfMemory,
	malformed,       // counts or lengths that do not fit together
	unknownKernel,
	wrongOperands,   // number of operands or attributes, or a required operand absent
	outsideSpace,    // an operand beyond the end of its space
	wrongSpace,      // a space that this kind of program cannot use, or parts in a body
	unknownProgram,
	unknownSlice,    // slice numbers out of range or not in order
};

constexpr int32_t maximumOperands = 8;
// Of parts of an instruction, and of slices of a job: far beyond any use, so that wrong words do not run for hours.
constexpr int32_t maximumCount = 1 << 20;

struct Operand {
	int32_t space;
	int64_t offset;
	int32_t rows, cols, ld;
};

// A weight matrix in the form its products want, packed again whenever the weights changed.
struct PackedWeight {
	Operand weight;
	bool transpose;
	int32_t users;
	bool stale;
	Buffer<float> packed;
};

struct Instruction {
	Kernel kernel;
	int32_t parts;
	const Operand* operands;  // inputs, then outputs
	int32_t inputs, outputs;
	const Word* attributes;
	int32_t packed;  // index of the packed weight, -1: none
};

struct Program {
	bool used;
	bool update;
	int64_t arenaWords;
	Buffer<int32_t> words;  // the constants and attributes stay here
	const int32_t* constants;
	Buffer<Operand> operands;
	Buffer<Instruction> instructions;
	int32_t count;
	int64_t extent[spaceCount];  // words the program touches in each space, from its base there
};

// Fill `program` from words; returns a Failure. Instructions' `packed` is left at -1.
Failure decode(Program& program, const Isa& isa, const int32_t* words, int32_t count);
void release(Program& program);

}  // namespace rivulet
