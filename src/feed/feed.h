/* The feed: the last events of all users, in one order, for those who follow them all.
 *
 * Owns     the mailbox in which the table puts every event; a thread of its own, "feed", that moves them into a ring of
 *          the last params.n_events; and the history of recently changed users. The thread is one more than a
 *          consumer's turn would need: but no consumer (HTTP that makes a long answer, a disk that hangs) then
 *          keeps the mailbox from being emptied, and none waits for another.
 * Cursors  Every event has a number, one more than the event before it; a cursor is the number of the next event to be read.
 *          Whoever follows holds a cursor and nothing else. Where its event has left the ring, or was never in it
 *          because the mailbox was full, the cursor is gone (-ESTALE), and so is every cursor before a loss: its holder
 *          reads the table again. So nobody is silently out of step.
 * Order    of one user by seq: the table posts under the stripe's lock.
 * Snapshots  beside a table that goes on: a reading of the table under a stripe's lock, with that stripe's counter, and
 *          then feed_barrier(): events below the barrier are in what was read where their seq is at most the
 *          counter; those from the barrier on are all news to it.
 * Threads  feed_new, _start, _stop, _free: main. feed_turn: the feed thread. All else: any.
 * Locks    RANK_FEED, over some tens of pointers, and the signalling of who waits. Nothing is freed or called under it.
 * Memory   the ring: a pointer and a reference an event, of 352 bytes where ids and statuses are of usual length. The
 *          mailbox: 16 bytes an event. The history: see history.h.
 * Errors   0 or negative errno; outputs are untouched on failure. */
#ifndef FEED_FEED_H
#define FEED_FEED_H

#include "base/counters.h"
#include "base/lock.h"
#include "feed/history.h"
#include "presence/mailbox.h"

struct feed;

struct feed_params {
	uint64_t n_events; /* the ring's; 0: none is kept, and every cursor is gone */
	uint32_t n_history; /* transitions kept of a user; 0: none */
	uint64_t n_history_total; /* of all users; 0: HISTORY_TOTAL */
	uint64_t mailbox_capacity; /* a power of two; 0: FEED_MAILBOX */
	struct counters *counters; /* the feed thread's own */
};

/* 512 KiB: what a storm of a million events a second brings in the 10 ms that the thread may rest, three times. */
enum { FEED_MAILBOX = 32768 };

int feed_new(const struct feed_params *, struct feed **ret);
/* Its thread. -EAGAIN */
int feed_start(struct feed *);
/* Moves what has come until now, and joins the thread; those who follow may still read. Of NULL, or of a feed not
 * started: nothing. */
void feed_stop(struct feed *);
void feed_free(struct feed *);

/* Where the table posts, and the descriptor that wakes the feed thread: both as long as the feed. */
struct mailbox *feed_mailbox(struct feed *);
int feed_wakeup(const struct feed *);

/* One turn: moves a batch; false where there was none. For feed_start's thread, and for tests. */
bool feed_turn(struct feed *) REQUIRES(role_feed);

/* --- reading --- */

/* The cursor of what comes next: all before it has been read. */
uint64_t feed_end(struct feed *);

/* The events from '*cursor' on, at most 'max', each with a reference for the caller; '*cursor' is moved past them. None is
 * no failure. -ESTALE: gone. */
int feed_read(struct feed *, uint64_t *cursor, struct event **events, size_t max, size_t *ret_n);

/* Every event that was posted before the call gets a number below this. */
uint64_t feed_barrier(struct feed *);

/* What is known of a user's last transitions; 'max' is FEED's n_history at most. See history.h. */
size_t feed_history(struct feed *, const char *user, size_t len, struct transition *, size_t max);

/* --- waiting --- */

/* One who waits for events: the descriptor is signalled once the feed goes on, after each feed_sleep() that said true. */
struct feed_listener {
	int wakeup; /* set by its owner, before feed_listen() */
	bool is_asleep; /* guarded: the feed's lock */
};

enum { FEED_LISTENERS_MAX = 4 };

/* It is there, and its descriptor, from the one to the other. */
void feed_listen(struct feed *, struct feed_listener *);
void feed_unlisten(struct feed *, struct feed_listener *); /* of one who does not listen: nothing */

/* True where there is nothing to be read at the cursor (which isn't gone), and the listener will be signalled when there
 * is; false where it must not wait. */
bool feed_sleep(struct feed *, struct feed_listener *, uint64_t cursor);

/* --- numbers: any thread --- */

struct feed_counts {
	uint64_t n_events, n_kept; /* numbered since the start; in the ring */
	uint64_t n_users, n_transitions; /* of the history */
};

struct feed_counts feed_count(struct feed *);

#endif
