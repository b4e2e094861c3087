/* A pool of threads that stay, so that even a batch of microseconds can be shared.

   A worker looks for parts for a while before it sleeps: waking it takes longer than a step of the
   small model. Whoever is free takes the next part, so that the caller does not wait for a worker
   to which the system gives no core. One call at a time has the pool; others do without. */
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

#define LOOKS 2000 /* some 100 microseconds */

static pthread_mutex_t in_use = PTHREAD_MUTEX_INITIALIZER, lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static pid_t owner;         /* a forked child has none of its parent's threads */
static int workers;
static atomic_ullong parts_left; /* how many parts, times 2 ** 32, and the next one */
static atomic_int asleep, unfinished;
static void (*the_work)(void *, int);
static void *the_context;

/* Compute the next part; return 0 if there is none. */
static int take_part(void) {
    unsigned long long left = atomic_load(&parts_left);
    do
        if ((uint32_t)left >= left >> 32) return 0;
    while (!atomic_compare_exchange_weak(&parts_left, &left, left + 1));
    the_work(the_context, (int)(uint32_t)left);
    atomic_fetch_sub(&unfinished, 1);
    return 1;
}

static void pause_a_little(int looks) {
    if (looks > LOOKS) sched_yield();
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void *worker(void *unused) {
    for (int looks = 0;; looks++) {
        if (take_part()) looks = 0;
        pause_a_little(looks);
        if (looks < LOOKS) continue;
        pthread_mutex_lock(&lock);
        atomic_fetch_add(&asleep, 1);
        for (unsigned long long left; left = atomic_load(&parts_left), (uint32_t)left >= left >> 32;)
            pthread_cond_wait(&wake, &lock);
        atomic_fetch_sub(&asleep, 1);
        pthread_mutex_unlock(&lock);
    }
    return unused;
}

void in_parts(void (*work)(void *, int), void *context, int parts) {
    if (parts == 1 || pthread_mutex_trylock(&in_use)) {
        for (int part = 0; part < parts; part++) work(context, part);
        return;
    }
    if (owner != getpid()) {
        owner = getpid();
        workers = asleep = 0;
        pthread_mutex_init(&lock, NULL);
        pthread_cond_init(&wake, NULL);
    }
    for (pthread_t thread; workers < parts - 1; workers++) {
        if (pthread_create(&thread, NULL, worker, NULL)) break; /* fewer do it too */
        pthread_detach(thread);
    }
    the_work = work;
    the_context = context;
    atomic_store(&unfinished, parts);
    atomic_store(&parts_left, (unsigned long long)parts << 32);
    if (atomic_load(&asleep)) {
        pthread_mutex_lock(&lock);
        pthread_cond_broadcast(&wake);
        pthread_mutex_unlock(&lock);
    }
    while (take_part()) continue;
    for (int looks = 0; atomic_load(&unfinished); looks++) pause_a_little(looks);
    pthread_mutex_unlock(&in_use);
}
#endif
