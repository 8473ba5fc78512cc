/* Locks with ranks, and the roles of threads.
 *
 * The order of locks is this enum: a thread may take a lock only of a higher rank than the one it
 * holds, and the aim is stricter: no thread holds two. Debug builds check both and abort. No lock is
 * held over a system call, logging or a call out of the module that owns it.
 *
 * A role is a capability that nobody locks: a thread's entry function says which role it has
 * (role_worker_begin() ...), and clang then warns where a worker calls what belongs to the watchdog. */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include "base/compiler.h"

#include <pthread.h>

enum lock_rank { RANK_NONE, RANK_STRIPE, RANK_FEED, RANK_STREAMS, RANK_LIVE, RANK_LOG, RANK_N };

struct CAPABILITY("mutex") lock {
	pthread_mutex_t mutex;
	enum lock_rank rank;
};

void lock_init(struct lock *, enum lock_rank);
void lock_destroy(struct lock *);
void lock_acquire(struct lock *l) ACQUIRE(*l);
void lock_release(struct lock *l) RELEASE(*l);

struct CAPABILITY("role") role {
	char unused;
};

extern struct role role_worker; /* one of the worker threads */
extern struct role role_watchdog; /* the watchdog thread */
extern struct role role_admin; /* the admin HTTP thread */
extern struct role role_store; /* the store's thread */
extern struct role role_feed; /* the feed thread */

/* Said once, by the thread's entry function: from here on it has the role. No code at run time. */
static inline void role_worker_begin(void) ASSERT_CAPABILITY(role_worker)
{
}
static inline void role_watchdog_begin(void) ASSERT_CAPABILITY(role_watchdog)
{
}
static inline void role_admin_begin(void) ASSERT_CAPABILITY(role_admin)
{
}
static inline void role_store_begin(void) ASSERT_CAPABILITY(role_store)
{
}
static inline void role_feed_begin(void) ASSERT_CAPABILITY(role_feed)
{
}

#endif
