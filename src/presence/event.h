/* An event: one change of one user, serialised once, shared by all who tell it.
 *
 * Owns     an immutable, reference-counted block: the user's id and the finished line of the protocol. The
 *          maker holds the first reference until it has enqueued the event for the last time.
 * Threads  event_ref, _unref: any. Spares: their owner.
 * Memory   one block an event, sized for its text. Blocks are allocated before a stripe's lock is taken and
 *          filled in under it: that is what spares are for. */
#ifndef PRESENCE_EVENT_H
#define PRESENCE_EVENT_H

#include "base/compiler.h"
#include "presence/snapshot.h"

#include <stdatomic.h>
#include <stdint.h>

struct event {
	/* atomic: any -> any */
	_Atomic uint32_t n_refs;
	/* const once made */
	uint32_t capacity; /* of bytes[] */
	uint64_t seq;
	uint64_t user_hash; /* the table's hash of the id */
	uint16_t user_len, line_len;
	char bytes[]; /* the id as it is; then the line, with its '\n' */
};

static inline const char *event_user(const struct event *e)
{
	return e->bytes;
}

static inline const char *event_line(const struct event *e)
{
	return e->bytes + e->user_len;
}

struct event *event_ref(struct event *);
void event_unref(struct event *); /* NULL is fine */

/* Blocks kept ready, one of each of two sizes: ids and statuses of usual length, and the longest. */
enum { EVENT_SPARE_SMALL = 384, EVENT_SPARE_LARGE = 1280 };

struct event_spares {
	struct event *small, *large;
};

/* Makes sure that both are there, outside any lock. Refused memory leaves them missing. */
void event_spares_fill(struct event_spares *);
void event_spares_free(struct event_spares *);

/* The event, made from a spare, with one reference; NULL where the spare of its size is missing (the caller then
 * lets the watchers' workers read the table again). Allocates nothing. */
struct event *event_make(struct event_spares *, const char *user, size_t user_len,
	uint64_t user_hash, const struct snapshot *);

/* The same line into memory of the caller's, EVENT_LINE_MAX at most; its length. */
#define EVENT_LINE_MAX (SNAPSHOT_JSON_MAX(USER_MAX, STATUS_MAX) + 24)
size_t event_put_line(char *to, const char *user, size_t user_len, const struct snapshot *);

#endif
