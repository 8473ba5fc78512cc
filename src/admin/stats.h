/* The documents of the admin HTTP: what an operator sees of the numbers.
 *
 * Pure: told the time, the table's counts and the process's memory; opens nothing, and reads the telemetry
 * only.
 * Threads  any. The numbers are read one after the other while their writers go on: each is right, and
 *          their sums are of about one moment.
 * Memory   the caller's. Errors: the buffer's; NULL when memory is refused. */
#ifndef ADMIN_STATS_H
#define ADMIN_STATS_H

#include "base/buffer.h"
#include "base/telemetry.h"
#include "feed/feed.h"
#include "presence/table.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* What the server was told to hold at most, as /stats shows it under "limits". Informs only: who enforces a
 * limit was told it by itself. */
#define ADMIN_LIMITS(X)                                                                            \
	X(max_connections) /* 0: no limit but that of descriptors */                               \
	X(max_sessions_per_user)                                                                   \
	X(max_watches) /* of a session */                                                          \
	X(max_watches_total)                                                                       \
	X(max_message_bytes)                                                                       \
	X(remember) /* offline users nobody watches */                                             \
	X(descriptors) /* of a table: of each worker where it has one of its own */                \
	X(mailbox_events) /* a worker's mailbox holds */                                           \
	X(event_log) /* events kept for who follows them all */                                    \
	X(history) /* transitions kept of a user */

#define ADMIN_LIMIT_FIELD(name) uint64_t name;
struct admin_limits {
	ADMIN_LIMITS(ADMIN_LIMIT_FIELD)
};
#undef ADMIN_LIMIT_FIELD

struct stats_view {
	const char *version;
	const struct telemetry *telemetry;
	const struct admin_limits *limits;
	struct table_counts table;
	struct feed_counts feed; /* zero where there is none */
	unsigned n_streams;
	int64_t rss_bytes; /* negative: not known, shown as null */
	uint64_t now_mono_ms;
};

/* The body of GET /stats, at the end of a buffer. By template: 56 workers are 130 KB, which take 0.17 ms of a processor so,
 * and 1.7 as values of jansson's. */
void stats_put(struct buffer *, const struct stats_view *);

/* The field "limits" of it, in an object that is open. */
void stats_put_limits(struct buffer *, const struct admin_limits *);

/* {"error":{"code":…,"message":…}} */
json_t *stats_error(const char *code, const char *message);

enum { STATS_REASON_MAX = 64 };

/* Whether the server should get traffic: READY, and no worker stalled. Where not, '*ret_reason' says why, for
 * people; it is left alone otherwise. */
bool stats_is_ready(const struct telemetry *, char ret_reason[STATS_REASON_MAX]);

/* What the store of a server suffers from that should get traffic all the same: it does all but remember across a restart.
 * NULL: nothing. Static. */
const char *stats_degraded(const struct telemetry *);

#endif
