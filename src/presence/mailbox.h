/* A mailbox: how other threads reach a worker, or the watchdog, without waiting for it.
 *
 * Four kinds of mail. Events: a bounded ring, many producers, one consumer (after D. Vyukov's bounded MPMC
 * queue, one end of it). Links: an intrusive stack that can't overflow, since each link is in it at
 * most once. Questions: the same, in a stack of their own (see inquiry.h). And the resync flag, raised where an event met a full ring: the owner then reads again all that
 * it watches, so that nothing is lost for good and nobody ever waits under a stripe's lock.
 *
 * Threads  mailbox_post, _push, _leave, _remind, _ask, _raise_resync: any. The rest: the owner.
 * Waking   This room makes no system calls: a producer is told whether the owner sleeps, and whoever is told so
 *          must signal the owner's wake-up descriptor, once it holds no lock. Publishing and the sleep
 *          word are sequentially consistent on both sides (Dekker's pattern): either the producer sees the
 *          owner asleep or the owner sees the mail.
 * Memory   fixed at creation. */
#ifndef PRESENCE_MAILBOX_H
#define PRESENCE_MAILBOX_H

#include "base/compiler.h"
#include "presence/event.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct mailbox_link {
	struct mailbox_link *next;
};

struct mailbox_cell {
	_Atomic uint64_t turn; /* which turn of the ring this cell is ready for */
	struct event *event;
};

struct mailbox {
	/* const after start */
	struct mailbox_cell *cells;
	uint64_t mask;
	/* atomic: producers -> producers */
	CACHE_ALIGNED _Atomic uint64_t tail;
	/* atomic: producers -> owner */
	CACHE_ALIGNED _Atomic(struct mailbox_link *) links;
	_Atomic(struct mailbox_link *) questions;
	_Atomic bool needs_resync;
	/* atomic: owner <-> producers */
	CACHE_ALIGNED _Atomic bool is_asleep;
	/* owner */
	CACHE_ALIGNED uint64_t head;
};

/* 'capacity' events, a power of two and not 1; 0 where only links come. */
int mailbox_init(struct mailbox *, uint64_t capacity);
void mailbox_destroy(struct mailbox *); /* drops what is still in it */

/* Takes a reference of its own to the event. False: the ring was full, and the resync flag is raised instead.
 * Either way '*ret_wake' becomes true, if it wasn't, where the owner must be woken. */
bool mailbox_post(struct mailbox *, struct event *, bool *ret_wake);
/* True where the owner must be woken. */
bool mailbox_push(struct mailbox *, struct mailbox_link *);
/* The same of a link that can wait until the owner looks by itself, or is reminded: _remind() is true where it has links, and
 * must be woken for them. */
void mailbox_leave(struct mailbox *, struct mailbox_link *);
bool mailbox_remind(struct mailbox *);
bool mailbox_ask(struct mailbox *, struct mailbox_link *);
bool mailbox_raise_resync(struct mailbox *);

/* The next event, its reference now the caller's; NULL when there is none. */
struct event *mailbox_take(struct mailbox *);
/* All links, oldest first; NULL when there are none. */
struct mailbox_link *mailbox_take_links(struct mailbox *);
struct mailbox_link *mailbox_take_questions(struct mailbox *);
/* Whether a resync was asked for; asks no more. */
bool mailbox_take_resync(struct mailbox *);

uint64_t mailbox_posted(const struct mailbox *); /* events, ever; any thread */
uint64_t mailbox_depth(const struct mailbox *); /* events waiting, about; the owner */
bool mailbox_has_links(
	const struct mailbox *); /* any thread: whether the owner has links to take */
bool mailbox_has_questions(const struct mailbox *); /* the same of questions */

/* Whether there is mail of any kind; the owner. Sequentially consistent: the owner's half of Dekker's pattern, before a wait. */
static inline bool mailbox_has_mail(const struct mailbox *m)
{
	if (atomic_load(&m->links) || atomic_load(&m->questions) || atomic_load(&m->needs_resync))
		return true;
	return m->cells && atomic_load(&m->cells[m->head & m->mask].turn) == m->head + 1;
}

/* Before a wait: true when nothing waits and the producers have been told that the owner sleeps; false when it
 * must not. mailbox_wake() after the wait. */
bool mailbox_sleep(struct mailbox *);
void mailbox_wake(struct mailbox *);

#endif
