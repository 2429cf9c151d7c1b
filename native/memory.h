// Memory of the runtime: zeroed, 64-byte aligned, lazily backed where the system can, so that the thread which first
// touches a page owns it. Null when there is none left. Any thread.
#pragma once
#include <stddef.h>

namespace rivulet {

void* allocate(size_t bytes);
// `bytes` as given to allocate(); null is allowed.
void release(void* memory, size_t bytes);

// A buffer that only grows.
template <typename T>
struct Buffer {
	T* data = nullptr;
	size_t size = 0;

	// At least `count` elements: old ones kept and new ones zero if `keep`, else any. False: out of memory.
	bool reserve(size_t count, bool keep) {
		if (count <= size) return true;
		if (count > ((size_t)-1 >> 1) / sizeof(T)) return false;
		if (!keep) free();
		T* larger = (T*)allocate(count * sizeof(T));
		if (!larger) return false;
		if (keep && size) __builtin_memcpy(larger, data, size * sizeof(T));
		free();
		data = larger;
		size = count;
		return true;
	}
	void free() {
		release(data, size * sizeof(T));
		data = nullptr;
		size = 0;
	}
	size_t bytes() const { return size * sizeof(T); }
};

}  // namespace rivulet
