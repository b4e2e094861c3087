/* A pool of threads that stay, so that a batch of microseconds can be shared.

   A worker looks at a counter for a while before it sleeps: waking it takes longer than a step of
   the small model. One call at a time has the pool; others, and one thread alone, do without. */
#include "native.h"

#if defined(_WIN32)
void in_parts(void (*work)(void *, int), void *context, int parts) {
    for (int part = 0; part < parts; part++) work(context, part);
}
#else
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#define MOST 64
#define SPINS 20000 /* some 50 microseconds */

#if defined(__x86_64__)
#define PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define PAUSE() __asm__ volatile("yield")
#else
#define PAUSE() ((void)0)
#endif

static pthread_mutex_t in_use = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static pid_t owner;                  /* a forked child has none of its parent's threads */
static int workers;
static atomic_uint turn[MOST];       /* of worker i: counts the parts it was given */
static atomic_int asleep, pending;
static void (*the_work)(void *, int);
static void *the_context;

static void *worker(void *number) {
    const int i = (int)(intptr_t)number;
    unsigned done = 0;
    for (;;) {
        for (int spin = 0; spin < SPINS && atomic_load(&turn[i]) == done; spin++) PAUSE();
        if (atomic_load(&turn[i]) == done) {
            pthread_mutex_lock(&lock);
            atomic_fetch_add(&asleep, 1);
            while (atomic_load(&turn[i]) == done) pthread_cond_wait(&wake, &lock);
            atomic_fetch_sub(&asleep, 1);
            pthread_mutex_unlock(&lock);
        }
        done++;
        the_work(the_context, i + 1);
        atomic_fetch_sub(&pending, 1);
    }
    return NULL;
}

/* Have `count` workers, if the machine allows; return how many there are. */
static int hire(int count) {
    if (owner != getpid()) {
        static const pthread_mutex_t fresh_lock = PTHREAD_MUTEX_INITIALIZER;
        static const pthread_cond_t fresh_wake = PTHREAD_COND_INITIALIZER;
        owner = getpid();
        lock = fresh_lock;
        wake = fresh_wake;
        workers = asleep = pending = 0;
        for (int i = 0; i < MOST; i++) turn[i] = 0;
    }
    while (workers < count && workers < MOST) {
        pthread_t thread;
        turn[workers] = 0;
        if (pthread_create(&thread, NULL, worker, (void *)(intptr_t)workers)) break;
        pthread_detach(thread);
        workers++;
    }
    return workers < count ? workers : count;
}

void in_parts(void (*work)(void *, int), void *context, int parts) {
    int shared = 0;
    if (parts > 1 && !pthread_mutex_trylock(&in_use)) {
        shared = hire(parts - 1);
        the_work = work;
        the_context = context;
        atomic_store(&pending, shared);
        for (int i = 0; i < shared; i++) atomic_fetch_add(&turn[i], 1);
        if (atomic_load(&asleep)) {
            pthread_mutex_lock(&lock);
            pthread_cond_broadcast(&wake);
            pthread_mutex_unlock(&lock);
        }
        work(context, 0);
        for (int part = shared + 1; part < parts; part++) work(context, part);
        for (int spin = 0; atomic_load(&pending); spin++)
            if (spin < SPINS) PAUSE();
            else sched_yield();
        pthread_mutex_unlock(&in_use);
        return;
    }
    for (int part = 0; part < parts; part++) work(context, part);
}
#endif
