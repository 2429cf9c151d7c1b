// The team of threads: one barrier, from which everything else is made.
#include "threads.h"

#if !defined(__wasm__)
#include <time.h>
#endif

namespace rivulet {

// Long enough to bridge the gap between two instructions or two tokens, too short to be felt.
static const int32_t spins = 4000;

[[maybe_unused]] static inline void pause() {
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

void Team::barrier(int32_t thread) {
	int32_t now = __atomic_load_n(&phase, __ATOMIC_RELAXED);
	if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == threads) {
		__atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&phase, now + 1, __ATOMIC_SEQ_CST);
		wakeAll();
	} else {
		waitWhile(now, thread);
	}
}

void Team::run(void (*work)(void*, int32_t), void* data) {
	task = work;
	context = data;
	barrier(0);
	work(data, 0);
	barrier(0);
}

void Team::member(int32_t thread) {
	for (;;) {
		barrier(thread);
		if (stop) return;
		task(context, thread);
		barrier(thread);
	}
}

#if defined(__wasm__)

// A worker without a pause instruction: an atomic load costs about as much.
void Team::waitWhile(int32_t value, int32_t thread) {
	bool sleeps = thread > 0 || callerSleeps;
	for (int32_t i = 0; !sleeps || i < spins * 4; i++)
		if (__atomic_load_n(&phase, __ATOMIC_ACQUIRE) != value) return;
	while (__atomic_load_n(&phase, __ATOMIC_ACQUIRE) == value) __builtin_wasm_memory_atomic_wait32(&phase, value, -1);
}

void Team::wakeAll() { __builtin_wasm_memory_atomic_notify((int*)&phase, 0x7fffffff); }

bool Team::start(int32_t count) {
	threads = count;
	return true;
}

void Team::finish() {
	stop = true;
	if (threads > 1) barrier(0);
}

extern "C" __attribute__((import_module("host"), import_name("seconds"))) double hostSeconds();
double seconds() { return hostSeconds(); }

#else

void Team::waitWhile(int32_t value, int32_t) {
	for (int32_t i = 0; i < spins; i++) {
		if (__atomic_load_n(&phase, __ATOMIC_ACQUIRE) != value) return;
		pause();
	}
	pthread_mutex_lock(&mutex);
	__atomic_add_fetch(&sleepers, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&phase, __ATOMIC_SEQ_CST) == value) pthread_cond_wait(&wake, &mutex);
	__atomic_sub_fetch(&sleepers, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&mutex);
}

// The phase is stored before sleepers is read, and the other way round in waitWhile: no wake-up is lost.
void Team::wakeAll() {
	if (__atomic_load_n(&sleepers, __ATOMIC_SEQ_CST) == 0) return;
	pthread_mutex_lock(&mutex);
	pthread_cond_broadcast(&wake);
	pthread_mutex_unlock(&mutex);
}

static void* enter(void* argument) {
	Team::Member* self = (Team::Member*)argument;
	self->team->member(self->thread);
	return nullptr;
}

bool Team::start(int32_t count) {
	pthread_mutex_init(&mutex, nullptr);
	pthread_cond_init(&wake, nullptr);
	threads = count;
	for (int32_t i = 1; i < count; i++) {
		members[i] = {this, i, {}};
		if (pthread_create(&members[i].handle, nullptr, enter, &members[i])) {
			threads = i;
			return false;
		}
	}
	return true;
}

void Team::finish() {
	stop = true;
	if (threads > 1) barrier(0);
	for (int32_t i = 1; i < threads; i++) pthread_join(members[i].handle, nullptr);
	pthread_cond_destroy(&wake);
	pthread_mutex_destroy(&mutex);
}

double seconds() {
	timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

#endif

}  // namespace rivulet
