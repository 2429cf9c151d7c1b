// Weights in packed form: one copy for all programs that multiply by the same matrix, made anew when the weights changed.
#include "runtime.h"

namespace rivulet {

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

void forgetWeights(Runtime& runtime, Program& program) {
	for (int32_t i = 0; i < program.count; i++) {
		int32_t index = program.instructions.data[i].packed;
		if (index < 0 || --runtime.packed.data[index].users > 0) continue;
		runtime.packed.data[index].packed.free();
	}
}

bool shareWeights(Runtime& runtime, Program& program) {
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

bool preparePacked(Runtime& runtime, const Program& program) {
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

void packWeights(Runtime& runtime, int32_t thread) {
	float* bases[spaceCount] = {runtime.spaces[parameters].data};
	for (size_t i = 0; i < runtime.packed.size; i++) {
		PackedWeight& weight = runtime.packed.data[i];
		if (weight.users == 0 || !weight.stale || !weight.packed.data) continue;
		runtime.set.isa->pack(matrixOf(weight.weight, bases), weight.transpose, weight.packed.data, thread, runtime.team.threads);
	}
}

bool mustPack(Runtime& runtime, bool weightsChanged) {
	bool any = false;
	for (size_t i = 0; i < runtime.packed.size; i++) {
		PackedWeight& weight = runtime.packed.data[i];
		if (weightsChanged) weight.stale = true;
		if (weight.stale && weight.packed.data) any = true;
	}
	return any;
}

void markPacked(Runtime& runtime) {
	for (size_t i = 0; i < runtime.packed.size; i++)
		if (runtime.packed.data[i].packed.data) runtime.packed.data[i].stale = false;
}

}  // namespace rivulet
