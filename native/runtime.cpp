// The C ABI (native/ABI.md): which instruction set, the life of a runtime, its spaces and programs.
#include "runtime.h"

#if defined(__wasm__)
#define RIVULET_EXPORT(name) extern "C" __attribute__((export_name(#name)))
#else
#define RIVULET_EXPORT(name) extern "C" __attribute__((visibility("default")))
#endif

namespace rivulet {

#define RIVULET_SET(name) \
	namespace name {      \
	extern const Isa isa; \
	}
#if defined(__x86_64__)
RIVULET_SET(baseline)
RIVULET_SET(avx2)
RIVULET_SET(avx512)
#elif defined(__aarch64__)
RIVULET_SET(neon)
#elif defined(__wasm__)
RIVULET_SET(wasm)
#endif

// Set `number` or, with 0, the best one that works here.
static InstructionSet findSet(int32_t number) {
#if defined(__x86_64__)
	__builtin_cpu_init();
	bool hasAvx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	bool hasAvx512 = hasAvx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
	                 __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
	const InstructionSet sets[] = {
		{3, "avx512", &avx512::isa, hasAvx512}, {2, "avx2", &avx2::isa, hasAvx2}, {1, "baseline", &baseline::isa, true}};
#elif defined(__aarch64__)
	const InstructionSet sets[] = {{4, "neon", &neon::isa, true}};
#elif defined(__wasm__)
	const InstructionSet sets[] = {{1, "wasm-simd", &wasm::isa, true}};
#endif
	for (const InstructionSet& set : sets)
		if (set.here && (number == 0 || set.number == number)) return set;
	return {};
}

static void destroy(Runtime* runtime) {
	runtime->team.finish();
	for (Buffer<float>& space : runtime->spaces) space.free();
	for (Buffer<float>& arena : runtime->arenas) arena.free();
	runtime->updateArena.free();
	for (ThreadScratch& scratch : runtime->scratch)
		for (Buffer<float>& slot : scratch.slots) slot.free();
	for (size_t i = 0; i < runtime->programs.size; i++) release(runtime->programs.data[i]);
	runtime->programs.free();
	for (size_t i = 0; i < runtime->packed.size; i++) runtime->packed.data[i].packed.free();
	runtime->packed.free();
	release(runtime, sizeof(Runtime));
}

struct Peak {
	const Isa* isa;
	int32_t threads;
	double seconds;
	double operations[maximumThreads];
	float sink[maximumThreads];
};

static void measurePeak(void* data, int32_t thread) {
	Peak& peak = *(Peak*)data;
	if (thread >= peak.threads) return;
	for (double end = seconds() + peak.seconds; seconds() < end;) peak.operations[thread] += peak.isa->burn(20000, &peak.sink[thread]);
}

}  // namespace rivulet

using namespace rivulet;

// Placement: there is no libc in wasm, and no operator new.
inline void* operator new(size_t, Runtime* place) { return place; }

RIVULET_EXPORT(rivulet_create) Runtime* rivulet_create(int32_t threads, int32_t isa) {
	InstructionSet set = findSet(isa);
	if (!set.isa || threads < 1 || threads > maximumThreads) return nullptr;
	Runtime* runtime = (Runtime*)allocate(sizeof(Runtime));
	if (!runtime) return nullptr;
	new (runtime) Runtime();
	runtime->set = set;
	runtime->matmul = kernelIndex(*set.isa, "matmul");
	if (runtime->team.start(threads)) return runtime;
	destroy(runtime);
	return nullptr;
}

RIVULET_EXPORT(rivulet_destroy) void rivulet_destroy(Runtime* runtime) { destroy(runtime); }

RIVULET_EXPORT(rivulet_space) float* rivulet_space(Runtime* runtime, int32_t space, double words) {
	if (space < 0 || space >= spaceCount || space == gradients || space == arena || space == constants) return nullptr;
	if (!(words >= 0 && words <= 1e12)) return nullptr;
	return runtime->spaces[space].reserve(words < 1 ? 1 : (size_t)words, true) ? runtime->spaces[space].data : nullptr;
}

RIVULET_EXPORT(rivulet_program) int32_t rivulet_program(Runtime* runtime, const int32_t* words, int32_t count) {
	int32_t id = 0;
	while ((size_t)id < runtime->programs.size && runtime->programs.data[id].used) id++;
	if (!runtime->programs.reserve(id + 1, true)) return -outOfMemory;
	Program& program = runtime->programs.data[id];
	Failure failure = decode(program, *runtime->set.isa, words, count);
	if (failure) return -failure;
	if (!shareWeights(*runtime, program)) return release(program), -outOfMemory;
	program.used = true;
	return id;
}

RIVULET_EXPORT(rivulet_forget) void rivulet_forget(Runtime* runtime, int32_t id) {
	Program* program = programAt(*runtime, id);
	if (!program) return;
	forgetWeights(*runtime, *program);
	release(*program);
}

RIVULET_EXPORT(rivulet_run) int32_t rivulet_run(Runtime* runtime, const int32_t* words, int32_t count) {
	return runWords(*runtime, words, count);
}

// The order of kernels is the same in every instruction set.
RIVULET_EXPORT(rivulet_kernel) int32_t rivulet_kernel(const char* name) { return kernelIndex(*findSet(0).isa, name); }

RIVULET_EXPORT(rivulet_isa) const char* rivulet_isa(Runtime* runtime) { return runtime->set.name; }

RIVULET_EXPORT(rivulet_peak) double rivulet_peak(Runtime* runtime, int32_t threads, double duration) {
	Peak peak = {runtime->set.isa, threads, duration, {}, {}};
	double start = seconds();
	if (runtime->team.threads > 1)
		runtime->team.run(measurePeak, &peak);
	else
		measurePeak(&peak, 0);
	double elapsed = seconds() - start, operations = 0;
	for (double own : peak.operations) operations += own;
	return operations / elapsed * 1e-9;
}

RIVULET_EXPORT(rivulet_memory) double rivulet_memory(Runtime* runtime) {
	double bytes = sizeof(Runtime) + runtime->updateArena.bytes() + runtime->programs.bytes() + runtime->packed.bytes();
	for (Buffer<float>& space : runtime->spaces) bytes += space.bytes();
	for (Buffer<float>& arena : runtime->arenas) bytes += arena.bytes();
	for (ThreadScratch& scratch : runtime->scratch)
		for (Buffer<float>& slot : scratch.slots) bytes += slot.bytes();
	for (size_t i = 0; i < runtime->programs.size; i++) {
		Program& program = runtime->programs.data[i];
		bytes += program.words.bytes() + program.operands.bytes() + program.instructions.bytes();
	}
	for (size_t i = 0; i < runtime->packed.size; i++) bytes += runtime->packed.data[i].packed.bytes();
	return bytes;
}

#if defined(__wasm__)
// For the host's workers: memory for their stacks, words, names; and their life.
RIVULET_EXPORT(rivulet_allocate) void* rivulet_allocate(size_t bytes) { return allocate(bytes); }
RIVULET_EXPORT(rivulet_release) void rivulet_release(void* memory, size_t bytes) { release(memory, bytes); }
RIVULET_EXPORT(rivulet_worker) void rivulet_worker(Runtime* runtime, int32_t thread) { runtime->team.member(thread); }
RIVULET_EXPORT(rivulet_may_sleep) void rivulet_may_sleep(Runtime* runtime, int32_t may) { runtime->team.callerSleeps = may != 0; }
#endif
