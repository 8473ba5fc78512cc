#include "base/lock.h"

#include "base/ensure.h"

#include <stddef.h>

struct role role_worker;
struct role role_watchdog;
struct role role_admin;
struct role role_store;
struct role role_feed;

#ifdef PRESENCED_DEBUG

/* owner: this thread. The one lock it holds, or NULL. */
static _Thread_local struct lock *held;

static void held_add(struct lock *l)
{
	/* First the order, so that a breach of it is called by its name; then the stricter aim. */
	ensure(!held || held->rank < l->rank);
	ensure(!held && "a thread holds one lock at most");
	held = l;
}

static void held_remove(struct lock *l)
{
	ensure(held == l);
	held = NULL;
}

#else

static void held_add(struct lock *l)
{
	(void)l;
}

static void held_remove(struct lock *l)
{
	(void)l;
}

#endif

void lock_init(struct lock *l, enum lock_rank rank)
{
	ensure(rank > RANK_NONE && rank < RANK_N);
	ensure(pthread_mutex_init(&l->mutex, NULL) == 0);
	l->rank = rank;
}

void lock_destroy(struct lock *l)
{
	ensure(pthread_mutex_destroy(&l->mutex) == 0);
	l->rank = RANK_NONE;
}

/* Not analysed: to clang a pthread_mutex_t is no capability, and this is where ours is made of it. */
NO_THREAD_SAFETY_ANALYSIS void lock_acquire(struct lock *l)
{
	/* Before waiting: a breach is reported even where it would deadlock. */
	held_add(l);
	ensure(pthread_mutex_lock(&l->mutex) == 0);
}

NO_THREAD_SAFETY_ANALYSIS void lock_release(struct lock *l)
{
	held_remove(l);
	ensure(pthread_mutex_unlock(&l->mutex) == 0);
}
