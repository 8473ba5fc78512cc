/* An event: one change of one user, serialised once, shared by all who tell it.
 *
 * Owns     an immutable, reference-counted block: the user's id, the finished line of the protocol, and what the
 *          server knew as it happened: the session that caused it, and the evidence. The maker holds the
 *          first reference until it has enqueued the event for the last time.
 * Threads  event_ref, _unref: any. Spares: their owner.
 * Memory   one block an event, sized for its text. Blocks are allocated before a stripe's lock is taken and
 *          filled in under it: that is what spares are for. */
#ifndef PRESENCE_EVENT_H
#define PRESENCE_EVENT_H

#include "base/compiler.h"
#include "presence/snapshot.h"

#include <stdatomic.h>
#include <stdint.h>

/* The session's connection, as the kernel had it. */
#define SOCKETS(X)                                                                                  \
	X(NONE, "none") /* it was gone before: dropped on an error that said nothing of the peer */ \
	X(OPEN, "open") /* it stood: of a timeout, when it was read for the last time */            \
	X(CLOSED, "closed") /* the peer's FIN */                                                    \
	X(RESET, "reset") /* the peer's RST */

#define SOCKET_ENUM(name, word) SOCKET_##name,
enum socket { SOCKETS(SOCKET_ENUM) SOCKET_N };
#undef SOCKET_ENUM

const char *socket_word(enum socket);

enum { AGO_UNKNOWN = UINT32_MAX };

/* Why a user's look changed: the session that changed it, and what was known of it at that moment (the event's
 * at_ms). Zeroed, with the three that may be AGO_UNKNOWN so, where nothing is known. */
struct evidence {
	uint64_t session; /* the number that table_session_text() writes in hexadecimal; 0: none */
	uint64_t last_byte_ms; /* Unix time of the session's own */
	uint32_t timeout_ms; /* in force; without what a standstill granted */
	uint32_t granted_ms;
	uint32_t
		late_ms; /* of a timeout: past the deadline, what was granted in it; or AGO_UNKNOWN */
	/* How long before at_ms the watchdog found it silent, and its worker read its connection and found nothing; or
	 * AGO_UNKNOWN */
	uint32_t nominated_ago_ms, heard_ago_ms;
	uint8_t socket, transport; /* enum socket, enum transport */
};

/* The same with the name of the device, for the making of an event. */
struct cause {
	struct evidence evidence;
	uint8_t device_len; /* 0: its name is the session's */
	char device[DEVICE_MAX];
};

struct event {
	/* atomic: any -> any */
	_Atomic uint32_t n_refs;
	/* const once made */
	uint32_t capacity; /* of bytes[] */
	uint64_t seq;
	uint64_t user_hash; /* the table's hash of the id */
	uint64_t at_ms, last_seen_ms;
	struct evidence evidence;
	uint8_t state, reason; /* enum state, enum reason */
	uint8_t user_len, device_len;
	uint16_t line_len;
	/* When it was made, by its maker, in microseconds of the monotonic clock: for how late it is told. Serial: good
	 * for an hour. */
	uint32_t made_us;
	char bytes[]; /* the id as it is; the line, with its '\n'; the device's name */
};

static inline const char *event_user(const struct event *e)
{
	return e->bytes;
}

static inline const char *event_line(const struct event *e)
{
	return e->bytes + e->user_len;
}

/* device_len is 0 where the device's name is the session's. */
static inline const char *event_device(const struct event *e)
{
	return e->bytes + e->user_len + e->line_len;
}

/* The presence object of the protocol, without its type: all of it but the opening '{', which is the caller's. */
enum { EVENT_TYPE_LEN = sizeof("{\"type\":\"presence\",") - 1 };

static inline const char *event_fields(const struct event *e, size_t *ret_len)
{
	*ret_len = e->line_len - EVENT_TYPE_LEN - 1u; /* the line's end */
	return event_line(e) + EVENT_TYPE_LEN;
}

struct event *event_ref(struct event *);
void event_unref(struct event *); /* NULL is fine */

/* Blocks kept ready, one of each size: for ids, statuses and devices of usual length (the whole block is 352 bytes of
 * the heap's), for longer ones, and for the longest. */
enum { EVENT_SPARE_SMALL = 248, EVENT_SPARE_MEDIUM = 512, EVENT_SPARE_LARGE = 1280 };

struct event_spares {
	struct event *small, *medium, *large;
};

/* Makes sure that all are there, outside any lock. Refused memory leaves them missing. */
void event_spares_fill(struct event_spares *);
void event_spares_free(struct event_spares *);

/* The event, made from a spare, with one reference; NULL where the spare of its size is missing (the caller then
 * lets the watchers' workers read the table again). Allocates nothing. The cause may be NULL: nobody will ask. */
struct event *event_make(struct event_spares *, const char *user, size_t user_len,
	uint64_t user_hash, const struct snapshot *, const struct cause *);

/* The same line into memory of the caller's, EVENT_LINE_MAX at most; its length. */
#define EVENT_LINE_MAX (SNAPSHOT_JSON_MAX(USER_MAX, STATUS_MAX) + 24)
size_t event_put_line(char *to, const char *user, size_t user_len, const struct snapshot *);

#endif
