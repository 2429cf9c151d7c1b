// Memory from the system: mmap with huge pages for large blocks, or growing linear memory in wasm.
#include "memory.h"

#if defined(__wasm__)
#include <stdint.h>

// A first-fit list of free blocks in order of address, neighbours joined; sizes are multiples of 64 bytes.
namespace rivulet {

struct Free {
	size_t size;
	Free* next;
};

static Free* freeList = nullptr;
static int32_t lock = 0;
static const size_t pageBytes = 65536;

struct Locked {
	Locked() {
		while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE)) {
		}
	}
	~Locked() { __atomic_store_n(&lock, 0, __ATOMIC_RELEASE); }
};

static size_t rounded(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

static void insert(void* memory, size_t size) {
	Free** place = &freeList;
	Free* before = nullptr;
	while (*place && (void*)*place < memory) before = *place, place = &(*place)->next;
	Free* block = (Free*)memory;
	*block = {size, *place};
	*place = block;
	if (block->next && (char*)block + block->size == (char*)block->next) {
		block->size += block->next->size;
		block->next = block->next->next;
	}
	if (before && (char*)before + before->size == (char*)block) {
		before->size += block->size;
		before->next = block->next;
	}
}

static void* take(size_t size) {
	for (Free** place = &freeList; *place; place = &(*place)->next) {
		Free* block = *place;
		if (block->size < size) continue;
		if (block->size > size) {
			Free* rest = (Free*)((char*)block + size);
			*rest = {block->size - size, block->next};
			*place = rest;
		} else {
			*place = block->next;
		}
		return block;
	}
	return nullptr;
}

// The memory that is there from the start, behind the module's own data. It is large, so that growing is rare: an engine may
// check bounds against a size that another thread's growth has not reached yet.
extern "C" char __heap_base;
static bool begun = false;

static void begin() {
	if (begun) return;
	begun = true;
	size_t start = rounded((size_t)&__heap_base);
	insert((void*)start, __builtin_wasm_memory_size(0) * pageBytes - start);
}

void* allocate(size_t bytes) {
	if (bytes == 0 || bytes > 0xfff00000u) return nullptr;
	size_t size = rounded(bytes);
	void* memory;
	{
		Locked guard;
		begin();
		memory = take(size);
		if (!memory) {
			size_t pages = (size + pageBytes - 1) / pageBytes;
			size_t first = __builtin_wasm_memory_grow(0, pages);
			if (first == (size_t)-1) return nullptr;
			insert((void*)(first * pageBytes), pages * pageBytes);
			memory = take(size);
		}
	}
	__builtin_memset(memory, 0, size);
	return memory;
}

void release(void* memory, size_t bytes) {
	if (!memory) return;
	Locked guard;
	insert(memory, rounded(bytes));
}

}  // namespace rivulet

// What the compiler itself may call where there is no libc.
extern "C" {
typedef uint8_t Sixteen __attribute__((vector_size(16), aligned(1), may_alias));

__attribute__((no_builtin("memset"))) void* memset(void* to, int value, size_t bytes) {
	const Sixteen filled = Sixteen{} + (uint8_t)value;
	uint8_t* at = (uint8_t*)to;
	for (; bytes >= 16; bytes -= 16, at += 16) *(Sixteen*)at = filled;
	for (; bytes > 0; bytes--) *at++ = (uint8_t)value;
	return to;
}

__attribute__((no_builtin("memcpy"))) void* memcpy(void* __restrict to, const void* __restrict from, size_t bytes) {
	uint8_t* at = (uint8_t*)to;
	const uint8_t* source = (const uint8_t*)from;
	for (; bytes >= 16; bytes -= 16, at += 16, source += 16) *(Sixteen*)at = *(const Sixteen*)source;
	for (; bytes > 0; bytes--) *at++ = *source++;
	return to;
}

void __cxa_pure_virtual() { __builtin_trap(); }
}

#else
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

namespace rivulet {

static const size_t large = 1 << 20, hugePage = 2 << 20;

static size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

static void* allocateLarge(size_t bytes) {
	// Whole huge pages, aligned: map one more than needed and give back both ends.
	size_t size = rounded(bytes, hugePage);
	char* mapped = (char*)mmap(nullptr, size + hugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mapped == MAP_FAILED) return nullptr;
	char* aligned = (char*)rounded((uintptr_t)mapped, hugePage);
	if (aligned > mapped) munmap(mapped, aligned - mapped);
	if (aligned < mapped + hugePage) munmap(aligned + size, mapped + hugePage - aligned);
#if defined(MADV_HUGEPAGE)
	madvise(aligned, size, MADV_HUGEPAGE);
#endif
	return aligned;
}

void* allocate(size_t bytes) {
	if (bytes == 0 || bytes > PTRDIFF_MAX - 2 * hugePage) return nullptr;
	if (bytes >= large) return allocateLarge(bytes);
	void* memory = nullptr;
	if (posix_memalign(&memory, 64, rounded(bytes, 64))) return nullptr;
	memset(memory, 0, bytes);
	return memory;
}

void release(void* memory, size_t bytes) {
	if (!memory) return;
	if (bytes >= large)
		munmap(memory, rounded(bytes, hugePage));
	else
		free(memory);
}

}  // namespace rivulet
#endif
