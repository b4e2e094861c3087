/* A pool of threads that stay, so that a batch of microseconds can be shared.

   The parts of a job are taken from a counter, by the workers and by the caller, who so computes
   what no worker has begun: on a busy machine a worker may get no core for a long time. A worker
   looks for the next job for a while before it sleeps, because waking it takes longer than a step
   of the small model. One call at a time has the pool; others, and one part alone, do without. */
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
static pid_t owner; /* a forked child has none of its parent's threads */
static int workers;
static atomic_uint jobs; /* so many were given */
static atomic_int left;  /* parts that nobody has taken; 0 or less: none */
static atomic_int busy;  /* parts that are not done */
static atomic_int asleep;
static void (*the_work)(void *, int); /* of the job, as the context; read after taking a part */
static void *the_context;

static void take_parts(void) {
    for (int part; (part = atomic_fetch_sub(&left, 1)) > 0; atomic_fetch_sub(&busy, 1))
        the_work(the_context, part);
}

static void *worker(void *unused) {
    for (unsigned seen = atomic_load(&jobs);; seen = atomic_load(&jobs)) {
        take_parts();
        for (int spin = 0; spin < SPINS && atomic_load(&jobs) == seen; spin++) PAUSE();
        if (atomic_load(&jobs) == seen) {
            pthread_mutex_lock(&lock);
            atomic_fetch_add(&asleep, 1);
            while (atomic_load(&jobs) == seen) pthread_cond_wait(&wake, &lock);
            atomic_fetch_sub(&asleep, 1);
            pthread_mutex_unlock(&lock);
        }
    }
    return unused;
}

/* Have `count` workers, or as many as the machine allows. */
static void hire(int count) {
    if (owner != getpid()) {
        static const pthread_mutex_t fresh_lock = PTHREAD_MUTEX_INITIALIZER;
        static const pthread_cond_t fresh_wake = PTHREAD_COND_INITIALIZER;
        owner = getpid();
        lock = fresh_lock;
        wake = fresh_wake;
        workers = 0;
        atomic_store(&left, 0);
        atomic_store(&asleep, 0);
    }
    for (pthread_t thread; workers < count; workers++) {
        if (pthread_create(&thread, NULL, worker, NULL)) break;
        pthread_detach(thread);
    }
}

void in_parts(void (*work)(void *, int), void *context, int parts) {
    if (parts < 2 || pthread_mutex_trylock(&in_use)) {
        for (int part = 0; part < parts; part++) work(context, part);
        return;
    }
    hire(parts - 1);
    the_work = work;
    the_context = context;
    atomic_store(&busy, parts - 1);
    atomic_store(&left, parts - 1);
    atomic_fetch_add(&jobs, 1);
    if (atomic_load(&asleep)) {
        pthread_mutex_lock(&lock);
        pthread_cond_broadcast(&wake);
        pthread_mutex_unlock(&lock);
    }
    work(context, 0);
    take_parts();
    for (int spin = 0; atomic_load(&busy); spin++)
        if (spin < SPINS) PAUSE();
        else sched_yield();
    pthread_mutex_unlock(&in_use);
}
#endif
