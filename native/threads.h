// A fixed team of threads. The caller of run() is thread 0 and works along; the others live as long as the team, spin
// for a moment between jobs and then sleep. POSIX threads, or in wasm workers that call teamMember().
#pragma once
#include <stdint.h>
#if !defined(__wasm__)
#include <pthread.h>
#endif

namespace rivulet {

constexpr int32_t maximumThreads = 64;

struct Team {
	int32_t threads = 1;
	void (*task)(void* context, int32_t thread) = nullptr;
	void* context = nullptr;
	int32_t arrived = 0, phase = 0;
	bool stop = false;
	// False where thread 0 must not sleep: the main thread of a browser.
	bool callerSleeps = true;
#if !defined(__wasm__)
	int32_t sleepers = 0;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct Member {
		Team* team;
		int32_t thread;
		pthread_t handle;
	} members[maximumThreads];
#endif

	// Start count - 1 threads (in wasm the host starts them). False when the system refuses; finish() is due even then.
	bool start(int32_t count);
	void finish();
	// Run task(context, thread) on every thread and wait for all.
	void run(void (*work)(void*, int32_t), void* data);
	// To be called by every thread of the team: returns when all have. All writes before are visible after.
	void barrier(int32_t thread);

	// What every thread but the caller does until finish().
	void member(int32_t thread);

 private:
	void waitWhile(int32_t value, int32_t thread);
	void wakeAll();
};

// Seconds on a clock that only goes forward.
double seconds();

}  // namespace rivulet
