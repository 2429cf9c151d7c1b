// Jobs: reading and checking their words, then slices and updates on the team of threads.
#include "runtime.h"

namespace rivulet {

struct MicroBatch {
	int32_t program, slice;
	int64_t inputs, outputs;
	uint32_t firstSequence;
};

struct Update {
	int32_t program;
	int64_t state;
};

static const int32_t microBatchWords = 5, updateWords = 2, jobWords = 8;

static MicroBatch microBatchAt(const Job& job, int32_t i) {
	const int32_t* words = job.microBatchWords + (int64_t)i * microBatchWords;
	return {words[0], words[1], words[2], words[3], (uint32_t)words[4]};
}

static Update updateAt(const Job& job, int32_t i) {
	const int32_t* words = job.updateWords + (int64_t)i * updateWords;
	return {words[0], words[1]};
}

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

Failure runWords(Runtime& runtime, const int32_t* words, int32_t count) {
	Failure failure = readJob(runtime.job, words, count);
	if (!failure) failure = checkMicroBatches(runtime);
	if (!failure) failure = checkUpdates(runtime);
	if (failure) return failure;
	runtime.packing = mustPack(runtime, words[0] & 1);
	runtime.nextSlice = 0;
	if (runtime.team.threads > 1)
		runtime.team.run(runJob, &runtime);
	else
		runJob(&runtime, 0);
	markPacked(runtime);
	for (int32_t thread = 0; thread < runtime.team.threads; thread++) {
		if (runtime.scratch[thread].failed) failure = outOfMemory;
		runtime.scratch[thread].failed = false;
	}
	return failure;
}

}  // namespace rivulet
