// The runtime behind the C ABI (native/ABI.md): spaces, loaded programs, packed weights, and the running of jobs.
#include "program.h"
#include "threads.h"

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

struct InstructionSet {
	int32_t number;
	const char* name;
	const Isa* isa;
	bool here;
};

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

struct ThreadScratch : Scratch {
	Buffer<float> slots[8];
	bool failed = false;
	float* get(int slot, size_t floats) override {
		if (slots[slot].reserve(floats ? floats : 1, false)) return slots[slot].data;
		failed = true;
		return nullptr;
	}
};

struct MicroBatch {
	int32_t program, slice;
	int64_t inputs, outputs;
	uint32_t firstSequence;
};

struct Update {
	int32_t program;
	int64_t state;
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

static const int32_t microBatchWords = 5, updateWords = 2, jobWords = 8;

static Program* programAt(Runtime& runtime, int32_t id) {
	if (id < 0 || (size_t)id >= runtime.programs.size || !runtime.programs.data[id].used) return nullptr;
	return &runtime.programs.data[id];
}

static MicroBatch microBatchAt(const Job& job, int32_t i) {
	const int32_t* words = job.microBatchWords + (int64_t)i * microBatchWords;
	return {words[0], words[1], words[2], words[3], (uint32_t)words[4]};
}

static Update updateAt(const Job& job, int32_t i) {
	const int32_t* words = job.updateWords + (int64_t)i * updateWords;
	return {words[0], words[1]};
}

// ---- weights in packed form ----

static bool sameWeight(const PackedWeight& packed, const Operand& weight, bool transpose) {
	const Operand& known = packed.weight;
	return packed.users > 0 && packed.transpose == transpose && known.offset == weight.offset && known.rows == weight.rows &&
	       known.cols == weight.cols && known.ld == weight.ld;
}

// Index of the packed form of a weight, with one more user; -1: out of memory.
static int32_t shareWeight(Runtime& runtime, const Operand& weight, bool transpose) {
	int32_t count = (int32_t)runtime.packed.size, vacant = count;
	for (int32_t i = 0; i < count; i++) {
		PackedWeight& known = runtime.packed.data[i];
		if (sameWeight(known, weight, transpose)) return known.users++, i;
		if (known.users == 0) vacant = i;
	}
	if (vacant == count && !runtime.packed.reserve(count + 32, true)) return -1;
	runtime.packed.data[vacant] = {weight, transpose, 1, true, {}};
	return vacant;
}

static void forgetWeights(Runtime& runtime, Program& program) {
	for (int32_t i = 0; i < program.count; i++) {
		int32_t index = program.instructions.data[i].packed;
		if (index < 0 || --runtime.packed.data[index].users > 0) continue;
		runtime.packed.data[index].packed.free();
	}
}

// Give every product with one whole weight matrix on its right the packed form of it.
static bool shareWeights(Runtime& runtime, Program& program) {
	Kernel matmul = kernelAt(*runtime.set.isa, runtime.matmul)->kernel;
	for (int32_t i = 0; i < program.count; i++) {
		Instruction& instruction = program.instructions.data[i];
		if (instruction.kernel != matmul || instruction.operands[1].space != parameters) continue;
		const Operand &a = instruction.operands[0], &b = instruction.operands[1];
		bool transposeA = instruction.attributes[0].i, transposeB = instruction.attributes[1].i;
		int32_t batch = instruction.attributes[2].i;
		int32_t depth = transposeA ? a.rows / (batch > 0 ? batch : 1) : a.cols;
		if ((transposeB ? b.cols : b.rows) != depth) continue;
		if (transposeB && batch != 1) continue;
		instruction.packed = shareWeight(runtime, b, transposeB);
		if (instruction.packed < 0) return forgetWeights(runtime, program), false;
	}
	return true;
}

// Make room for the packed weights a program needs and that are stale.
static bool preparePacked(Runtime& runtime, const Program& program) {
	for (int32_t i = 0; i < program.count; i++) {
		int32_t index = program.instructions.data[i].packed;
		if (index < 0) continue;
		PackedWeight& weight = runtime.packed.data[index];
		int32_t depth = weight.transpose ? weight.weight.cols : weight.weight.rows;
		int32_t columns = weight.transpose ? weight.weight.rows : weight.weight.cols;
		if (!weight.packed.reserve(runtime.set.isa->packedFloats(depth, columns), false)) return false;
	}
	return true;
}

static Matrix matrixOf(const Operand& operand, float* const* bases) {
	if (operand.rows == 0) return {nullptr, 0, 0, 0};
	return {bases[operand.space] + operand.offset, operand.rows, operand.cols, operand.ld};
}

// This thread's share of packing all stale weights that have a buffer.
static void packWeights(Runtime& runtime, int32_t thread) {
	float* bases[spaceCount] = {runtime.spaces[parameters].data};
	for (size_t i = 0; i < runtime.packed.size; i++) {
		PackedWeight& weight = runtime.packed.data[i];
		if (weight.users == 0 || !weight.stale || !weight.packed.data) continue;
		runtime.set.isa->pack(matrixOf(weight.weight, bases), weight.transpose, weight.packed.data, thread, runtime.team.threads);
	}
}

// ---- running ----

// What stays the same over the instructions of one run of a program.
struct Context {
	float* bases[spaceCount];
	Call call;
};

static Context contextOf(Runtime& runtime, const Program& program, int32_t thread) {
	Context context = {};
	for (int32_t space = 0; space < spaceCount; space++) context.bases[space] = runtime.spaces[space].data;
	context.bases[constants] = (float*)program.constants;
	context.bases[arena] = program.update ? runtime.updateArena.data : runtime.arenas[thread].data;
	context.call.seed[0] = runtime.job.seed[0];
	context.call.seed[1] = runtime.job.seed[1];
	context.call.step = runtime.job.step;
	context.call.parts = 1;
	context.call.scratch = &runtime.scratch[thread];
	return context;
}

static void execute(Runtime& runtime, Context& context, const Instruction& instruction, int32_t firstPart, int32_t endPart) {
	Matrix in[maximumOperands] = {}, out[maximumOperands] = {};
	for (int32_t i = 0; i < instruction.inputs; i++) in[i] = matrixOf(instruction.operands[i], context.bases);
	for (int32_t i = 0; i < instruction.outputs; i++) out[i] = matrixOf(instruction.operands[instruction.inputs + i], context.bases);
	Call& call = context.call;
	call.in = in;
	call.out = out;
	call.attributes = instruction.attributes;
	call.packed = instruction.packed < 0 ? nullptr : runtime.packed.data[instruction.packed].packed.data;
	call.parts = instruction.parts;
	for (call.part = firstPart; call.part < endPart; call.part++) instruction.kernel(call);
}

static void runBody(Runtime& runtime, const MicroBatch& batch, int32_t thread) {
	const Program& program = *programAt(runtime, batch.program);
	Context context = contextOf(runtime, program, thread);
	context.bases[gradients] = runtime.spaces[slices].data + batch.slice * runtime.job.gradientWords;
	context.bases[inputs] += batch.inputs;
	context.bases[outputs] += batch.outputs;
	context.call.firstSequence = batch.firstSequence;
	for (int32_t i = 0; i < program.count; i++) execute(runtime, context, program.instructions.data[i], 0, 1);
}

// Take slices until there are none: zero the slice's gradients, then its micro-batches in order.
static void runSlices(Runtime& runtime, int32_t thread) {
	const Job& job = runtime.job;
	for (;;) {
		int32_t slice = __atomic_fetch_add(&runtime.nextSlice, 1, __ATOMIC_RELAXED);
		if (slice >= job.slices) return;
		float* sums = runtime.spaces[slices].data + slice * job.gradientWords;
		if (job.gradientWords) __builtin_memset(sums, 0, (size_t)job.gradientWords * sizeof(float));
		for (int32_t i = 0; i < job.microBatches; i++) {
			MicroBatch batch = microBatchAt(job, i);
			if (batch.slice == slice) runBody(runtime, batch, thread);
		}
	}
}

// All threads walk the same instructions. One of a single part is done by thread 0; a barrier stands only where work
// passes between threads: before and after each instruction of many parts.
static void runUpdate(Runtime& runtime, const Update& update, int32_t thread) {
	const Program& program = *programAt(runtime, update.program);
	Context context = contextOf(runtime, program, thread);
	context.bases[state] += update.state;
	const int32_t threads = runtime.team.threads;
	bool alone = false;  // thread 0 has done something since the last barrier
	for (int32_t i = 0; i < program.count; i++) {
		const Instruction& instruction = program.instructions.data[i];
		if (instruction.parts == 1 || threads == 1) {
			if (thread == 0) execute(runtime, context, instruction, 0, instruction.parts);
			alone = true;
			continue;
		}
		if (alone) runtime.team.barrier(thread);
		alone = false;
		int64_t parts = instruction.parts;
		execute(runtime, context, instruction, (int32_t)(parts * thread / threads), (int32_t)(parts * (thread + 1) / threads));
		runtime.team.barrier(thread);
	}
	if (alone && threads > 1) runtime.team.barrier(thread);
}

static void runJob(void* data, int32_t thread) {
	Runtime& runtime = *(Runtime*)data;
	const Job& job = runtime.job;
	const bool many = runtime.team.threads > 1;
	if (runtime.packing) {
		packWeights(runtime, thread);
		if (many) runtime.team.barrier(thread);
	}
	if (job.microBatches) {
		runSlices(runtime, thread);
		if (many) runtime.team.barrier(thread);
	}
	for (int32_t i = 0; i < job.updates; i++) runUpdate(runtime, updateAt(job, i), thread);
}

// ---- checking a job ----

static bool fits(const Runtime& runtime, const Program& program, Space space, int64_t offset) {
	return offset >= 0 && offset + program.extent[space] <= (int64_t)runtime.spaces[space].size;
}

static Failure checkProgram(Runtime& runtime, int32_t id, bool update, int64_t inputsOffset, int64_t outputsOffset, int64_t stateOffset) {
	const Program* program = programAt(runtime, id);
	if (!program || program->update != update) return unknownProgram;
	const int64_t offsets[spaceCount] = {0, 0, 0, inputsOffset, 0, outputsOffset, 0, 0, 0, stateOffset};
	for (int32_t space = 0; space < spaceCount; space++) {
		if (space == gradients || space == arena || space == constants) continue;
		if (!fits(runtime, *program, (Space)space, offsets[space])) return outsideSpace;
	}
	if (!update && program->extent[gradients] > runtime.job.gradientWords) return outsideSpace;
	return preparePacked(runtime, *program) ? none : outOfMemory;
}

static Failure checkMicroBatches(Runtime& runtime) {
	const Job& job = runtime.job;
	if (job.slices * job.gradientWords > (int64_t)runtime.spaces[slices].size) return outsideSpace;
	int32_t before = 0;
	int64_t arenaWords = 0;
	for (int32_t i = 0; i < job.microBatches; i++) {
		MicroBatch batch = microBatchAt(job, i);
		if (batch.slice < before || batch.slice >= job.slices) return unknownSlice;
		before = batch.slice;
		Failure failure = checkProgram(runtime, batch.program, false, batch.inputs, batch.outputs, 0);
		if (failure) return failure;
		int64_t words = programAt(runtime, batch.program)->arenaWords;
		if (words > arenaWords) arenaWords = words;
	}
	// Pages of an arena are backed only when its thread touches them.
	for (int32_t thread = 0; thread < runtime.team.threads; thread++)
		if (!runtime.arenas[thread].reserve(arenaWords, false)) return outOfMemory;
	return none;
}

static Failure checkUpdates(Runtime& runtime) {
	for (int32_t i = 0; i < runtime.job.updates; i++) {
		Update update = updateAt(runtime.job, i);
		Failure failure = checkProgram(runtime, update.program, true, 0, 0, update.state);
		if (failure) return failure;
		if (!runtime.updateArena.reserve(programAt(runtime, update.program)->arenaWords, false)) return outOfMemory;
	}
	return none;
}

static Failure readJob(Job& job, const int32_t* words, int32_t count) {
	if (count < jobWords) return malformed;
	job.seed[0] = (uint32_t)words[1];
	job.seed[1] = (uint32_t)words[2];
	job.step = (uint32_t)words[3];
	job.slices = words[4];
	job.gradientWords = words[5];
	job.microBatches = words[6];
	job.updates = words[7];
	if (job.slices < 0 || job.slices > maximumCount || job.gradientWords < 0 || job.microBatches < 0 || job.updates < 0) return malformed;
	if (count != jobWords + (int64_t)job.microBatches * microBatchWords + (int64_t)job.updates * updateWords) return malformed;
	job.microBatchWords = words + jobWords;
	job.updateWords = job.microBatchWords + (int64_t)job.microBatches * microBatchWords;
	return none;
}

static Failure runWords(Runtime& runtime, const int32_t* words, int32_t count) {
	Failure failure = readJob(runtime.job, words, count);
	if (!failure) failure = checkMicroBatches(runtime);
	if (!failure) failure = checkUpdates(runtime);
	if (failure) return failure;
	if (words[0] & 1)
		for (size_t i = 0; i < runtime.packed.size; i++) runtime.packed.data[i].stale = true;
	runtime.nextSlice = 0;
	runtime.packing = false;
	for (size_t i = 0; i < runtime.packed.size; i++)
		if (runtime.packed.data[i].stale && runtime.packed.data[i].packed.data) runtime.packing = true;
	if (runtime.team.threads > 1)
		runtime.team.run(runJob, &runtime);
	else
		runJob(&runtime, 0);
	for (size_t i = 0; i < runtime.packed.size; i++)
		if (runtime.packed.data[i].packed.data) runtime.packed.data[i].stale = false;
	for (int32_t thread = 0; thread < runtime.team.threads; thread++) {
		if (runtime.scratch[thread].failed) failure = outOfMemory;
		runtime.scratch[thread].failed = false;
	}
	return failure;
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
