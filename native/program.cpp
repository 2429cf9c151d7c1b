// Reading a program's words. Nothing in them is trusted: a wrong one must end as an error code, never as a stray access.
#include "program.h"

namespace rivulet {

static bool same(const char* a, const char* b) {
	while (*a && *a == *b) a++, b++;
	return *a == *b;
}

int32_t kernelIndex(const Isa& isa, const char* name) {
	int32_t index = 0;
	for (int32_t file = 0; isa.files[file]; file++)
		for (const KernelEntry* entry = isa.files[file]; entry->name; entry++, index++)
			if (same(entry->name, name)) return index;
	return -1;
}

const KernelEntry* kernelAt(const Isa& isa, int32_t index) {
	if (index < 0) return nullptr;
	for (int32_t file = 0; isa.files[file]; file++)
		for (const KernelEntry* entry = isa.files[file]; entry->name; entry++, index--)
			if (index == 0) return entry;
	return nullptr;
}

static int32_t length(const char* text) {
	int32_t n = 0;
	while (text[n]) n++;
	return n;
}

// Two words, the low one of 31 bits.
static int64_t wide(int32_t low, int32_t high) { return (int64_t)high * 2147483648ll + low; }

static const int32_t headerWords = 5, instructionWords = 6, operandWords = 6;
static const int64_t largestOffset = 1ll << 40;

static Failure readOperand(Program& program, const int32_t* words, bool required, Operand& operand) {
	operand = {words[0], wide(words[1], words[2]), words[3], words[4], words[5]};
	if (operand.rows == 0) return required ? wrongOperands : none;
	if (operand.rows < 0 || operand.cols <= 0 || operand.ld < 0 || (operand.rows > 1 && operand.ld < operand.cols)) return malformed;
	if (operand.space < 0 || operand.space >= spaceCount || words[1] < 0 || words[2] < 0 || operand.offset > largestOffset)
		return outsideSpace;
	if (operand.space == (program.update ? gradients : slices) || (!program.update && operand.space == state)) return wrongSpace;
	int64_t end = operand.offset + (int64_t)(operand.rows - 1) * operand.ld + operand.cols;
	if (end > program.extent[operand.space]) program.extent[operand.space] = end;
	return none;
}

// One instruction of `size` words; its operands go to `operands`.
static Failure readInstruction(Program& program, const Isa& isa, const int32_t* words, int32_t size, Instruction& instruction,
                               Operand* operands) {
	const KernelEntry* entry = kernelAt(isa, words[0]);
	if (!entry) return unknownKernel;
	int32_t parts = words[2], ins = words[3], outs = words[4], attributes = words[5];
	if (parts < 1 || parts > maximumCount) return malformed;
	if (parts > 1 && !program.update) return wrongSpace;
	if (ins != length(entry->inputs) || outs != length(entry->outputs) || attributes != entry->attributes) return wrongOperands;
	if (size != instructionWords + operandWords * (ins + outs) + attributes) return malformed;
	const int32_t* next = words + instructionWords;
	for (int32_t i = 0; i < ins + outs; i++, next += operandWords) {
		char kind = i < ins ? entry->inputs[i] : entry->outputs[i - ins];
		Failure failure = readOperand(program, next, kind == 'm', operands[i]);
		if (failure) return failure;
	}
	instruction = {entry->kernel, parts, operands, ins, outs, (const Word*)next, -1};
	return none;
}

static Failure read(Program& program, const Isa& isa, int32_t count) {
	const int32_t* words = program.words.data;
	if (count < headerWords || (words[0] != 0 && words[0] != 1) || words[1] < 0 || words[2] < 0 || words[3] < 0 || words[4] < 0)
		return malformed;
	program.update = words[0] == 1;
	program.count = words[1];
	program.arenaWords = wide(words[3], words[4]);
	if (words[2] > count - headerWords || program.count > count / instructionWords || program.arenaWords > largestOffset) return malformed;
	program.constants = words + headerWords;
	// An operand has operandWords words, so there cannot be more of them than this.
	if (!program.operands.reserve(count / operandWords + 1, false) || !program.instructions.reserve(program.count + 1, false))
		return outOfMemory;
	Operand* operands = program.operands.data;
	int32_t position = headerWords + words[2];
	for (int32_t i = 0; i < program.count; i++) {
		if (count - position < instructionWords) return malformed;
		int32_t size = words[position + 1];
		if (size < instructionWords || size > count - position) return malformed;
		Instruction& instruction = program.instructions.data[i];
		Failure failure = readInstruction(program, isa, words + position, size, instruction, operands);
		if (failure) return failure;
		operands += instruction.inputs + instruction.outputs;
		position += size;
	}
	if (position != count) return malformed;
	if (program.extent[arena] > program.arenaWords || program.extent[constants] > words[2]) return outsideSpace;
	return none;
}

Failure decode(Program& program, const Isa& isa, const int32_t* words, int32_t count) {
	program = Program{};
	if (count < headerWords) return malformed;
	if (!program.words.reserve(count, false)) return outOfMemory;
	__builtin_memcpy(program.words.data, words, (size_t)count * sizeof(int32_t));
	Failure failure = read(program, isa, count);
	if (failure) release(program);
	return failure;
}

void release(Program& program) {
	program.words.free();
	program.operands.free();
	program.instructions.free();
	program = Program{};
}

}  // namespace rivulet
