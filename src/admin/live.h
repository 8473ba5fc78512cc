/* The live numbers: a sample a second of what an operator watches, those of the last quarter of an hour, and both as the
 * events that GET /v1/live tells:
 *
 *   about    whose numbers these are, their columns, the limits: once
 *   history  {"samples":[[…],…]}: what was sampled before the present, the oldest first, as many to an event as fit
 *   sample   the newest: the columns by their names, and what is told of the present only
 *
 * Pure but for its lock: told the numbers and the time; opens nothing.
 * Threads  live_take: one. live_fill: one, and not that one's.
 * Locks    RANK_LIVE, over the copy of one sample.
 * Memory   at creation, all of it: LIVE_KEPT samples of 200 bytes and two a worker, 14 KB a worker for the quantiles of
 *          its last second, and two texts of LIVE_ROOM.
 * Errors   NULL when memory is refused. */
#ifndef ADMIN_LIVE_H
#define ADMIN_LIVE_H

#include "admin/stats.h"
#include "base/buffer.h"

enum { LIVE_INTERVAL_MS = 1000, LIVE_KEPT = 900 };

/* X(name): counters of base/counters.h, told as how many since the sample before. */
#define LIVE_COUNTERS(X)                                                                           \
	X(heartbeats)                                                                              \
	X(events)                                                                                  \
	X(events_delivered)                                                                        \
	X(logins)                                                                                  \
	X(accepted)                                                                                \
	X(mistakes)                                                                                \
	X(mailbox_full)                                                                            \
	X(out_of_memory)                                                                           \
	X(ended_logout)                                                                            \
	X(ended_closed)                                                                            \
	X(ended_reset)                                                                             \
	X(ended_timeout)                                                                           \
	X(ended_slow)                                                                              \
	X(ended_violation)                                                                         \
	X(ended_kicked)                                                                            \
	X(ended_expired)

struct live;

struct live_params {
	const struct telemetry *telemetry; /* outlives it, as do those below */
	const struct admin_limits *limits;
	const char *version;
	uint32_t scan_interval_ms; /* two of them are how late a verdict may be */
};

struct live *live_new(const struct live_params *);
void live_free(struct live *);

/* Takes a sample. What the first one counts is since the start. */
void live_take(struct live *, const struct stats_view *, uint64_t wall_ms);

/* What a follower was told: zeroed at first. Who comes back late is told what it missed as history. */
struct live_follower {
	uint64_t next; /* the number of the sample to be told next */
	bool has_about;
};

enum { LIVE_ROOM = 16 * 1024 };

/* The next events for a follower, as many as there are and fit into 'room', at least LIVE_ROOM; how many bytes. 0: it has
 * been told everything. What is the same for all followers of a second is made once. */
size_t live_fill(struct live *, struct live_follower *, char *to, size_t room);

#endif
