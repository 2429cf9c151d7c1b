// The runtime's parts, for its own files: runtime.cpp (the C ABI), job.cpp (running), weights.cpp (packed weights).
#pragma once
#include "program.h"
#include "threads.h"

namespace rivulet {

struct InstructionSet {
	int32_t number;
	const char* name;
	const Isa* isa;
	bool here;
};

struct ThreadScratch : Scratch {
	Buffer<float> slots[8];
	bool failed = false;
	float* get(int slot, size_t floats) override {
		if (slots[slot].reserve(floats ? floats : 1, false)) return slots[slot].data;
		failed = true;
		return nullptr;
	}
};

// A job read from its words.
struct Job {
	uint32_t seed[2], step;
	int32_t slices;
	int64_t gradientWords;
	int32_t microBatches, updates;
	const int32_t* microBatchWords;
	const int32_t* updateWords;
};

struct Runtime {
	InstructionSet set;
	Team team;
	Buffer<float> spaces[spaceCount];
	Buffer<float> arenas[maximumThreads];  // of bodies, one per thread
	Buffer<float> updateArena;
	ThreadScratch scratch[maximumThreads];
	Buffer<Program> programs;
	Buffer<PackedWeight> packed;
	int32_t matmul;
	// The job being run.
	Job job;
	int32_t nextSlice;
	bool packing;
};

// The loaded program with a number; null when there is none.
inline Program* programAt(Runtime& runtime, int32_t id) {
	if (id < 0 || (size_t)id >= runtime.programs.size || !runtime.programs.data[id].used) return nullptr;
	return &runtime.programs.data[id];
}

inline Matrix matrixOf(const Operand& operand, float* const* bases) {
	if (operand.rows == 0) return {nullptr, 0, 0, 0};
	return {bases[operand.space] + operand.offset, operand.rows, operand.cols, operand.ld};
}

// weights.cpp
// Give every product with one whole weight matrix on its right the packed form of it. False: out of memory.
bool shareWeights(Runtime& runtime, Program& program);
// The program no longer needs its packed weights.
void forgetWeights(Runtime& runtime, Program& program);
// Make room for the packed weights that a program needs. False: out of memory.
bool preparePacked(Runtime& runtime, const Program& program);
// Before a job: mark all as stale if the weights changed; is there anything to pack?
bool mustPack(Runtime& runtime, bool weightsChanged);
// One thread's share of packing all stale weights that have a buffer.
void packWeights(Runtime& runtime, int32_t thread);
void markPacked(Runtime& runtime);

// job.cpp
// Check and run a job given as words.
Failure runWords(Runtime& runtime, const int32_t* words, int32_t count);

}  // namespace rivulet
